"""For each class the one that zero-shot prediction most often takes it for, on training clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dfer_model.progress import Progress

from ..classes import ClassSet
from ..description_set import Seen
from ..workspace import Workspace
from .inputs import Choices, class_texts, features_folder, loaded, settings_for

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips


def confused_classes(
    class_set: ClassSet,
    own: Mapping[str, str],
    clips: PackedClips,
    folds: tuple[int, ...],
    of: str,
    named: Choices,
    workspace: Workspace,
    device: str,
    progress: Progress,
) -> tuple[dict[str, str], tuple[Seen, ...]]:
    """The class most often predicted in place of each class of the set, and the folds the set `of` has seen.

    Predictions are among the classes of the set, by `of` with the CLIP of `named` on all clips of `folds`.
    Equally frequent ones are ordered by their mean similarity to the clips of the class. `own` gives the
    dataset's names of the classes. Raises InputError as `score` does.
    """
    (described,) = loaded([of], workspace)
    texts = class_texts(described, list(own.values()))
    settings = settings_for(workspace, clips.name, named, device=device)
    from dfer_model.comparison.zero_shot import video_features
    from dfer_model.evaluation.evaluate import zero_shot_logits
    from dfer_model.models.clip import load_clip

    clip = load_clip(settings.clip, settings.weights)
    with progress("clips") as report:
        videos = video_features(clip, clips, folds, settings, features_folder(workspace), report, device)
    logits = zero_shot_logits(videos.features[:, None], clip, texts, settings.ensemble)
    labels = [clips.class_names.index(name) for name in own.values()]
    predicted = logits.argmax(axis=1)
    found = {}
    for place, label in enumerate(labels):
        clips_of_class = videos.labels == label
        counts = np.bincount(predicted[clips_of_class], minlength=len(labels)).astype(float)
        similar = logits[clips_of_class].mean(axis=0)
        order = np.lexsort((similar, counts))  # ascending by count, then by similarity
        found[class_set.names[place]] = class_set.names[next(int(at) for at in order[::-1] if at != place)]
    return found, described.manifest.seen
