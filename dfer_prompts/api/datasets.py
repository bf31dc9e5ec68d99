"""Several datasets of one training: opened, their classes matched by name, and opened again for a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..classes import ClassSet, load_class_set, match_class_name
from ..description_set import DescriptionSet
from ..errors import InputError
from ..provenance import seen_note
from ..workspace import Workspace
from .inputs import open_dataset

if TYPE_CHECKING:
    from dfer_model.data.joined import JoinedClips
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import Run

    Dataset = PackedClips | Path | str


def open_datasets(
    workspace: Workspace, given: Dataset | Sequence[Dataset] | None, classes: str | None
) -> PackedClips:
    """The clips of one dataset, as `open_dataset`, or those of several as one.

    The classes of several are those of the class set `classes`, by default those of the datasets, which must
    then have the same. Class names are matched by name and alias; clips of other classes are left out.
    Raises InputError for datasets that cannot be joined.
    """
    if given is None or not isinstance(given, Sequence) or isinstance(given, str):
        return open_dataset(workspace, given)
    if len(given) < 2:
        return open_dataset(workspace, next(iter(given), None))
    from dfer_model.data.joined import JoinedClips

    opened = [open_dataset(workspace, each) for each in given]
    if classes is None:
        names = opened[0].class_names
        mappings = [_same_classes(each, opened[0]) for each in opened]
    else:
        class_set = load_class_set(classes)
        names = class_set.names
        mappings = [dict(_known_classes(each, class_set)) for each in opened]
    return JoinedClips(opened, mappings, names, classes)


def _known_classes(clips: PackedClips, class_set: ClassSet) -> Iterator[tuple[str, str]]:
    """The clips' class names that the class set has by name or alias, each with its name there."""
    for name in clips.class_names:
        try:
            yield name, class_set.resolve(name).name
        except InputError:
            continue


def _same_classes(clips: PackedClips, first: PackedClips) -> dict[str, str]:
    """The clips' class names, each with that of `first`. Raises InputError unless both have the same."""
    mapping = {name: match_class_name(name, first.class_names) for name in clips.class_names}
    other = [name for name, own in mapping.items() if own is None]
    lacking = [name for name in first.class_names if name not in mapping.values()]
    if other or lacking:
        has, lacks, which = (clips, first, other) if other else (first, clips, lacking)
        raise InputError(
            f"{has.path} has the classes {', '.join(which)}, which {lacks.path} does not have\n"
            "Choose the classes to train on by a class set: --classes dfew"
        )
    return {name: own for name, own in mapping.items() if own is not None}


def joined(clips: PackedClips) -> JoinedClips | None:
    """The clips as those of several datasets; None for one dataset."""
    from dfer_model.data.joined import JoinedClips

    return clips if isinstance(clips, JoinedClips) else None


def seen_in(described: DescriptionSet, clips: PackedClips, fold: int) -> Iterator[str]:
    """A note for each dataset of the clips whose test fold influenced the set."""
    several = joined(clips)
    if several is None:
        tested = [(clips, fold)]
    else:
        folds = several.own_folds(fold)
        tested = [(each, own) for each, own in zip(several.datasets, folds, strict=True) if own is not None]
    for each, own in tested:
        if note := seen_note(described, each.name, each.fingerprint, [own]):
            yield note


def reopened(run: Run) -> JoinedClips | None:
    """The clips of a run that was trained on several datasets; None for a run on one.

    Raises InputError for a dataset that is no longer there.
    """
    from dfer_model.data.joined import JoinedClips
    from dfer_model.data.packed import PackedClips
    from dfer_model.run_config import dataset_parts

    parts = dataset_parts(run.config)
    if not parts:
        return None
    for each in parts:
        if not Path(each.path or "-").is_dir():
            where = f"no longer in {each.path}" if each.path else "unknown"
            raise InputError(
                f"the clips of {each.name}, on which {run.id} was trained, are {where}\n"
                "Give the folder of one dataset: --dataset DIR"
            )
    opened = [PackedClips.open(Path(each.path)) for each in parts]
    return JoinedClips(opened, [each.classes for each in parts], run.class_names)
