"""Train one run in its folder, or reuse it if it is finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from dfer_model.progress import Progress, silence

from ..classes import load_class_set
from ..description_set import DescriptionSet
from ..errors import InputError, system_errors
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .datasets import joined, open_datasets, seen_in
from .inputs import Choices, class_texts, no_texts, settings_for, training_notes

if TYPE_CHECKING:
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import ClassTexts, Run, RunSpec
    from dfer_model.training.training_estimate import TrainingEstimate

    from .datasets import Dataset


@system_errors()
def train(
    descriptions: DescriptionSet | str | None = None,
    *,
    dataset: Dataset | Sequence[Dataset] | None = None,
    classes: str | None = None,
    fold: int = 1,
    seed: int = 1,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    note: Callable[[str], None] = lambda _: None,
    track: Sequence[str] | None = ("none",),
    **choices: Unpack[Choices],
) -> Run:
    """Train on all folds of the clips except the test fold `fold`, and return the finished run.

    `descriptions` is a set or its reference ("v2@4"), not needed by strategies without texts; `dataset` is
    packed clips, their folder or their name in `dfer.yaml`, by default the only one named there; `classes` is
    the class set whose aliases resolve the clips' class names; `choices` are the keywords of `Choices`. A
    list of datasets trains on all of them: each keeps its folds, and clips of classes that are not in
    `classes`, by default those that all datasets have, are left out. `note` receives caveats on the figures.
    `track` names the trackers that log the epochs ("tensorboard", "wandb", others of Accelerate; "none" for
    none); None is TensorBoard if it is installed. A finished run is reused, a stopped one is resumed.
    Strategy "zero-shot" needs no clips: if none are given and `dfer.yaml` does not name exactly one dataset,
    the run has no figures, and `classes` names its classes, by default all of the set. Raises InputError for
    inputs that do not fit each other, and Interrupted on Ctrl-C.
    """
    place = workspace or Workspace.find()
    if dataset is None and len(place.defaults.datasets) != 1:
        settings = settings_for(place, "", choices, device=device)
        if settings.is_zero_shot:
            return _without_clips(descriptions, settings, classes, (fold, seed), place, device, note)
    spec, clips = _spec(descriptions, dataset, classes, fold, seed, place, note, choices, device)

    from dfer_model.launch import several_processes_requested
    from dfer_model.training.loggers import Tracking, chosen_trackers
    from dfer_model.training.loop import train_run

    if several_processes_requested():
        note(
            "accelerate launch started one process instead of several, as it does on a CPU; "
            "torchrun --nproc_per_node N starts N"
        )

    followed = chosen_trackers(track)
    with progress(f"{spec.texts.name}, fold {fold}, seed {seed}: epochs") as report:
        return train_run(
            spec,
            clips,
            place.runs,
            report=report,
            device=device,
            tracking=Tracking(followed, note),
            note=note,
        )


@system_errors()
def train_dry_run(
    descriptions: DescriptionSet | str | None = None,
    *,
    dataset: Dataset | Sequence[Dataset] | None = None,
    classes: str | None = None,
    fold: int = 1,
    seed: int = 1,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    note: Callable[[str], None] = lambda _: None,
    **choices: Unpack[Choices],
) -> TrainingEstimate:
    """What `train` would do with the same parameters: parameters, clips, memory, time, and files.

    The model is loaded and four steps are computed, of which three are measured. Nothing is written to the
    workspace; weights of a CLIP that are not in the cache yet are downloaded. Raises InputError, WorkError
    and Interrupted as `train`, and InputError if torchrun started several processes.
    """
    from dfer_model.training.training_estimate import estimate_training

    place = workspace or Workspace.find()
    spec, clips = _spec(descriptions, dataset, classes, fold, seed, place, note, choices, device)
    with progress(f"{spec.texts.name}, fold {fold}, seed {seed}: dry run") as report:
        return estimate_training(spec, clips, place.runs, device=device, report=report, note=note)


def _without_clips(
    descriptions: DescriptionSet | str | None,
    settings: Settings,
    classes: str | None,
    fold_and_seed: tuple[int, int],
    place: Workspace,
    device: str,
    note: Callable[[str], None],
) -> Run:
    """The zero-shot run of a set, which can predict and be exported, and has no figures."""
    from dfer_model.runs import RunSpec
    from dfer_model.training.untrained import NOTE, untrained_run

    described = _required(_described(descriptions, place), settings)
    names = load_class_set(classes).names if classes is not None else described.class_names
    note(NOTE)
    fold, seed = fold_and_seed
    spec = RunSpec(settings, class_texts(described, names), "", "", fold, seed)
    return untrained_run(spec, place.runs, device=device)


def _spec(
    descriptions: DescriptionSet | str | None,
    dataset: Dataset | Sequence[Dataset] | None,
    classes: str | None,
    fold: int,
    seed: int,
    place: Workspace,
    note: Callable[[str], None],
    choices: Choices,
    device: str,
) -> tuple[RunSpec, PackedClips]:
    """The run that `train` defines by its parameters, and its clips. Notes the caveats on its figures."""
    from dfer_model.runs import RunSpec

    described = _described(descriptions, place)
    clips = open_datasets(place, dataset, classes)
    settings = settings_for(place, clips.name, choices, device=device)
    for indices in (clips.train_indices, clips.test_indices):
        indices(fold)  # raises InputError for a fold that the clips do not have
    if settings.uses_texts:
        texts = _texts(_required(described, settings), clips, classes)
    else:
        texts = no_texts(settings.classifier, clips.class_names)
        if described is not None:
            note(f"a {settings.classifier} classifier uses no texts: {described.name} is ignored")
    read = described if settings.uses_texts else None
    seen = seen_in(read, clips, fold) if read else ()
    several = joined(clips)
    notes = (
        *(f"{each}: the figures are optimistically biased" for each in seen),
        *((*several.left_out(), *several.fold_notes(fold)) if several else ()),
        *training_notes(place, clips, settings, choices.get("preset"), [fold]),
    )
    for each in notes:
        note(each)
    spec = RunSpec(settings, texts, clips.path, clips.fingerprint, fold, seed, notes)
    return (replace(spec, parts=several.parts, class_set=several.class_set) if several else spec), clips


def _required(described: DescriptionSet | None, settings: Settings) -> DescriptionSet:
    if described is None:
        raise InputError(
            f"a {settings.classifier} classifier needs class texts\nGive a set: --descriptions v1"
        )
    return described


def _described(given: DescriptionSet | str | None, workspace: Workspace) -> DescriptionSet | None:
    return DescriptionStore(workspace).load(given) if isinstance(given, str) else given


def _texts(descriptions: DescriptionSet, clips: PackedClips, classes: str | None) -> ClassTexts:
    """The class texts; with a class set, the clips' class names are first resolved by its aliases."""
    from dfer_model.runs import ClassTexts

    if classes is None:
        return class_texts(descriptions, clips.class_names)
    class_set = load_class_set(classes)
    texts = descriptions.class_texts([class_set.resolve(name).name for name in clips.class_names])
    return ClassTexts(descriptions.name, descriptions.sha256, clips.class_names, tuple(map(tuple, texts)))
