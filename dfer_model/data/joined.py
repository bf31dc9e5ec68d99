"""Several datasets of packed clips as one, for a training on all of them.

Each dataset keeps its folds: the test clips of fold f are those of fold f of every dataset. A dataset with
one test fold, such as FERV39k, tests it in every fold; all clips of a dataset without folds are for training.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfer_model.data.folds import notes_on
from dfer_model.data.packed import PackedClips
from dfer_model.data.votes import Floats
from dfer_model.errors import InputError, listed
from dfer_model.run_config import DatasetPart

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class JoinedClips(PackedClips):
    """The clips of several datasets, in the order given; the clips of classes without a mapping are left out.

    `mappings` map the class names of each dataset to those of `class_names`, the classes in label order.
    `class_set` is the name of the class set or its file, if one was given. The ids of all clips begin with
    the name of their dataset if an id occurs in two datasets. Raises InputError for fewer than two datasets,
    streamed clips, clips that are given twice, and a dataset or a class without clips.
    """

    def __init__(
        self,
        datasets: Sequence[PackedClips],
        mappings: Sequence[Mapping[str, str]],
        class_names: Sequence[str],
        class_set: str | None = None,
    ) -> None:
        _require_joinable(datasets)
        self.datasets: tuple[PackedClips, ...] = tuple(datasets)
        self.mappings: tuple[dict[str, str], ...] = tuple(map(dict, mappings))
        self.class_names, self.class_set = tuple(class_names), class_set
        self.path = " + ".join(str(each.path) for each in datasets)
        self.names = _distinct([each.name for each in datasets])
        labels = [_labels(*each, self.class_names) for each in zip(datasets, self.mappings, strict=True)]
        self._kept = [np.flatnonzero(each >= 0) for each in labels]
        counts = [len(each) for each in self._kept]
        self.dataset_of: Integers = np.repeat(np.arange(len(datasets)), counts)  # position in `datasets`
        self._places: Integers = np.concatenate(self._kept)
        self.labels = np.concatenate([each[kept] for each, kept in zip(labels, self._kept, strict=True)])
        self.folds = self._gathered([each.folds for each in datasets])
        self.num_frames = self._gathered([each.num_frames for each in datasets])
        self.sources = [self.datasets[d].sources[i] for d, i in self._pairs()]
        self.clip_ids = self._ids()
        self.report, self.lists = {}, {}
        self.fingerprint = self._digest()
        _require_clips(self)

    def _pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.dataset_of.tolist(), self._places.tolist(), strict=True))

    def _gathered(self, columns: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.int64]:
        """The values of all clips from a column per dataset."""
        return np.concatenate([each[kept] for each, kept in zip(columns, self._kept, strict=True)])

    def _ids(self) -> list[str]:
        own = [self.datasets[d].clip_ids[i] for d, i in self._pairs()]
        if len(set(own)) == len(own):
            return own
        return [f"{self.names[d]}/{clip_id}" for d, clip_id in zip(self.dataset_of, own, strict=True)]

    @cached_property
    def votes(self) -> Floats | None:
        """The votes for the joined classes (clips, classes); None unless all datasets have votes."""
        own = [each.votes for each in self.datasets]
        rows = []
        for votes, clips, mapping, kept in zip(own, self.datasets, self.mappings, self._kept, strict=True):
            if votes is None:
                return None
            joined = np.zeros((len(clips), len(self.class_names)), np.float32)
            for column, name in enumerate(clips.class_names):
                if name in mapping:
                    joined[:, self.class_names.index(mapping[name])] += votes[:, column]
            rows.append(joined[kept])
        return np.concatenate(rows)

    def _digest(self) -> str:
        """A sha256 of the clips and classes of all datasets, in their order."""
        facts = [self.class_names, [each.fingerprint for each in self.datasets], self.clip_ids]
        digest = hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode())
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """The names of the datasets, joined by +."""
        return "+".join(self.names)

    @property
    def shards(self) -> Integers:
        """Raises InputError: clips of several datasets have no order of files."""
        raise InputError("sampling=streamed requires one dataset; several are given")

    @property
    def parts(self) -> tuple[DatasetPart, ...]:
        """The datasets as recorded in a run's config."""
        return tuple(
            DatasetPart(name=name, path=_place(each), fingerprint=each.fingerprint, classes=mapping)
            for name, each, mapping in zip(self.names, self.datasets, self.mappings, strict=True)
        )

    def encoded_frames(self, index: int, indices: Sequence[int]) -> list[bytes]:
        """As `PackedClips.encoded_frames`."""
        place = int(self._places[index])
        return self.datasets[int(self.dataset_of[index])].encoded_frames(place, indices)

    def fold_names(self) -> list[int]:
        """The folds of any of the datasets, ascending."""
        return sorted({fold for each in self.datasets for fold in each.fold_names()})

    def own_folds(self, fold: int) -> list[int | None]:
        """The test fold of each dataset in `fold`; None for a dataset without folds.

        Raises InputError if no dataset has this fold, or one with several folds does not.
        """
        known = [each.fold_names() for each in self.datasets]
        for name, folds in zip(self.names, known, strict=True):
            if fold not in self.fold_names() or (len(folds) > 1 and fold not in folds):
                have = f"it has {', '.join(map(str, folds))}" if folds else "it has no folds"
                raise InputError(f"{name} has no fold {fold}: {have}\nChoose a fold of every dataset")
        return [fold if fold in folds else next(iter(folds), None) for folds in known]

    def _check_fold(self, fold: int) -> None:
        self.own_folds(fold)

    def test_indices(self, fold: int) -> Integers:
        """The test clips of `fold` of every dataset. Raises InputError if there are none."""
        tested = [
            np.zeros(len(each), np.bool_) if own is None else each.folds == own
            for each, own in zip(self.datasets, self.own_folds(fold), strict=True)
        ]
        return np.flatnonzero(self._gathered(tested))

    def val_indices(self, fold: int) -> Integers:
        """The clips of the validation lists that the datasets have for `fold`."""
        return np.flatnonzero(self._gathered([self._validated(*each) for each in self._with_folds(fold)]))

    def learnable(self, fold: int) -> Mask:
        """Per clip whether `fold` trains on it."""
        learned = [
            np.ones(len(each), np.bool_) if own is None else each.learnable(own)
            for each, own in self._with_folds(fold)
        ]
        return self._gathered(learned).astype(np.bool_)

    def _with_folds(self, fold: int) -> list[tuple[PackedClips, int | None]]:
        return list(zip(self.datasets, self.own_folds(fold), strict=True))

    @staticmethod
    def _validated(clips: PackedClips, fold: int | None) -> Mask:
        mask = np.zeros(len(clips), np.bool_)
        if fold is not None:
            mask[clips.val_indices(fold)] = True
        return mask

    def by_dataset(self, indices: Integers) -> dict[str, Mask]:
        """Which of the clips at `indices` are of each dataset that has some, by its name."""
        found = self.dataset_of[indices]
        masks = {name: found == number for number, name in enumerate(self.names)}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def left_out(self) -> list[str]:
        """Notes on the clips of each dataset that are left out, and on the classes that it lacks."""
        notes = []
        for number, (name, clips) in enumerate(zip(self.names, self.datasets, strict=True)):
            rest = Counter(clips.labels.tolist())
            gone = {
                each: rest[label]
                for label, each in enumerate(clips.class_names)
                if rest[label] and each not in self.mappings[number]
            }
            if gone:
                counts = ", ".join(f"{each} {count}" for each, count in gone.items())
                notes.append(f"{name}: {sum(gone.values())} clips of other classes are left out ({counts})")
            occurring = {*self.labels[self.dataset_of == number].tolist()}
            lacking = [each for label, each in enumerate(self.class_names) if label not in occurring]
            if lacking:
                notes.append(f"{name} has no clips of {', '.join(lacking)}")
        return notes

    def fold_notes(self, fold: int) -> list[str]:
        """Notes on the test fold and the training lists of each dataset in `fold`."""
        notes = []
        for name, (clips, own) in zip(self.names, self._with_folds(fold), strict=True):
            if own is None:
                notes.append(f"{name} has no folds: all of its clips are for training")
            elif own != fold:
                notes.append(f"{name} has one test fold, {own}, which is tested in every fold")
            lists = {own: clips.lists[own]} if own is not None and own in clips.lists else {}
            notes += [f"{name}: {each}" for each in notes_on(lists)]
        return notes


def _place(clips: PackedClips) -> str:
    return str(Path(clips.path).resolve())


def _require_joinable(datasets: Sequence[PackedClips]) -> None:
    if len(datasets) < 2:
        raise InputError("clips are joined from two or more datasets")
    for each in datasets:
        if isinstance(each, JoinedClips) or "://" in str(each.path):
            raise InputError(
                f"{each.path} is streamed or joined, and cannot be trained on with other datasets\n"
                "Copy the clips to this machine, or train on it alone"
            )
    repeated = [key for key, count in Counter(each.fingerprint for each in datasets).items() if count > 1]
    if repeated:
        same = [str(each.path) for each in datasets if each.fingerprint == repeated[0]]
        raise InputError(f"these datasets have the same clips: {', '.join(same)}\nGive each dataset once")


def _require_clips(clips: JoinedClips) -> None:
    """Raise InputError for a dataset or a class without clips."""
    for number, each in enumerate(clips.datasets):
        if number not in clips.dataset_of:
            raise InputError(
                f"{each.path} has no clips of {listed(clips.class_names)}\n"
                "Leave it out, or give other --classes"
            )
    counts = np.bincount(clips.labels, minlength=len(clips.class_names))
    empty = [name for name, count in zip(clips.class_names, counts, strict=True) if not count]
    if empty:
        raise InputError(
            f"no dataset has clips of {', '.join(empty)}\nGive a class set without them: --classes NAME|FILE"
        )


def _labels(clips: PackedClips, mapping: Mapping[str, str], class_names: Sequence[str]) -> Integers:
    """The label of each clip among `class_names`, -1 for a class without one."""
    by_class = [class_names.index(mapping[name]) if name in mapping else -1 for name in clips.class_names]
    return np.array(by_class, dtype=np.int64)[clips.labels]


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with -2, -3 ... at those that occurred before."""
    found: list[str] = []
    for name in names:
        number, own = 1, name
        while own in found:
            number += 1
            own = f"{name}-{number}"
        found.append(own)
    return tuple(found)
