"""The t-SNE figure of a run: the video features of its test clips, by class."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dfer_model.progress import Progress

from ...errors import InputError
from ..evaluate import own_clips
from .render import Content, Picture, Section
from .stored import RECORD, REPRODUCTION

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import Run

BEFORE = ("learning",)  # the section that the figure is placed before
MOST_CLIPS = 2000
MEANING = "Near points have similar features; distances between groups, and their sizes, have no meaning."


def features_picture(folder: Path, device: str, progress: Progress) -> Picture:
    """The figure of a finished run; its test clips are read and its model computes their features.

    Raises InputError for a comparison or reproduction, for clips that are missing or differ from those of the
    training, and for fewer than 4 test clips.
    """
    from dfer_model.evaluation.video_features import SEED, drawn, perplexity, tsne, video_features
    from dfer_model.reports.feature_figure import class_points
    from dfer_model.runs import Run

    for name, kind in ((RECORD, "comparison"), (REPRODUCTION, "reproduction")):
        if (folder / name).is_file():
            raise InputError(f"--features requires a run; {folder} is a {kind}\nReport one of its runs")
    run = Run.open(folder)
    clips = _clips(run)
    test = clips.test_indices(run.fold)
    indices = drawn(test, MOST_CLIPS)
    with progress("features") as report:
        features = video_features(run, clips, indices, device=device, report=report)
    labels = clips.labels[indices]
    counts = np.bincount(labels, minlength=len(clips.class_names))
    occurring = int((counts > 0).sum())
    points = tsne(features, occurring)
    count = str(len(test)) if len(test) == len(indices) else f"{len(indices)} of {len(test)}"
    chosen = "" if len(test) == len(indices) else f", drawn with seed {SEED}"
    by_class = ", ".join(f"{name} {n}" for name, n in zip(clips.class_names, counts, strict=True))
    what = f"t-SNE of the video features of {count} clips of test fold {run.fold}{chosen}, by true class"
    how = f"scikit-learn, perplexity {perplexity(len(indices), occurring):.3g}, seed {SEED}"
    draw = partial(class_points, "features", f"{what}: {by_class}", points, labels, clips.class_names)
    return Picture(f"{what} ({how}). Class texts are not shown. {MEANING}", draw)


def _clips(run: Run) -> PackedClips:
    """The clips of the run's training. Raises InputError."""
    try:
        clips = own_clips(run)
    except InputError as error:
        raise InputError(
            f"{str(error).splitlines()[0]}\n--features needs the clips that the run was trained with"
        ) from error
    if clips.fingerprint != run.config["dataset"]["fingerprint"]:
        raise InputError(
            f"{clips.path} holds other clips than those that {run.id} was trained with\n"
            "--features needs these"
        )
    return clips


def with_features(of: Content, picture: Picture) -> Content:
    """The report with a section for the figure."""
    section = Section("features", "Video features", (picture,))
    return of.with_section(section, BEFORE)
