"""Choose descriptors by zero-shot score on training folds, and record these folds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from dfer_model.progress import Progress, silence

from ..description_set import DescriptionSet, Seen, join
from ..errors import system_errors
from ..provenance import chosen_set
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .inputs import (
    Choices,
    descriptor_texts,
    each_once,
    features_folder,
    loaded,
    open_dataset,
    own_names,
    settings_for,
)

if TYPE_CHECKING:
    from dfer_model.comparison.descriptor_search import Found
    from dfer_model.comparison.zero_shot import Videos
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips
    from dfer_model.models.clip import Clip

KEPT_STEPS = 200  # of the log, in the manifest


@dataclass(frozen=True)
class Searched:
    """The version made by a search, in its `folder`, and its log on `clips` clips of `folds`.

    `uar` in percent is that of the set searched, of its first k descriptors and of the choice, on the clips
    used for the search, so it is optimistically biased; `left` are the folds left for testing.
    """

    descriptions: DescriptionSet
    folder: Path
    dataset: str
    class_names: tuple[str, ...]
    folds: tuple[int, ...]
    left: tuple[int, ...]
    clips: int
    uar: dict[str, float]
    found: Found

    def as_dict(self) -> dict[str, Any]:
        """What `descriptions search --json` prints."""
        return {
            "version": self.descriptions.name,
            "folder": str(self.folder),
            "dataset": self.dataset,
            "folds": list(self.folds),
            "folds_left_to_judge": list(self.left),
            "clips": self.clips,
            "uar": self.uar,
            "sentences": self.found.sentences,
            "not_searched": list(self.found.not_searched),
            "classes": dict(zip(self.class_names, map(list, self.found.chosen), strict=True)),
            "steps": [asdict(step) for step in self.found.steps],
        }


@system_errors()
def search(
    of: DescriptionSet | str,
    *,
    folds: Iterable[int],
    dataset: PackedClips | Path | str | None = None,
    k: int = 4,
    seed: int = 1,
    version: str | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    **choices: Unpack[Choices],
) -> Searched:
    """Choose `k` descriptors of each class by zero-shot UAR on training `folds`, and save them as a version.

    Only the labels of the clips of `folds` are used; fold 0 are clips outside all test folds. `compare` and
    `score` refuse to test the version, or sets derived from it, on them. `dataset` is packed clips, their
    folder or their name in `dfer.yaml`, by default the only one named there. `seed` decides the order of the
    classes; `version` is the new version's name, by default the next of v1, v2, ... `choices` are `preset`,
    `clip`, `weights` and `overrides` of `Choices`. Raises InputError.
    """
    place = workspace or Workspace.find()
    store = DescriptionStore(place)
    (given,) = loaded([of], place)
    if version is not None:
        store.check_name(version)
    clips = open_dataset(place, dataset)
    chosen_by = each_once(folds, "fold")
    given.class_texts(clips.class_names)  # raises and names the classes not covered
    candidates = descriptor_texts(given, clips.class_names)
    settings = settings_for(place, clips.name, choices, device=device)
    from dfer_model.comparison.descriptor_search import search as search_descriptors
    from dfer_model.comparison.zero_shot import video_features
    from dfer_model.evaluation.text_scores import text_features
    from dfer_model.models.clip import load_clip

    clip = load_clip(settings.clip, settings.weights)
    with progress("clips") as report:
        videos = video_features(clip, clips, chosen_by, settings, features_folder(place), report, device)
    with progress("search") as report:
        found = search_descriptors(
            videos,
            clips.class_names,
            candidates,
            k,
            lambda sentences, owner: text_features(clip, sentences, [owner] * len(sentences)),
            join,
            seed=seed,
            report=report,
        )
    full = _uar(clip, given, clips, videos)
    saved = store.save(_chosen(given, clips, chosen_by, settings, k, seed, found), version)
    return Searched(
        descriptions=saved,
        folder=store.path(saved.name),
        dataset=clips.name,
        class_names=clips.class_names,
        folds=chosen_by,
        left=tuple(fold for fold in clips.fold_names() if fold not in chosen_by),
        clips=len(videos.labels),
        uar={given.name: full, f"first {k}": found.start[0], saved.name: found.score[0]},
        found=found,
    )


def _uar(clip: Clip, of: DescriptionSet, clips: PackedClips, videos: Videos) -> float:
    from dfer_model.comparison.zero_shot import prompt_figures

    figures = prompt_figures(clip, videos, of.class_texts(clips.class_names), clips.class_names)
    return next(iter(figures.values())).uar.value


def _chosen(
    of: DescriptionSet,
    clips: PackedClips,
    folds: tuple[int, ...],
    settings: Settings,
    k: int,
    seed: int,
    found: Found,
) -> DescriptionSet:
    from dfer_model.runs import weights_identity

    names = own_names(of, clips.class_names)
    steps = [{key: value for key, value in asdict(step).items() if value is not None} for step in found.steps]
    derivation = {
        "command": "search",
        "of": of.name,
        "dataset": clips.name,
        "folds": list(folds),
        "k": k,
        "seed": seed,
        "clip": settings.clip,
        "weights": weights_identity(settings),
        "frames": settings.frames,
        "normalize": settings.normalize,
        "uar_of_the_first": found.start[0],
        "uar_on_the_folds_that_chose": found.score[0],
        "not_searched": list(found.not_searched),
        "steps": steps[:KEPT_STEPS],
        "steps_left_out": max(len(steps) - KEPT_STEPS, 0),
    }
    seen = Seen(dataset=clips.name, fingerprint=clips.fingerprint, folds=tuple(sorted(folds)))
    return chosen_set(of, dict(zip(names, found.chosen, strict=True)), seen, derivation)
