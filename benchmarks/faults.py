"""Faults of servers, disks and kills: run `python benchmarks/faults.py [--kills 30] [--markdown]`.

Runs `dfer-prompts generate` in separate processes against a server on loopback with every fault of
`tests/prompts/faults.py`, kills it at random moments, starts eight writers of one version, and fills its
disk. Prints the message and the stored responses of each fault; `--markdown` prints the table of
docs/faults.md. Fails (exit 1) on a traceback, an incomplete version, or a stored response that is
requested again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.prompts.endpoint import FakeEndpoint, serve
from tests.prompts.faults import CLASSES, COMMAND, FAULTS, Ended, Fault, error_lines, problems, unused_url
from tests.prompts.forks import Forks, forks
from tests.prompts.process_faults import (
    CONCURRENCY,
    NAMESPACE,
    WriteFailure,
    full_disk,
    kill_repeatedly,
    race,
    read_only,
    too_large_a_file,
    why_no_disks,
)

SEED = 1
WRITERS = 8
ENDINGS = {"read": "read normally", "retried": "retried, then answered", "error": ""}


@dataclass(frozen=True)
class Row:
    """A fault, its outcome or message, what was stored, and the violations that were found."""

    fault: str
    told: str
    kept: str
    wrong: list[str]


@contextmanager
def fresh() -> Iterator[tuple[FakeEndpoint, Path]]:
    """A server and an empty workspace."""
    with tempfile.TemporaryDirectory() as parent, serve() as server:
        folder = Path(parent).resolve() / "workspace"
        folder.mkdir()
        yield server, folder


def told(lines: list[str], *private: str) -> str:
    """The first line of the message, without addresses and folders of this run."""
    text = "".join(lines[:1]).removeprefix("Error: ")
    for each in private:
        text = text.replace(each, "URL" if "://" in each else "WORKSPACE")
    return text


def server_fault(fault: Fault, processes: Forks) -> Row:
    """One row of the table of faults, run in separate processes."""
    with fresh() as (server, folder):
        ends: list[Ended] = []

        def run(*arguments: str) -> Ended:
            process = processes.start(folder, *arguments)
            ends.append(Ended(process.wait(), "", process.text()))
            return ends[-1]

        wrong = problems(fault, server, run, folder)
        says = told(error_lines(ends[0].err), server.base_url) or ENDINGS[fault.ending]
        kept = (
            f"{CLASSES - 1} of {CLASSES}; then 1 requested"
            if fault.ending == "error"
            else f"{CLASSES} of {CLASSES}"
        )
        return Row(fault.name, says, kept, wrong)


def refused_connection(processes: Forks) -> Row:
    """No server listens at the address."""
    with fresh() as (_, folder):
        url = unused_url()
        process = processes.start(folder, *COMMAND, "--base-url", url, "--model", "tiny")
        status, lines = process.wait(), error_lines(process.text())
        wrong = [] if status == 1 and 1 <= len(lines) <= 2 else [process.text()]
        return Row("connection refused", told(lines, url), f"0 of {CLASSES}", wrong)


def disk(name: str, refuse: Callable[[FakeEndpoint, Path], WriteFailure]) -> Row:
    """Writing fails, then works again; only missing responses are requested."""
    with fresh() as (server, folder):
        ended = refuse(server, folder)
        expected = (1, 0, CLASSES - ended.stored, [], [])
        found = (ended.status, ended.status_again, ended.requested_again, ended.left, ended.incomplete)
        wrong = [] if found == expected and 1 <= len(ended.errors) <= 2 else [str(ended)]
        kept = f"{ended.stored} of {ended.requested} requested; then {ended.requested_again} requested"
        return Row(name, told(ended.errors, str(folder)), kept, wrong)


def disks(processes: Forks, why: str | None) -> list[Row]:
    """All disk faults that this machine can simulate; `why` says why it cannot mount file systems."""
    rows = [
        disk("files limited to 4 KiB", lambda server, folder: too_large_a_file(server, processes, folder))
    ]
    if why:
        return [*rows, Row("full disk, read-only folder", f"not tried: {why}", "", [])]
    return [
        *rows,
        disk("disk full after three answers", lambda server, folder: full_disk(server, processes, folder, 3)),
        disk(
            "disk full before the version",
            lambda server, folder: full_disk(server, processes, folder, CLASSES + 2),
        ),
        disk("read-only folder", lambda server, folder: read_only(server, processes, folder)),
    ]


def kills(processes: Forks, count: int) -> Row:
    """SIGKILL at random moments."""
    with fresh() as (server, folder):
        seen = kill_repeatedly(server, processes, folder, count, SEED)
    wrong = [*map(str, seen.stored_and_repeated), *seen.incomplete, *seen.errors]
    if seen.most_per_kill > CONCURRENCY or seen.requested != seen.expected + seen.repeated:
        wrong.append(str(seen))
    says = (
        f"{seen.versions} versions written; {seen.repeated} of {seen.expected} requests repeated, all in "
        f"progress at a kill (at most {seen.most_per_kill} of {CONCURRENCY} at once)"
    )
    kept = (
        f"{len(seen.stored_and_repeated)} stored responses requested again; "
        f"{len(seen.incomplete)} incomplete versions"
    )
    return Row(f"kill -9, {seen.kills} times", says, kept, wrong)


def writers(processes: Forks) -> Row:
    """Eight processes save one version at the same time."""
    with fresh() as (server, folder):
        ended = race(server, processes, folder, WRITERS)
    wrong = [*ended.others, *ended.incomplete]
    if (ended.won, ended.refused) != (1, WRITERS - 1):
        wrong.append(str(ended))
    says = f"{ended.refused} report that the name is taken (exit status 2)"
    return Row(f"{WRITERS} writers of one version", says, f"{ended.won} complete version", wrong)


def cell(text: str) -> str:
    """The text as a cell of a Markdown table; markup in it is escaped."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Run all faults and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/faults.md")
    arguments = parser.parse_args()
    os.environ |= {"NO_PROXY": "127.0.0.1", "COLUMNS": "200"}
    os.environ.pop("OPENAI_API_KEY", None)
    with tempfile.TemporaryDirectory() as folder:
        why = why_no_disks(Path(folder))
    with forks(*(() if why else NAMESPACE)) as processes:
        rows = [server_fault(each, processes) for each in FAULTS]
        rows += [refused_connection(processes), *disks(processes, why)]
        rows += [kills(processes, arguments.kills), writers(processes)]
    if arguments.markdown:
        print("| fault | outcome or message | responses stored |\n| --- | --- | --- |")
        print("\n".join(f"| {cell(row.fault)} | {cell(row.told)} | {cell(row.kept)} |" for row in rows))
    for row in rows:
        if not arguments.markdown:
            print(f"{'ok ' if not row.wrong else 'NOT'} {row.fault}: {row.told} [{row.kept}]")
        for problem in row.wrong:
            print(f"    {row.fault}: {problem}", file=sys.stderr)
    print(f"{sum(not row.wrong for row in rows)} of {len(rows)} end as required", file=sys.stderr)
    return int(any(row.wrong for row in rows))


if __name__ == "__main__":
    sys.exit(main())
