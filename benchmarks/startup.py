"""Duration and imports of `dfer-prompts --help`: run `python benchmarks/startup.py`.

Prints the median of several runs beside that of a bare interpreter in the same run, and fails (exit 1) if it
is 0.5 s or more, or if a heavy library is imported.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

HEAVY = ("torch", "datasets", "openai", "matplotlib", "open_clip", "pandas", "sklearn")
LIMIT_S = 0.5
RUNS = 9


def seconds(*arguments: str) -> float:
    """Median wall time of `python ARGUMENTS`."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def imported() -> set[str]:
    """Top-level names of all modules that `--help` imports, as `-X importtime` lists them."""
    command = [sys.executable, "-X", "importtime", "-m", "dfer_prompts", "--help"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    lines = [
        line.rsplit("|", 1)[-1].strip() for line in listing.splitlines() if line.startswith("import time:")
    ]
    return {line.split(".")[0] for line in lines}


def main() -> int:
    """Measure and print."""
    bare, help_page = seconds("-c", "pass"), seconds("-m", "dfer_prompts", "--help")
    heavy = sorted(imported() & set(HEAVY))
    print(f"dfer-prompts --help: {help_page / bare:.1f} times a bare interpreter's start")
    print(f"under {LIMIT_S} s: {'yes' if help_page < LIMIT_S else 'NO'}")
    print(f"heavy libraries imported: {', '.join(heavy) or 'none'}")
    return int(help_page >= LIMIT_S or bool(heavy))


if __name__ == "__main__":
    sys.exit(main())
