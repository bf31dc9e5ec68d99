"""Growth of time and memory: run `python benchmarks/scaling.py [--small]` (about 6 minutes; --small: 1).

Does the work of `scaling_work.py` in growing sizes, each in a separate process, and fits a line to the
logarithms of time and size over the upper half of the sizes: slope 1 is linear, below 1 better. Time is the
CPU time of one thread, the minimum of several rounds, so other load hardly matters. Memory is private memory
(RssAnon of Linux, polled every few milliseconds): the maximum during the work minus that before it. Draws
docs/pictures/scaling.png, prints a table, and fails (exit 1) if a slope of time or memory is above 1.15,
which allows for measurement noise. `--only WORD` measures the tasks whose axis or name contains the word, and
draws nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from results import record
from scaling_work import TASKS, Task

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "scaling.png"
LIMIT = 1.15
ROUNDS, ENOUGH_S = 7, 1.0  # maximum number of rounds, and the time after which no round starts
LOOK_S = 0.003
SEEN_MIB = 4.0  # of memory; less is too small to measure growth
TIME, MEMORY = "#2f6f8f", "#d1741f"


class Point(NamedTuple):
    """The time and memory of one size."""

    size: int
    seconds: float
    mib: float


class Line(NamedTuple):
    """A task's points and slopes; None for memory below the threshold."""

    task: Task
    points: list[Point]
    time_slope: float
    memory_slope: float | None


def private_mib() -> float:
    """Private memory of this process that is not file-backed."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


@contextmanager
def highest() -> Iterator[list[float]]:
    """A list whose last element is, after the block, the maximum memory within it."""
    seen, ended = [private_mib()], threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            seen[0] = max(seen[0], private_mib())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        seen[0] = max(seen[0], private_mib())
        ended.set()
        watcher.join()


def one(task: Task, size: int, folder: Path, answer: multiprocessing.SimpleQueue[Point]) -> None:
    """Measure one size; runs in a separate process."""
    torch.set_num_threads(1)
    work = task.prepare(size, folder)
    gc.collect()
    # What the preparation has freed would else be taken again unseen.
    ctypes.CDLL(None).malloc_trim(0)
    before, times = private_mib(), []
    # The first round is for the memory, which later ones find allocated already, and warms what is warmed.
    with highest() as seen:
        work()
    while len(times) < ROUNDS and sum(times) < ENOUGH_S:
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    answer.put(Point(size, min(times), seen[0] - before))


def measured(task: Task, sizes: Sequence[int], folder: Path) -> Line:
    """All sizes of a task."""
    fork, points = multiprocessing.get_context("fork"), []
    for size in sizes:
        place = folder / f"{task.axis}-{size}"
        place.mkdir(exist_ok=True)
        answer = fork.SimpleQueue()
        process = fork.Process(target=one, args=(task, size, place, answer))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"{task.name} with {size} {task.axis} failed")
        points.append(answer.get())
    upper = points[-max(2, (len(points) + 1) // 2) :]
    seen = [point for point in upper if point.mib >= SEEN_MIB]
    memory = slope(seen, [point.mib for point in seen]) if len(seen) > 1 else None
    return Line(task, points, slope(upper, [point.seconds for point in upper]), memory)


def slope(points: Sequence[Point], values: Sequence[float]) -> float:
    """The exponent of the power of the size that the values follow."""
    return float(np.polyfit(np.log([point.size for point in points]), np.log(values), 1)[0])


def tell(line: Line) -> None:
    """One row of the table."""
    sizes = f"{line.points[0].size} to {line.points[-1].size}"
    times = line.points[-1].seconds / line.points[0].seconds
    memory = "small" if line.memory_slope is None else f"{line.memory_slope:.2f}"
    most = max(point.mib for point in line.points)
    print(
        f"| {line.task.axis} | {line.task.name} | {sizes} | {times:.1f} | {line.time_slope:.2f} | {memory} "
        f"| {most:.0f} |",
        flush=True,
    )


def draw(lines: Sequence[Line]) -> None:
    """One panel per task: time and memory relative to the largest size, and a dotted linear line."""
    columns = 5
    rows = -(-len(lines) // columns)
    figure, fields = plt.subplots(rows, columns, figsize=(13, 2.5 * rows), layout="constrained")
    for field, line in zip(fields.flat, lines, strict=False):
        sizes = np.array([point.size for point in line.points])
        field.loglog(sizes, sizes / sizes[-1], ":", color="#8a8a8a", linewidth=1, label="linear")
        seconds = np.array([point.seconds for point in line.points])
        field.loglog(sizes, seconds / seconds[-1], "o-", color=TIME, markersize=4, label="time")
        if line.memory_slope is not None:
            mib = np.maximum([point.mib for point in line.points], 0.1)
            field.loglog(sizes, mib / mib[-1], "s--", color=MEMORY, markersize=4, label="memory")
        field.set_title(line.task.name, fontsize=9)
        field.set_xlabel(line.task.axis, fontsize=8)
        field.minorticks_off()
        field.set_xticks(sizes[[0, -1]], [f"{size:,}" for size in sizes[[0, -1]]])
        field.tick_params(labelsize=7)
        field.spines[["top", "right"]].set_visible(False)
    for field in list(fields.flat)[len(lines) :]:
        field.axis("off")
    handles, labels = fields.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower right", frameon=False, fontsize=9)
    figure.supylabel("share of what the largest size takes", fontsize=9)
    figure.savefig(PICTURE, dpi=110)


def main() -> int:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--small", action="store_true", help="the lower half of the sizes")
    parser.add_argument("--only", default="", help="tasks whose axis or name has this word")
    given = parser.parse_args()
    print("| more | work | sizes | time grows | slope of time | slope of memory | MiB at most |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for task in TASKS:
            if given.only in f"{task.axis} {task.name}":
                sizes = task.sizes[: (len(task.sizes) + 1) // 2 + 1] if given.small else task.sizes
                lines.append(measured(task, sizes, Path(folder)))
                tell(lines[-1])
    if not given.small and not given.only:
        figures = {
            f"{line.task.name} by {line.task.axis}": {
                "points": [point._asdict() for point in line.points],
                "time_slope": line.time_slope,
                "memory_slope": line.memory_slope,
            }
            for line in lines
        }
        record("scaling", figures)
        draw(lines)
    beyond = [line for line in lines if max(line.time_slope, line.memory_slope or 0) > LIMIT]
    for line in beyond:
        print(f"more than linear: {line.task.name} by {line.task.axis}")
    return int(bool(beyond))


if __name__ == "__main__":
    sys.exit(main())
