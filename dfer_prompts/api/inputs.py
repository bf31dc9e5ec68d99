"""Inputs of the public functions: clips and their test folds, class texts in label order, and settings.

Settings come from the choices of the call, `dfer.yaml` and the presets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ..classes import match_class_name
from ..description_set import DescriptionSet
from ..errors import InputError, unknown
from ..provenance import seen_note
from ..versions.store import DescriptionStore
from ..workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import ClassTexts, Run


def open_dataset(workspace: Workspace, given: PackedClips | Path | str | None) -> PackedClips:
    """The clips given by folder, URL or name in `dfer.yaml`; by default the only ones named there.

    Clips at a URL (`hf://datasets/ME/NAME`, `s3://BUCKET/NAME`) are streamed. Raises InputError if none is
    given and `dfer.yaml` does not name exactly one.
    """
    from dfer_model.data.packed import PackedClips

    if isinstance(given, PackedClips):
        return given
    if not isinstance(given, Path | str | None):
        raise InputError("several datasets are given\nOnly train takes several; give one dataset here")
    named = workspace.defaults.datasets
    if given is None and len(named) != 1:
        choice = f"dfer.yaml names {', '.join(named)}" if named else "dfer.yaml names none"
        raise InputError(
            f"no dataset is given, and {choice}\nGive --dataset DIR, made by: dfer-prompts data prepare"
        )
    name = str(given) if given is not None else next(iter(named))
    place = named.get(name, name)
    if name in named and is_url(place):
        check_named_url("dfer.yaml", place)
    return open_packed(place if is_url(place) else workspace.dataset(name))


# Schemes whose credentials go to a host of the user's own settings, not of the URL, or that send none.
FROM_A_FILE = ("hf", "s3", "s3a", "gs", "gcs", "http", "https", "file", "memory")


def check_named_url(file: str, url: str) -> None:
    """Raise InputError if a file names clips at a host that would receive the user's credentials."""
    if not url.casefold().startswith(tuple(f"{scheme}://" for scheme in FROM_A_FILE)):
        raise InputError(
            f"{file} names clips at {url}; reading them may send your credentials there\n"
            f"To allow it, give the URL yourself: --dataset {url}"
        )


def is_url(place: str) -> bool:
    """Whether `place` is a URL, not a folder of this machine."""
    return "://" in place


def open_packed(place: Path | str) -> PackedClips:
    """The packed clips in a folder or at a URL. Raises InputError if there are none."""
    if isinstance(place, Path):
        from dfer_model.data.packed import PackedClips

        return PackedClips.open(place)
    from dfer_model.data.streaming import StreamedClips  # which loads torch

    return StreamedClips.open(place)


def folds_to_test(clips: PackedClips, given: Iterable[int] | None) -> tuple[int, ...]:
    """The test folds given, each once; by default all folds. Raises InputError for none."""
    if given is not None:
        return each_once(given, "fold")
    folds = tuple(clips.fold_names())
    if not folds:
        raise InputError(
            f"{clips.path} has no folds, so there is no test split\n"
            "Define them with folds.csv or `data prepare folder --folds N`"
        )
    return folds


def each_once(given: Iterable[int], what: str) -> tuple[int, ...]:
    """The numbers without repetitions, in their order. Raises InputError for none."""
    numbers = tuple(dict.fromkeys(given))
    if not numbers:
        raise InputError(f"no {what} is given; give one or more")
    return numbers


def features_folder(workspace: Workspace) -> Path:
    """The cache of frame features; it can be deleted at any time."""
    return workspace.root / ".dfer" / "features"


def loaded(sets: Sequence[DescriptionSet | str], workspace: Workspace) -> list[DescriptionSet]:
    """The sets; those given by reference ("v2", "v2@4") are loaded. Raises InputError for none."""
    if not sets:
        raise InputError("no description set is given; give one or more")
    store = DescriptionStore(workspace)
    return [store.load(each) if isinstance(each, str) else each for each in sets]


def class_texts(of: DescriptionSet, class_names: Sequence[str]) -> ClassTexts:
    """The texts of the set for these classes, in this order.

    Raises InputError that names the classes the set does not cover.
    """
    from dfer_model.runs import ClassTexts

    texts = of.class_texts(class_names)
    return ClassTexts(of.name, of.sha256, tuple(class_names), tuple(tuple(members) for members in texts))


def seen_notes(run: Run, clips: PackedClips, folds: Sequence[int], workspace: Workspace) -> list[str]:
    """A note if the run's set was made with data of the test folds, if the set still exists unchanged."""
    try:
        described = DescriptionStore(workspace).load(run.texts.name)
    except InputError:
        return []
    if described.sha256 != run.texts.sha256:
        return []
    own = getattr(clips, "datasets", (clips,))  # each of several datasets
    notes = [seen_note(described, each.name, each.fingerprint, folds) for each in own]
    return [note for note in notes if note]


def no_texts(classifier: str, class_names: Sequence[str]) -> ClassTexts:
    """The class texts of a classifier without texts: class names only, under the classifier's name."""
    from dfer_model.runs import ClassTexts

    return ClassTexts(classifier, "", tuple(class_names), ((),) * len(class_names))


def descriptor_texts(of: DescriptionSet, class_names: Sequence[str]) -> list[list[str]]:
    """The descriptors of each class in the given order, of all members, without repetition."""
    return [
        list(dict.fromkeys(each.text for member in of.members[name] for each in member))
        for name in own_names(of, class_names)
    ]


def own_names(of: DescriptionSet, class_names: Sequence[str]) -> list[str]:
    """The set's own names of these classes."""
    return [match_class_name(name, of.class_names) or name for name in class_names]


def common_classes(sets: Sequence[DescriptionSet]) -> tuple[str, ...]:
    """The classes of the first set that every set describes. Raises InputError for fewer than 2."""
    first, *others = sets
    common = tuple(
        name
        for name in first.class_names
        if all(match_class_name(name, other.class_names) is not None for other in others)
    )
    if len(common) < 2:
        names = ", ".join(each.name for each in sets)
        raise InputError(f"{names} have {len(common)} classes in common; two or more are needed")
    return common


class Choices(TypedDict, total=False):
    """The keywords that choose settings, named as on the command line; None means not given.

    `preset` is the base, by default that of `dfer.yaml`, else "default"; `strategy` ("coop", "linear-probe")
    overrides it; the others override both. `freeze` "image" freezes the image tower. `overrides` are the
    values of `--set`: ["frames=8", "normalize=clip"].
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


SAME_NAME = ("clip", "weights", "epochs", "select", "ensemble")  # choices that are settings by the same name


def settings_for(
    workspace: Workspace,
    dataset_name: str,
    choices: Choices,
    row: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> Settings:
    """The settings: preset, strategy, the other choices, `row`, each of `overrides`, in this order.

    `row` holds the settings of a row of the paper's tables. If none of them sets the precision, it is that of
    `device` ("auto", "cpu", "cuda"); for None, an unknown device, float32. Raises InputError, and TypeError
    for a keyword that is not in `Choices`.
    """
    from dfer_model.config import strategy, with_overrides, with_values

    if unexpected := choices.keys() - Choices.__annotations__.keys():
        raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unexpected))}")
    given = {key: value for key, value in choices.items() if value is not None}
    values: dict[str, Any] = dict(strategy(str(given["strategy"]))) if given.get("strategy") else {}
    values |= {key: given[key] for key in SAME_NAME if key in given}
    if given.get("freeze"):
        values["lr_image"] = 0
    if given.get("clip") == "demo" and "weights" not in given:
        values["weights"] = "shipped"
    name = choices.get("preset") or workspace.defaults.preset or "default"
    settings = with_values(_preset(workspace, name, dataset_name), {**values, **(row or {})})
    settings = with_overrides(settings, choices.get("overrides", ()))
    if device not in (None, "cpu") and not sets_precision(workspace, choices):
        from dfer_model.devices import choose_device, default_precision

        where = choose_device(device, tf32=settings.tf32)
        settings = settings.model_copy(update={"precision": default_precision(where)})
    for file in (Path(settings.weights), workspace.root / settings.weights):
        if file.is_file():  # a run can be resumed from any folder
            return settings.model_copy(update={"weights": str(file.resolve())})
    return settings


def sets_precision(workspace: Workspace, choices: Choices) -> bool:
    """Whether an override or the preset sets the precision of a training."""
    from dfer_model.config import FP32_PRESETS

    name = choices.get("preset") or workspace.defaults.preset or "default"
    own = workspace.defaults.presets.get(name)
    base = name if own is None else own.get("base")
    given = {override.partition("=")[0].strip() for override in choices.get("overrides", ())}
    return "precision" in {*(own or ()), *given} or base in FP32_PRESETS


def cluster_notes(workspace: Workspace, choices: Choices, engine: str | None) -> tuple[str, ...]:
    """A note if no precision is given for trainings on a cluster, whose GPUs are unknown here."""
    if engine != "slurm" or sets_precision(workspace, choices):
        return ()
    return (
        "precision is fp32, because the GPUs of the jobs are unknown here; --set precision=bf16 is faster on "
        "GPUs since Ampere",
    )


def training_notes(
    workspace: Workspace, clips: PackedClips, settings: Settings, preset: str | None, folds: Sequence[int]
) -> tuple[str, ...]:
    """Notes on the augmentation of trainings on `folds`, and on the clips that the folds' lists leave out.

    Empty if the preset augments all datasets alike and the folds have no lists.
    """
    from dfer_model.config import augmentation_reason, augmentation_words
    from dfer_model.data.folds import notes_on
    from dfer_model.data.joined import JoinedClips

    name = preset or workspace.defaults.preset or "default"
    own = workspace.defaults.presets.get(name)
    base = str(own.get("base", "default")) if own is not None else name
    reason = augmentation_reason(base, clips.name, settings) if settings.epochs else None
    if reason and isinstance(clips, JoinedClips):
        reason = "preset paper adds brightness jitter or rotation only to trainings on dfew or ferv39k alone"
    augmented = [f"augmentation: {augmentation_words(settings)}; {reason}"] if reason else []
    return (*augmented, *notes_on({fold: clips.lists[fold] for fold in folds if fold in clips.lists}))


def _preset(workspace: Workspace, name: str, dataset_name: str) -> Settings:
    from dfer_model.config import PRESETS, preset, with_values

    own = workspace.defaults.presets
    if name not in own:
        if name not in PRESETS:
            raise unknown("preset", name, [*PRESETS, *own])
        return preset(name, dataset_name)
    keys = own[name]
    base = preset(str(keys.get("base", "default")), dataset_name)
    return with_values(base, {key: value for key, value in keys.items() if key != "base"})
