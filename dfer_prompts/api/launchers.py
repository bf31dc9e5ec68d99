"""Where the runs of a grid are trained: in this process, in processes of this machine, or by Slurm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dfer_model.progress import Progress

from ..errors import InputError, unknown
from ..workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.launchers.launcher import Engine

EngineName = Literal["local", "slurm"]
ENGINES: tuple[EngineName, ...] = ("local", "slurm")
RETRIES = 2


@dataclass(frozen=True)
class RunContext:
    """Where and how runs are trained; `engine` None is this process.

    `note` receives messages for the user, `progress` opens a progress display, `trackers` are the loggers.
    """

    workspace: Workspace
    device: str
    progress: Progress
    note: Callable[[str], None]
    trackers: Sequence[str] = ()
    engine: Engine | None = None


def engine_for(
    workspace: Workspace,
    engine: str | None,
    jobs: int | None,
    runs_per_gpu: int | None,
    retries: int | None,
    device: str,
) -> Engine | None:
    """The engine that trains a grid, None for this process.

    `jobs` is the number of runs at a time (by default as many as the GPUs or the cluster take),
    `runs_per_gpu` of them on each GPU (1); a lost run is restarted at most `retries` times (2). Slurm's
    options are those of `slurm:` in `dfer.yaml`. Raises InputError for numbers without an engine, and for
    unsupported values.
    """
    numbers = {"--jobs": (jobs, 1), "--runs-per-gpu": (runs_per_gpu, 1), "--retries": (retries, 0)}
    for option, (number, least) in numbers.items():
        if number is not None and engine is None:
            raise InputError(
                f"{option} requires --engine\nAdd --engine {' or '.join(ENGINES)}, or leave it out"
            )
        if number is not None and number < least:
            raise InputError(f"{option} {number} is below {least}")
    if engine is None:
        return None
    tries = RETRIES if retries is None else retries
    place = workspace.root / ".dfer" / "jobs"
    if engine == "local":
        from dfer_model.launchers.local import LocalEngine, visible_gpus

        return LocalEngine(place, jobs or 0, tries, runs_per_gpu or 1, visible_gpus(device), device)
    if engine == "slurm":
        from dfer_model.launchers.slurm import SlurmEngine

        slurm = workspace.defaults.slurm
        return SlurmEngine(
            place, slurm.sbatch_options(), tuple(slurm.setup), jobs, tries, runs_per_gpu or 1, device
        )
    raise unknown("engine", engine, ENGINES)
