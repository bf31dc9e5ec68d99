"""From options, `dfer.yaml` and presets to the settings of a run; from names to clips, texts and devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError, unknown
from ..workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import ClassTexts
    from dfer_model.settings import Settings

    from ..description_set import DescriptionSet

DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", help="Folder of packed clips, or a name that dfer.yaml gives one."),
]
PresetOption = Annotated[
    str | None,
    typer.Option("--preset", help="default, paper, paper-text, demo, or one of dfer.yaml's presets."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, such as normalize=clip."),
]
ClipOption = Annotated[
    str | None, typer.Option("--clip", help="CLIP by open_clip's name, or `demo`.", show_default=False)
]
WeightsOption = Annotated[
    str | None,
    typer.Option("--weights", help="Pretrained tag, weight file, or `random`.", show_default=False),
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="Passes over the training clips.")]
SelectOption = Annotated[
    Literal["last", "test-best"] | None,
    typer.Option("--select", help="Epoch that is kept; test-best looks at the judging fold, and flatters."),
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.")]


@dataclass(frozen=True)
class Choices:
    """What the command line said about the settings; None where it was silent."""

    preset: str | None = None
    clip: str | None = None
    weights: str | None = None
    epochs: int | None = None
    select: str | None = None
    overrides: list[str] = field(default_factory=list)

    def settings(self, workspace: Workspace, dataset_name: str) -> Settings:
        """The settings: the preset, then the options, then each `--set`. Raises InputError."""
        from dfer_model.settings import with_overrides

        options = {"clip": self.clip, "weights": self.weights, "epochs": self.epochs, "select": self.select}
        if self.clip == "demo" and self.weights is None:
            options["weights"] = "shipped"
        if self.weights and Path(self.weights).is_file():
            # A run is taken up again from any folder.
            options["weights"] = str(Path(self.weights).resolve())
        given = [f"{key}={value}" for key, value in options.items() if value is not None]
        name = self.preset or workspace.defaults.preset or "default"
        return with_overrides(_preset(workspace, name, dataset_name), [*given, *self.overrides])


def _preset(workspace: Workspace, name: str, dataset_name: str) -> Settings:
    from dfer_model.settings import PRESETS, preset, with_overrides

    own = workspace.defaults.presets
    if name not in own:
        if name not in PRESETS:
            raise unknown("preset", name, [*PRESETS, *own])
        return preset(name, dataset_name)
    keys = own[name]
    base = preset(str(keys.get("base", "default")), dataset_name)
    return with_overrides(base, [f"{key}={value}" for key, value in keys.items() if key != "base"])


def open_dataset(workspace: Workspace, given: str | None) -> PackedClips:
    """The clips that `--dataset` means; without it the only dataset that `dfer.yaml` names.

    Raises InputError when there is none, or more than one to choose from.
    """
    from dfer_model.data.packed import PackedClips

    named = workspace.defaults.datasets
    if given is None and len(named) != 1:
        choice = f"dfer.yaml names {', '.join(named)}" if named else "dfer.yaml names none"
        raise InputError(f"which clips? {choice}\nGive --dataset DIR, made by: dfer-prompts data prepare")
    return PackedClips.open(workspace.dataset(given if given is not None else next(iter(named))))


def class_texts(descriptions: DescriptionSet, clips: PackedClips) -> ClassTexts:
    """What a model for these clips is given of the set: the texts of their classes, in label order.

    Raises InputError that names the classes the set does not cover.
    """
    from dfer_model.runs import ClassTexts

    texts = descriptions.class_texts(clips.class_names)
    return ClassTexts(
        name=descriptions.name,
        sha256=descriptions.sha256,
        class_names=clips.class_names,
        texts=tuple(tuple(members) for members in texts),
    )


def judging_folds(clips: PackedClips, given: str | None) -> tuple[int, ...]:
    """The folds that `--folds` means, by default all that can be tested. Raises InputError for none."""
    if given is not None:
        return numbers(given, "--folds")
    folds = tuple(clips.fold_names())
    if not folds:
        raise InputError(
            f"{clips.path} has no folds, so nothing can judge\n"
            "Say them with folds.csv or `data prepare folder --folds N`"
        )
    return folds


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
        found += range(int(first), int(last if dash else first) + 1) or [-1]
    if min(found) < least or len(set(found)) != len(found):
        raise InputError(f"{option} {text!r} names no number, or one twice; write it like 1-3 or 1,2,5")
    return tuple(found)
