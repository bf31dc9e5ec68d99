"""The roles of the clips: some choose a set, others confirm its gain, and those of the test fold test it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfer_model.progress import Progress

from ...errors import InputError
from ...optimization.edits import State, sentences
from ...workspace import Workspace
from ..inputs import features_folder
from .result import FinalSet, SetFigures

if TYPE_CHECKING:
    from torch import Tensor

    from dfer_model.comparison.candidate_sets import CandidateSets
    from dfer_model.comparison.statistics import Difference
    from dfer_model.comparison.zero_shot import Videos
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips

CONFIRMING = 0.25  # share of the clips of a single fold that confirm and never choose


@dataclass(frozen=True)
class ClipRoles:
    """Scores of sets on the clips of each role; `encode` gives text features, each text once."""

    choosing: CandidateSets
    confirming: CandidateSets
    testing: CandidateSets | None
    choosing_videos: Videos
    encode: Callable[[Sequence[str]], Tensor]

    def final_set(self, start: State, end: State) -> FinalSet:
        """The set `end`, with its gains on `start`."""
        tested = None if self.testing is None else _figures(self.testing, start, end)
        chosen = self.choosing.score(sentences(end)).uar
        return FinalSet(end, chosen, _figures(self.confirming, start, end), tested)

    def difference(self, first: State, second: State) -> Difference:
        """The UAR of `first` minus that of `second`, on the test fold, else on the confirming clips."""
        return (self.testing or self.confirming).gain(sentences(first), sentences(second))

    def sizes(self) -> tuple[int, int, int]:
        """The numbers of choosing, confirming and test clips."""
        tested = 0 if self.testing is None else len(self.testing.labels)
        return len(self.choosing.labels), len(self.confirming.labels), tested


def clip_roles(
    place: Workspace,
    clips: PackedClips,
    folds: tuple[int, ...],
    test_fold: int | None,
    settings: Settings,
    seed: int,
    progress: Progress,
    device: str,
) -> ClipRoles:
    """The roles of the clips of `folds` and `test_fold`. Raises InputError if no clip can confirm."""
    from dfer_model.comparison.candidate_sets import CandidateSets, each_encoded_once, split_clips
    from dfer_model.comparison.zero_shot import video_features
    from dfer_model.evaluation.text_scores import text_features
    from dfer_model.models.clip import load_clip

    clip = load_clip(settings.clip, settings.weights)
    encode = each_encoded_once(lambda texts: text_features(clip, texts, texts))
    cache = features_folder(place)
    with progress("clips") as report:
        videos = video_features(clip, clips, folds, settings, cache, report, device)
        testing = None
        if test_fold is not None:
            tested = video_features(clip, clips, (test_fold,), settings, cache, report, device)
            testing = CandidateSets(tested, encode)
    choosing, confirming = split_clips(videos, CONFIRMING, seed)
    if not len(confirming.labels):
        raise InputError("the fold has no class with two clips, so none can confirm a gain\nGive more folds")
    return ClipRoles(
        CandidateSets(choosing, encode), CandidateSets(confirming, encode), testing, choosing, encode
    )


def _figures(clips: CandidateSets, start: State, end: State) -> SetFigures:
    return SetFigures(clips.uar(sentences(end)), clips.gain(sentences(end), sentences(start)))
