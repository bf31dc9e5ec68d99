"""The fold of each clip: from the lists of a dataset, or dealt at random. A clip in two lists is a leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from dfer_model.data.annotations import LabelFile, Labelled
from dfer_model.errors import InputError

# Verb for each role in messages; test lists are read last.
USES = {"train": "trains on it", "val": "validates on it", "test": "tests on it"}


def assign_folds(
    files: Sequence[LabelFile], read: Sequence[Sequence[Labelled]]
) -> dict[str, tuple[Labelled, int]]:
    """Clip id -> (its row, its fold): N for a test clip of set N, 0 for one that no given file tests.

    Raises InputError with the clip if it has two labels, is in the test lists of two sets, or in two lists of
    one set; and if two files are the same list of the same set.
    """
    _check_distinct(files)
    found: dict[str, tuple[Labelled, int]] = {}
    used: dict[tuple[str, int], tuple[LabelFile, str]] = {}
    for file, clips in sorted(zip(files, read, strict=True), key=lambda pair: list(USES).index(pair[0].role)):
        for clip in clips:
            known, fold = found.get(clip.clip_id, (clip, 0))
            if known.class_name != clip.class_name:
                raise InputError(
                    f"clip {clip.clip_id} has two labels: {known.class_name} ({known.where}) "
                    f"and {clip.class_name} ({clip.where})"
                )
            other, where = used.setdefault((clip.clip_id, file.number), (file, clip.where))
            if other.role != file.role:
                raise InputError(
                    f"clip {clip.clip_id} leaks: set {file.number} both {USES[other.role]} ({where}) "
                    f"and {USES[file.role]} ({clip.where})"
                )
            if file.is_test and fold not in (0, file.number):
                raise InputError(
                    f"clip {clip.clip_id} is tested twice: in set {fold} ({known.where}) "
                    f"and in set {file.number} ({clip.where})"
                )
            found[clip.clip_id] = (clip, file.number) if file.is_test else (known, fold)
    return found


def _check_distinct(files: Sequence[LabelFile]) -> None:
    seen: dict[tuple[str, int], LabelFile] = {}
    for file in files:
        other = seen.setdefault((file.role, file.number), file)
        if other is not file:
            kind = {"train": "training", "val": "validation", "test": "test"}[file.role]
            raise InputError(
                f"two {kind} lists of set {file.number}: {other.path} and {file.path}\n"
                "Name the set in each file's name (set_1, set_2 ...), or give one of them: --labels FILE"
            )


def deal_folds(classes: Mapping[str, str], folds: int, seed: int) -> dict[str, int]:
    """Clip id -> fold 1..`folds`, each class spread evenly, from clip id -> class name.

    Clips of one person may be in two folds; only a folds.csv can prevent this.
    Raises InputError for fewer than 2 folds or a class with fewer clips than folds.
    """
    # Imported here: packing processes import this module but deal no folds.
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise InputError(f"--folds {folds}: at least 2 are needed")
    rarest, count = Counter(classes.values()).most_common()[-1]
    if count < folds:
        raise InputError(f"class {rarest} has {count} clips, fewer than the {folds} folds")
    clip_ids = sorted(classes)
    dealt = {}
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(
        np.zeros(len(clip_ids)), [classes[clip_id] for clip_id in clip_ids]
    )
    for number, (_, tested) in enumerate(splits, start=1):
        dealt.update({clip_ids[int(index)]: number for index in tested})
    return dealt
