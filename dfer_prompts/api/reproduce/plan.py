"""The runs of a row of a table: settings, class texts and seeds, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import ensembles
from ...classes import class_set_of
from ...description_set import DescriptionSet
from ...errors import InputError
from ...generation.facs import sentence_set
from ...provenance import require_unseen
from ...workspace import Workspace
from ..inputs import Choices, class_texts, no_texts, settings_for
from .paper_tables import Row

if TYPE_CHECKING:
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import ClassTexts, RunSpec

RELEASED_LR_IMAGE = 1e-5  # of the image tower, in the released code


@dataclass(frozen=True)
class Study:
    """The inputs that all rows share."""

    workspace: Workspace
    clips: PackedClips
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    descriptions: DescriptionSet
    second: DescriptionSet | None
    farl: Path | None
    chosen: Choices  # a row's own settings override all of it but `overrides`


@dataclass(frozen=True)
class Planned:
    """A row of a table and its runs; `note` says why there are none."""

    table: str
    number: int
    row: Row
    note: str = ""
    settings: Settings | None = None
    texts: ClassTexts | None = None
    specs: tuple[RunSpec, ...] = ()

    @property
    def title(self) -> str:
        """The row's title in messages."""
        return f"{self.table}, {self.row.name}"


def plan(study: Study, table: str, number: int, row: Row) -> Planned:
    """The row's runs, fold by fold and seed by seed.

    Raises InputError for settings and descriptions that do not fit.
    """
    from dfer_model.runs import RunSpec

    if why_not := _reason(study, row):
        return Planned(table, number, row, why_not)
    settings = row_settings(study, row)
    texts = _texts(study, row, settings)
    seeds = study.seeds if row.random else study.seeds[:1]
    specs = tuple(
        RunSpec(settings, texts, study.clips.path, study.clips.fingerprint, fold, seed)
        for fold in study.folds
        for seed in seeds
    )
    return Planned(table, number, row, "", settings, texts, specs)


def _reason(study: Study, row: Row) -> str:
    """Why the row cannot be trained; empty if it can."""
    if row.published_only:
        return "published only"
    if row.needs == "farl" and study.farl is None:
        return "skipped: it needs FaRL's weights (--farl FILE)"
    if row.needs == "second" and study.second is None:
        return "skipped: it needs a second description set (--second V)"
    if row.top is not None:
        fewest = min(len(each) for members in study.descriptions.members.values() for each in members)
        if fewest < row.top:
            return f"skipped: {study.descriptions.name} has only {fewest} descriptors for some classes"
    return ""


def row_settings(study: Study, row: Row) -> Settings:
    """The preset and the given choices, overridden by the row's settings, then by `overrides`."""
    from dfer_model.config import strategy

    own: dict[str, Any] = {**(strategy(row.strategy) if row.strategy else {}), **row.settings}
    without: Choices = {**study.chosen, "overrides": ()}
    if row.image_tower == "trained" and not settings_for(study.workspace, study.clips.name, without).lr_image:
        own["lr_image"] = RELEASED_LR_IMAGE
    if row.needs == "farl":
        own["weights"] = str(study.farl)
    return settings_for(study.workspace, study.clips.name, study.chosen, own)


def _texts(study: Study, row: Row, settings: Settings) -> ClassTexts:
    if not settings.uses_texts:
        return no_texts(settings.classifier, study.clips.class_names)
    described = _described(study, row)
    require_unseen([described], study.clips.name, study.clips.fingerprint, study.folds)
    return class_texts(described, study.clips.class_names)


def _described(study: Study, row: Row) -> DescriptionSet:
    if row.sentence is not None:
        classes = class_set_of(study.clips.name, study.clips.class_names)
        return replace(sentence_set(classes, row.sentence), name=row.sentence)
    first, second = study.descriptions, study.second
    if row.top is not None:
        return first.top(row.top)
    if row.members == 2 and second is not None:
        return replace(ensembles.members([first, second]), name=f"{first.name}+{second.name}")
    return first


def check(planned: Sequence[Planned], clips: PackedClips, runs: Path, report: Callable[..., None]) -> None:
    """Check for problems that would stop a run later: a fold, a missing CLIP, a text that is too long.

    Each model that is not trained yet is built once. Raises InputError that names the row.
    """

    for fold in dict.fromkeys(spec.fold for each in planned for spec in each.specs):
        clips.train_indices(fold)
        clips.test_indices(fold)
    seen: set[str] = set()
    for number, each in enumerate(planned):
        report(number, len(planned), each.title)
        waiting = [spec for spec in each.specs if not (spec.folder(runs) / "result.json").is_file()]
        if not waiting or waiting[0].definition in seen:
            continue
        seen.add(waiting[0].definition)
        try:
            _begin(waiting, clips)
        except InputError as error:
            raise InputError(f"{each.title}: {error}") from error
    report(len(planned), len(planned), "")


def _begin(specs: Sequence[RunSpec], clips: PackedClips) -> None:
    """Build what the trainings of a row start with. Raises InputError as they would."""
    from dfer_model.data.splits import training_clips
    from dfer_model.models.strategies import load_base
    from dfer_model.training.setup import make_optimizer

    for spec in specs:
        training_clips(clips, spec.settings, spec.fold, spec.seed)
    settings, texts = specs[0].settings, specs[0].texts
    model = load_base(settings).build(texts.texts, texts.class_names)
    if settings.epochs:
        make_optimizer(model, settings)
