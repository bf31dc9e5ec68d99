"""Count the files and functions of this project that `generate`, `train` and `compare` run through.

    python benchmarks/journeys.py [--json FILE]

Each command runs once, on drawn clips with the demo CLIP and an endpoint on loopback. A function counts when
it is called at least once; its file counts with it. The last line counts the source files and lines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("dfer_prompts", "dfer_model")
DRAWN = ["--dataset", "faces", "--preset", "demo", "--epochs", "1", "--set", "workers=0", "--device", "cpu"]
TRACE = """
import inspect, json, sys, threading
called = set()
def profile(frame, event, _argument):
    code = frame.f_code
    if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:
        called.add((code.co_filename, code.co_qualname))
from dfer_prompts.cli import main
threading.setprofile(profile); sys.setprofile(profile)
out, sys.argv = sys.argv[1], ["dfer-prompts", *sys.argv[2:]]
try:
    main()
finally:
    sys.setprofile(None)
    with open(out, "w") as stream:
        json.dump(sorted(called), stream)
"""


def journey(folder: Path, *words: str, **environment: str) -> tuple[int, int]:
    """The number of files and of functions that a command calls."""
    out = folder / "called.json"
    command = [sys.executable, "-c", TRACE, str(out), *words]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True)
    homes = tuple(f"{ROOT / package}{os.sep}" for package in PACKAGES)
    called = [(file, name) for file, name in json.loads(out.read_text()) if file.startswith(homes)]
    return len({file for file, _ in called}), len(called)


def sources() -> tuple[int, int]:
    """The number of Python files in both packages, and of their lines."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return len(files), sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def main() -> None:
    """Run the three commands, print the table, and write it to the given file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.prompts.endpoint import serve

    found: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as place, serve() as endpoint:
        folder = Path(place)
        journey(folder, "data", "draw", "--clips", "55", "--out", "faces")
        found["generate"] = journey(
            folder, "generate", "--classes", "mafw", OPENAI_BASE_URL=endpoint.base_url
        )
        found["train"] = journey(folder, "train", "--descriptions", "v1@2", *DRAWN)
        sets = ["v1@1", "v1@2", "--controls", "--folds", "1", "--seeds", "1-2"]
        found["compare"] = journey(folder, "compare", *sets, *DRAWN)
    for name, (files, functions) in found.items():
        print(f"{name:10} {files:4} files {functions:5} functions")
    files, lines = sources()
    print(f"{'packages':10} {files:4} files {lines:5} lines")
    if options.json:
        table = {name: {"files": each[0], "functions": each[1]} for name, each in found.items()}
        options.json.write_text(json.dumps({**table, "packages": {"files": files, "lines": lines}}, indent=1))


if __name__ == "__main__":
    main()
