"""Options that several commands share, each declared once, and groups of them.

A group is a frozen dataclass whose fields are options. A command decorated with `grouped` takes the group as
one parameter; its fields are options of the command. Names and meanings of settings in their help come from
`dfer_model.registry`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from dfer_model.registry import MEASURES, PRESET_NAMES, SETTING_MEANINGS, STRATEGIES

from ..errors import InputError
from .completion import datasets


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of its option groups as parameters of its own, for Typer to read."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            types = get_type_hints(groups[name], include_extras=True)
            parameters += [
                inspect.Parameter(
                    each.name, parameter.kind, default=each.default, annotation=types[each.name]
                )
                for each in fields(groups[name])
            ]
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @wraps(command)
    def flat(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
        command(**given)

    # Keyword parameters with and without defaults may follow each other in any order.
    flat.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    )
    flat.__annotations__ = {each.name: each.annotation for each in parameters}
    return flat


def setting_help(name: str) -> str:
    """The help of the option for a setting: the setting's meaning as a sentence."""
    meaning = SETTING_MEANINGS[name]
    return f"{meaning[0].upper()}{meaning[1:]}."


DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        autocompletion=datasets,
        metavar="NAME|FOLDER|URL",
        help="Folder of packed clips, their name in dfer.yaml, or a URL to stream them from.",
    ),
]
DatasetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        autocompletion=datasets,
        metavar="NAME|FOLDER|URL",
        help="Folder of packed clips, their name in dfer.yaml, or a URL to stream them from; repeat it to "
        "train on several.",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help=f"{', '.join(PRESET_NAMES)}, or a preset of dfer.yaml.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, such as normalize=clip."),
]
ClipOption = Annotated[
    str | None,
    typer.Option("--clip", metavar="NAME", help=setting_help("clip"), show_default=False),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="TAG|FILE",
        help=setting_help("weights"),
        show_default=False,
    ),
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help=setting_help("epochs"))]
SelectOption = Annotated[
    Literal["last", "val", "test-best"] | None,
    typer.Option("--select", help=setting_help("select")),
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help=f"How the classifier is built: {', '.join(STRATEGIES)}.",
    ),
]
FreezeOption = Annotated[
    Literal["image"] | None, typer.Option("--freeze", help="Do not train the image tower (faster).")
]
EnsembleOption = Annotated[
    Literal["mean-embedding", "mean-similarity", "max"] | None,
    typer.Option("--ensemble", help=setting_help("ensemble")),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to compute on.")
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        help="Log the epochs to tensorboard, wandb, mlflow or another tracker of Accelerate; repeatable. "
        "`none`: to none.",
        show_default="tensorboard if installed",
    ),
]
GroupsOption = Annotated[
    str | None,
    typer.Option(
        "--groups",
        metavar="scene|FILE.csv:COLUMN",
        help="Add results by group of clips: FERV39k's scene, or a column of a CSV file with clip_id.",
        show_default=False,
    ),
]
FoldsOption = Annotated[
    str | None,
    typer.Option("--folds", metavar="FOLDS", help="Test folds, such as 1-5 or 1,3.", show_default="all"),
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="An OpenAI-compatible server.", show_default="OPENAI_BASE_URL"),
]
ConcurrencyOption = Annotated[int, typer.Option(min=1, max=256, help="Concurrent requests.")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one answer.")]
MaxRequestsOption = Annotated[int | None, typer.Option(min=1, help="Maximum number of requests.")]
BudgetOption = Annotated[
    int | None, typer.Option(min=1, help="Maximum number of tokens of prompts and answers.")
]
VersionOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The new version's name.", show_default="the next")
]
TrainingFoldsOption = Annotated[
    str,
    typer.Option(
        "--folds",
        metavar="FOLDS",
        help="Training folds to choose descriptors on, such as 2-5; 0: clips outside all test folds.",
    ),
]
SeedsOption = Annotated[str, typer.Option("--seeds", metavar="SEEDS", help="Seeds, such as 1-3.")]
MeasureOption = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        metavar="MEASURE",
        help=f"{', '.join(MEASURES)}; repeatable.",
        show_default="supervised, with zero-shot beside it",
    ),
]

FaceModelOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="YuNet's ONNX file.", show_default="dfer.yaml's face_model"),
]
MarginOption = Annotated[
    float, typer.Option(help="Margin around a face, as a share of its longer side.", show_default=True)
]


MOST_NUMBERS = 1000  # of folds or seeds; a longer list is taken for a typing error


def numbers(text: str, option: str, *, least: int = 1) -> tuple[int, ...]:
    """ "1-3,5" as (1, 2, 3, 5). Raises InputError for anything else, and for a number below `least`.

    >>> numbers("1-3,5", "--folds")
    (1, 2, 3, 5)
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"{option} {text!r} is not a list of numbers such as 1-3 or 1,2,5")
        found += range(int(first), min(int(last if dash else first), int(first) + MOST_NUMBERS) + 1) or [-1]
    if len(found) > MOST_NUMBERS:
        raise InputError(f"{option} {text!r} has more than {MOST_NUMBERS} numbers")
    if min(found) < 0 or len(set(found)) != len(found):
        raise InputError(f"{option} {text!r} has no number, or repeats one; write it like 1-3 or 1,2,5")
    if min(found) < least:
        raise InputError(f"{option} {text!r} has a number below {least}; write it like 1-3 or 1,2,5")
    return tuple(found)


EngineOption = Annotated[
    Literal["local", "slurm"] | None,
    typer.Option(
        "--engine",
        help="Train each run in its own process: on this machine, or as a Slurm job (`slurm:` in dfer.yaml).",
        show_default="one run after another in this process",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        help="Runs at the same time.",
        show_default="local: as many as the GPUs take, else 1; slurm: no limit",
    ),
]
RunsPerGpuOption = Annotated[
    int | None,
    typer.Option("--runs-per-gpu", metavar="N", help="Runs that share a GPU.", show_default="1"),
]
RetriesOption = Annotated[
    int | None,
    typer.Option("--retries", metavar="N", help="Restarts of a run that was lost.", show_default="2"),
]


@dataclass(frozen=True)
class ClipOptions:
    """CLIP and settings, without training."""

    preset: PresetOption = None
    clip: ClipOption = None
    weights: WeightsOption = None
    overrides: SetOption = None

    def choices(self) -> dict[str, Any]:
        """The keywords of `api.inputs.Choices`."""
        return {**vars(self), "overrides": self.overrides or ()}


@dataclass(frozen=True)
class TrainingOptions(ClipOptions):
    """How runs are trained."""

    strategy: StrategyOption = None
    epochs: EpochsOption = None
    select: SelectOption = None
    freeze: FreezeOption = None
    ensemble: EnsembleOption = None


@dataclass(frozen=True)
class EngineOptions:
    """Where the runs of a grid are trained."""

    engine: EngineOption = None
    jobs: JobsOption = None
    runs_per_gpu: RunsPerGpuOption = None
    retries: RetriesOption = None
