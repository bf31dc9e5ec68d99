"""From what a person chose, `dfer.yaml` and the presets to the settings of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from ..errors import unknown
from ..workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.settings import Settings


class Choices(TypedDict, total=False):
    """The keywords that choose settings, with the words of the command line; None is no choice.

    `preset` is the base, by default that of `dfer.yaml`, else "default"; `strategy` ("coop", "linear-probe")
    is laid over it; the others win over both. `freeze` "image" leaves the image tower as it is. `overrides`
    are what `--set` takes: ["frames=8", "normalize=clip"].
    """

    preset: str | None
    strategy: str | None
    clip: str | None
    weights: str | None
    epochs: int | None
    select: Literal["last", "val", "test-best"] | None
    freeze: Literal["image"] | None
    ensemble: Literal["mean-embedding", "mean-similarity", "max"] | None
    overrides: Sequence[str]


def settings_for(
    workspace: Workspace,
    dataset_name: str,
    *,
    preset: str | None = None,
    strategy: str | None = None,
    clip: str | None = None,
    weights: str | None = None,
    epochs: int | None = None,
    select: str | None = None,
    freeze: Literal["image"] | None = None,
    ensemble: str | None = None,
    overrides: Sequence[str] = (),
) -> Settings:
    """The settings: preset, strategy, keywords, each of `overrides`, in this order. Raises InputError."""
    from dfer_model.settings import strategy as laid_over
    from dfer_model.settings import with_overrides

    options: dict[str, object] = dict(laid_over(strategy)) if strategy else {}
    given = {"clip": clip, "weights": weights, "epochs": epochs, "select": select, "ensemble": ensemble}
    options |= {key: value for key, value in given.items() if value is not None}
    if freeze:
        options["lr_image"] = 0
    if clip == "demo" and weights is None:
        options["weights"] = "shipped"
    chosen = [f"{key}={value}" for key, value in options.items()]
    name = preset or workspace.defaults.preset or "default"
    settings = with_overrides(_preset(workspace, name, dataset_name), [*chosen, *overrides])
    for file in (Path(settings.weights), workspace.root / settings.weights):
        if file.is_file():  # a run is taken up again from any folder
            return settings.model_copy(update={"weights": str(file.resolve())})
    return settings


def training_notes(
    workspace: Workspace, clips: PackedClips, settings: Settings, preset: str | None, folds: Sequence[int]
) -> tuple[str, ...]:
    """Which augmentation trainings on `folds` use and why, and which clips the folds' own lists leave out.

    Nothing where the preset augments every dataset alike, and the folds have no lists of their own.
    """
    from dfer_model.data.given_lists import notes_on
    from dfer_model.settings import augmentation_reason, augmentation_words

    name = preset or workspace.defaults.preset or "default"
    own = workspace.defaults.presets.get(name)
    base = str(own.get("base", "default")) if own is not None else name
    reason = augmentation_reason(base, clips.name, settings) if settings.epochs else None
    augmented = [f"augmentation: {augmentation_words(settings)}; {reason}"] if reason else []
    return (*augmented, *notes_on({fold: clips.lists[fold] for fold in folds if fold in clips.lists}))


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
