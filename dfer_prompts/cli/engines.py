"""Options that say where the runs of a grid are trained."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

EngineOption = Annotated[
    Literal["local", "slurm"] | None,
    typer.Option(
        "--engine",
        help="Train each run in a process of its own: here, or as a job of Slurm (`slurm:` in dfer.yaml).",
        show_default="one after another in this process",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        help="Runs at a time.",
        show_default="local: as the GPUs take, else 1; slurm: as the cluster takes",
    ),
]
RunsPerGpuOption = Annotated[
    int | None,
    typer.Option("--runs-per-gpu", metavar="N", help="Runs that share a GPU.", show_default="1"),
]
RetriesOption = Annotated[
    int | None,
    typer.Option(
        "--retries", metavar="N", help="How often a run that is lost is begun again.", show_default="2"
    ),
]
