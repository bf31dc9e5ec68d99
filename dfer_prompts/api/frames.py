"""The clips whose frames are shown to a multimodal model: drawn from training folds, as JPEG images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfer_model.progress import Progress, silence

from ..classes import ClassSet, class_set_names, class_set_of, load_class_set, match_class_name
from ..description_set import Seen
from ..errors import InputError, system_errors
from ..generation.clip_images import ClipImages, ShownClips
from ..generation.plan import Classes, chosen_class_set
from ..llm.images import Image
from ..workspace import Workspace
from .confused_classes import confused_classes
from .inputs import Choices, each_once, open_dataset

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips

MOST_SIDE = 336  # pixels of the longer side of an image: the input of many image towers of multimodal models


@dataclass(frozen=True)
class FrameChoices:
    """The options of `generate` for the source "frames", documented there."""

    dataset: PackedClips | Path | str | None = None
    folds: Iterable[int] | None = None
    clips: int = 4
    frames: int = 4
    contrast: bool = False
    per_clip: bool = False
    send_images: bool = False
    clip: str | None = None
    weights: str | None = None
    of: str = "v1"
    seed: int | None = None

    def check_unused(self, source: str) -> None:
        """Raise InputError for an option that a source without frames does not use."""
        default = FrameChoices()
        used = (
            "dataset",
            "folds",
            "clips",
            "frames",
            "contrast",
            "per_clip",
            "send_images",
            "clip",
            "weights",
        )
        given = [name for name in used if getattr(self, name) != getattr(default, name)]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} requires --source frames, not {source}")

    def check(self) -> None:
        """Raise InputError for a number below 1, and for a CLIP without `contrast`."""
        if self.clips < 1 or self.frames < 1:
            raise InputError("--clips and --frames must be 1 or more")
        if not self.contrast and (self.clip or self.weights):
            raise InputError("--clip and --weights require --contrast: without it no CLIP is used")


def clips_of_source(
    source: str,
    classes: Classes | None,
    choices: FrameChoices,
    workspace: Workspace,
    device: str = "auto",
    progress: Progress = silence,
) -> tuple[Classes | None, ShownClips | None]:
    """The class set and the clips of the source "frames"; for another source `classes` and no clips.

    Raises InputError for an option that the source does not use, and as `shown_clips`.
    """
    if source != "frames":
        choices.check_unused(source)
        return classes, None
    return shown_clips(classes, choices, workspace, device, progress)


@system_errors()
def shown_clips(
    classes: Classes | None,
    choices: FrameChoices,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
) -> tuple[ClassSet, ShownClips]:
    """The class set, by default the dataset's, and frames of clips of each class from the training folds.

    `generate_all` and `dry_run` take both. `workspace` is by default the current one.

    Raises InputError for a class without clips in the folds, a frame that cannot be read, and invalid
    choices.
    """
    choices.check()
    place = workspace or Workspace.find()
    clips = open_dataset(place, choices.dataset)
    if choices.folds is None:
        raise InputError(
            "--source frames requires --folds: the training folds whose clips are shown, such as 2-5"
        )
    folds = each_once(choices.folds, "fold")
    class_set = _class_set(classes, clips)
    own = {each.name: _dataset_class(each.name, clips) for each in class_set.classes}
    seed = 1 if choices.seed is None else choices.seed
    drawn = {
        name: _drawn(clips, folds, clips.class_names.index(label_name), choices.clips, seed)
        for name, label_name in own.items()
    }
    others: dict[str, str] = {}
    more: tuple[Seen, ...] = ()
    if choices.contrast:
        named: Choices = {"clip": choices.clip, "weights": choices.weights}
        others, more = confused_classes(
            class_set, own, clips, folds, choices.of, named, place, device, progress
        )
    seen = Seen(dataset=clips.name, fingerprint=clips.fingerprint, folds=tuple(sorted(folds)))
    shown = {
        name: tuple(_images(clips, index, name, choices.frames) for index in indices)
        for name, indices in drawn.items()
    }
    return class_set, ShownClips(
        clips.name,
        shown,
        others,
        choices.per_clip,
        choices.send_images,
        tuple(dict.fromkeys((seen, *more))),
        _derivation(choices, clips, folds, shown, others),
    )


def _class_set(classes: Classes | None, clips: PackedClips) -> ClassSet:
    """The class set given, else the shipped one with the dataset's name and classes, else its classes."""
    if classes is not None:
        return chosen_class_set(classes)
    if clips.name.casefold() in class_set_names():
        shipped = load_class_set(clips.name)
        if set(shipped.names) == set(clips.class_names):
            return shipped
    return class_set_of(clips.name, clips.class_names)


def _dataset_class(name: str, clips: PackedClips) -> str:
    found = match_class_name(name, clips.class_names)
    if found is None:
        raise InputError(f"{clips.name} has no class {name}\nIt has {', '.join(clips.class_names)}")
    return found


def _drawn(clips: PackedClips, folds: tuple[int, ...], label: int, count: int, seed: int) -> list[int]:
    """Positions of `count` clips of a class in the folds, fewer if it has fewer, ascending."""
    for fold in folds:
        if not (clips.folds == fold).any():
            clips.test_indices(fold)  # raises and names the folds that there are
    found = np.flatnonzero(np.isin(clips.folds, folds) & (clips.labels == label))
    if not len(found):
        listed = ", ".join(map(str, folds))
        raise InputError(f"fold {listed} of {clips.name} has no clip of {clips.class_names[label]}")
    rng = np.random.default_rng((seed, label))
    return sorted(rng.choice(found, size=min(count, len(found)), replace=False).tolist())


def _images(clips: PackedClips, index: int, class_name: str, frames: int) -> ClipImages:
    """Evenly spaced frames of a clip as JPEG images; all of them if it has fewer."""
    from dfer_model.data.sampling import sample_test

    places = list(dict.fromkeys(sample_test(int(clips.num_frames[index]), frames)))
    clip_id = clips.clip_ids[index]
    try:
        images = tuple(Image(_jpeg(encoded)) for encoded in clips.encoded_frames(index, places))
    except InputError as error:
        raise InputError(f"a frame of clip {clip_id} of {clips.path} {error}") from error
    return ClipImages(clip_id, class_name, int(clips.folds[index]), images)


def _jpeg(encoded: bytes) -> bytes:
    """The frame as a JPEG file without metadata, its longer side at most MOST_SIDE pixels."""
    from PIL import Image as Pillow

    from dfer_model.data.images import decode_pixels, encode_jpeg

    pixels = decode_pixels(encoded)
    height, width = pixels.shape[:2]
    share = MOST_SIDE / max(height, width)
    if share < 1:
        size = max(1, round(width * share)), max(1, round(height * share))
        pixels = np.asarray(Pillow.fromarray(pixels).resize(size, Pillow.Resampling.LANCZOS))
    return encode_jpeg(pixels)


def _derivation(
    choices: FrameChoices,
    clips: PackedClips,
    folds: tuple[int, ...],
    shown: Mapping[str, tuple[ClipImages, ...]],
    others: Mapping[str, str],
) -> dict[str, Any]:
    """What the manifest says about the frames."""
    contrast = {"contrast": dict(others), "confusions_of": choices.of, "clip": choices.clip} if others else {}
    return {
        "command": "generate",
        "dataset": clips.name,
        "folds": list(folds),
        "frames": choices.frames,
        "largest_side": MOST_SIDE,
        "per_clip": choices.per_clip,
        "clip_ids": {name: [each.clip_id for each in own] for name, own in shown.items()},
        **{key: value for key, value in contrast.items() if value is not None},
    }
