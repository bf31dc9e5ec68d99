"""Options that several commands share, and lists of numbers as a person writes them.

Options that say where the runs of a grid are trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import InputError
from .completion import datasets

DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        autocompletion=datasets,
        metavar="NAME|FOLDER|URL",
        help="Folder of packed clips, a name that dfer.yaml gives one, or a URL to stream them from.",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="default, paper, paper-text, strong, demo, or one of dfer.yaml's presets.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, such as normalize=clip."),
]
ClipOption = Annotated[
    str | None,
    typer.Option("--clip", metavar="NAME", help="CLIP by open_clip's name, or `demo`.", show_default=False),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="TAG|FILE", help="Pretrained tag, weight file, or `random`.", show_default=False
    ),
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="Passes over the training clips.")]
SelectOption = Annotated[
    Literal["last", "val", "test-best"] | None,
    typer.Option("--select", help="Epoch that is kept; test-best looks at the judging fold, and flatters."),
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="dfer-clip, zero-shot, coop, cocoop, linear-probe, fine-tuning, or a video network: r3d-18, "
        "r2plus1d-18, resnet18-lstm, resnet18-vit, c3d, p3d, i3d.",
    ),
]
FreezeOption = Annotated[
    Literal["image"] | None, typer.Option("--freeze", help="Leave the image tower as it is: quick studies.")
]
EnsembleOption = Annotated[
    Literal["mean-embedding", "mean-similarity", "max"] | None,
    typer.Option("--ensemble", help="How a class's members answer together."),
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.")]

FaceModelOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="YuNet's ONNX file.", show_default="dfer.yaml's face_model"),
]
MarginOption = Annotated[
    float, typer.Option(help="Room around a face, as a share of its longer side.", show_default=True)
]


MOST_NUMBERS = 1000  # of folds or seeds; more are a slip of the keyboard


def numbers(text: str, option: str, *, least: int = 1) -> tuple[int, ...]:
    """ "1-3,5" as (1, 2, 3, 5). Raises InputError for anything else, and for a number below `least`.

    >>> numbers("1-3,5", "--folds")
    (1, 2, 3, 5)
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"{option} {text!r} is not a list of numbers; write it like 1-3 or 1,2,5")
        found += range(int(first), min(int(last if dash else first), int(first) + MOST_NUMBERS) + 1) or [-1]
    if len(found) > MOST_NUMBERS:
        raise InputError(f"{option} {text!r} names more than {MOST_NUMBERS} numbers")
    if min(found) < 0 or len(set(found)) != len(found):
        raise InputError(f"{option} {text!r} names no number, or one twice; write it like 1-3 or 1,2,5")
    if min(found) < least:
        raise InputError(f"{option} {text!r} begins below {least}; write it like 1-3 or 1,2,5")
    return tuple(found)


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
