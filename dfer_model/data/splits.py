"""Training clips, validation clips and learned classes of a run; never clips of the test fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_model.config import Settings
from dfer_model.data.class_names import composed
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingClips:
    """Positions in the packed clips, and the learned labels, ascending."""

    train: Integers
    val: Integers  # empty if the epoch is not selected on them
    learned: Integers


def training_clips(clips: PackedClips, settings: Settings, fold: int, seed: int) -> TrainingClips:
    """The training clips of `fold` under `settings`, and for `val` the validation clips.

    Validation clips are those of the fold's validation list, else a stratified part of its training clips.

    `shots` are drawn by (seed, fold) only, and fewer shots are a subset of more: every set learns from the
    same clips, and a curve over shots only adds clips. Raises InputError for a held-out class that does not
    exist or whose contexts would never be trained, for classes that are too small to split, and for
    targets=distribution if the clips have no votes.
    """
    if settings.targets == "distribution" and clips.votes is None:
        raise InputError(
            f"targets=distribution: the clips in {clips.path} have no votes\n"
            "Prepare them with votes: dfer-prompts data prepare LAYOUT --votes FILE, or use targets=labels"
        )
    train = clips.train_indices(fold)
    learned = np.arange(len(clips.class_names))
    if settings.held_out:
        label = _held_out(clips, settings)
        train, learned = train[clips.labels[train] != label], learned[learned != label]
        if not len(train):
            raise InputError(f"without {settings.held_out} fold {fold} of {clips.path} has no training clips")
    rng = np.random.default_rng([seed, fold])
    if settings.shots:
        train = _first_of_each_class(train, clips.labels, settings.shots, rng)
    if settings.select != "val":
        return TrainingClips(train, train[:0], learned)
    given = clips.val_indices(fold)
    given = given[np.isin(clips.labels[given], learned)]
    if len(given):
        return TrainingClips(train, given, learned)
    rest, val = _stratified(train, clips, settings.val_share, seed)
    return TrainingClips(rest, val, learned)


def _held_out(clips: PackedClips, settings: Settings) -> int:
    name = composed(settings.held_out)
    known = [composed(each) for each in clips.class_names]
    if name not in known:
        raise InputError(f"held_out={name} is not a class of {clips.path}: {', '.join(clips.class_names)}")
    if not settings.uses_texts:
        raise InputError(
            f"held_out={name}: a {settings.classifier} classifier uses no text to recognise the class\n"
            "Use --strategy dfer-clip, coop or cocoop"
        )
    if settings.contexts and settings.context_kind == "class-specific":
        raise InputError(
            f"held_out={name}: the contexts of a held-out class would never be trained\n"
            "Share them with --set context_kind=unified, or disable them with --set contexts=0"
        )
    return known.index(name)


def _first_of_each_class(train: Integers, labels: Integers, shots: int, rng: np.random.Generator) -> Integers:
    shuffled = rng.permutation(train)
    chosen = [shuffled[labels[shuffled] == label][:shots] for label in np.unique(labels[train])]
    return np.sort(np.concatenate(chosen))


def split_by_class(indices: Integers, labels: Integers, share: float, seed: int) -> tuple[Integers, Integers]:
    """A stratified split into the training and the validation part, about `share`; each ascending.

    `labels` are those of the clips at `indices`. Raises ValueError for classes too small to be in both.
    """
    from sklearn.model_selection import train_test_split

    rest, part = train_test_split(indices, test_size=share, random_state=seed, stratify=labels)
    return np.sort(rest), np.sort(part)


def _stratified(train: Integers, clips: PackedClips, share: float, seed: int) -> tuple[Integers, Integers]:
    labels = clips.labels[train]
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count < 2:
            raise InputError(
                f"--select val: {clips.class_names[label]} has 1 training clip, too few for both "
                "training and validation\nAdd clips, or use --select last"
            )
    try:
        return split_by_class(train, labels, share, seed)
    except ValueError:
        raise InputError(
            f"--select val: a share of {share:g} of {len(train)} training clips leaves some of the "
            f"{len(np.unique(labels))} classes without a validation or training clip\n"
            "Give another with --set val_share=..., or --select last"
        ) from None
