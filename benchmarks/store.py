"""Duration of listing 200 versions: run `python benchmarks/store.py`.

Writes 200 versions of 11 classes x 6 descriptors, each with 55 stored responses, into a temporary folder, and
times `dfer-prompts descriptions list` without the start of the interpreter and the imports. Prints it as a
share of the goal of 0.5 s, and loading as a multiple of reading the files; fails (exit 1) above the goal.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from dfer_prompts import DescriptionSet, DescriptionStore, Descriptor, Manifest, Workspace, load_class_set
from dfer_prompts.cli.app import app

VERSIONS, DESCRIPTORS, SAMPLES = 200, 6, 5
LIMIT_S = 0.5
RUNS = 5


def draft() -> DescriptionSet:
    """A set like one of `generate --classes mafw`, with other words."""
    classes = load_class_set("mafw")
    member = tuple(
        Descriptor(f"raised part {rank}", rank, SAMPLES, SAMPLES) for rank in range(1, DESCRIPTORS + 1)
    )
    manifest = Manifest(
        class_set=classes.as_manifest(),
        source="llm",
        template="paper",
        template_sha256="0" * 64,
        template_text="What are useful visual features for the facial expression of {{ expression }}?\n" * 10,
        model="tiny",
        base_url="http://localhost:1/v1",
        sampling={"temperature": 0.7, "top_p": 1.0, "max_tokens": 2048, "seed": 1, "samples": SAMPLES},
    )
    return DescriptionSet("", classes.names, dict.fromkeys(classes.names, (member,)), manifest)


def fill(workspace: Workspace) -> None:
    """Write the versions and their responses."""
    store, made = DescriptionStore(workspace), draft()
    responses = [
        {"class_name": name, "sample": sample, "response": "- raised eyebrows\n" * 20}
        for name in made.class_names
        for sample in range(SAMPLES)
    ]
    for number in range(VERSIONS):
        store.save(made, f"w{number}", responses)


def seconds(work: Callable[[], object]) -> float:
    """Median wall time of a call."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> int:
    """Fill, measure and print."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        workspace = Workspace(Path(folder))
        fill(workspace)
        command = ["--workspace", folder, "descriptions", "list"]
        listed = CliRunner().invoke(app, command, catch_exceptions=False)  # imports what the command needs
        count = listed.output.count("tiny")
        listing = seconds(lambda: CliRunner().invoke(app, command, catch_exceptions=False))
        loading = seconds(lambda: [DescriptionStore(workspace).load(f"w{i}") for i in range(VERSIONS)])
        files = [path for path in workspace.descriptions.glob("*/*") if path.name != "responses.jsonl"]
        reading = seconds(lambda: [path.read_bytes() for path in files])
    print(f"descriptions list: {count} versions in {listing / LIMIT_S:.2f} of the goal of {LIMIT_S} s")
    print(f"loading them: {loading / LIMIT_S:.2f} of it, {loading / reading:.0f} times reading their files")
    return int(listing > LIMIT_S or count != VERSIONS)


if __name__ == "__main__":
    sys.exit(main())
