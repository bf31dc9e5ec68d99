"""A dataset of drawn clips: people, folds, class counts, and packing."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dfer_model.data.images import decode_pixels
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError
from dfer_model.io import replacing
from dfer_model.progress import Report

from .face import render
from .people import Identity, Track, draw_identity, draw_track
from .units import CLASS_NAMES, EXPRESSIONS

FOLDS = 5
_JPEG_QUALITY = 92
# Relative class counts as in films: much happiness and neutral, little disgust and fear.
_WEIGHTS = {
    "happiness": 1.6,
    "neutral": 1.5,
    "sadness": 1.3,
    "anger": 1.3,
    "disgust": 0.7,
    "fear": 0.7,
    "contempt": 0.7,
}
_CLIPS_PER_PERSON = 4


@dataclass(frozen=True)
class DrawnClip:
    """One clip before its frames are drawn, determined by the dataset's seed and `number`."""

    clip_id: str
    number: int
    class_name: str
    person: int
    fold: int


def plan_clips(clips: int, seed: int, class_names: Sequence[str] = CLASS_NAMES) -> list[DrawnClip]:
    """The person, class and fold of each clip; classes are imbalanced, and every fold has each of them.

    Folds share no people: person p belongs to fold 1 + p % 5. Raises InputError for fewer clips than one per
    class and fold, and for a class that cannot be drawn.
    """
    unknown = [name for name in class_names if name not in EXPRESSIONS]
    if unknown:
        raise InputError(f"no drawing of {', '.join(unknown)}\nThere are: {', '.join(CLASS_NAMES)}")
    if clips < FOLDS * len(class_names):
        raise InputError(
            f"{clips} clips are too few for {len(class_names)} classes in {FOLDS} folds\n"
            f"Draw at least {FOLDS * len(class_names)}"
        )
    rng = np.random.default_rng((seed, 0))
    shares = np.array([_WEIGHTS.get(name, 1.0) for name in class_names])
    spare = clips - FOLDS * len(class_names)
    middles = (np.arange(spare) + 0.5) / max(spare, 1) * shares.sum()
    picks = np.searchsorted(np.cumsum(shares), middles).tolist()  # each class in proportion to its share
    labels = [*range(len(class_names))] * FOLDS
    folds = [fold for fold in range(1, FOLDS + 1) for _ in class_names]
    order = rng.permutation(len(picks))
    labels += [picks[i] for i in order]
    folds += [1 + i % FOLDS for i in range(len(picks))]
    people = max(1, clips // (FOLDS * _CLIPS_PER_PERSON))
    return [
        DrawnClip(
            clip_id=f"drawn-{number:05d}",
            number=number,
            class_name=class_names[labels[i]],
            person=folds[i] - 1 + FOLDS * int(rng.integers(people)),
            fold=folds[i],
        )
        for number, i in enumerate(rng.permutation(clips))
    ]


def person(seed: int, number: int) -> Identity:
    """The identity `number` of the dataset drawn from `seed`."""
    return draw_identity(np.random.default_rng((seed, 1, number)))


def clip_track(clip: DrawnClip, seed: int) -> Track:
    """The ground truth of each frame of a clip: action units, views, intensity and apex."""
    return draw_track(clip.class_name, np.random.default_rng((seed, 2, clip.number)))


def clip_frames(clip: DrawnClip, seed: int, image_size: int) -> Iterator[np.ndarray]:
    """The frames of a clip, each (image_size, image_size, 3) uint8."""
    who, track = person(seed, clip.person), clip_track(clip, seed)
    noise = np.random.default_rng((seed, 3, clip.number))
    for units, view in zip(track.units, track.views, strict=True):
        yield render(who, units, view, image_size, noise)


def draw_dataset(
    out: Path,
    *,
    clips: int = 550,
    seed: int = 1,
    image_size: int = 64,
    class_names: Sequence[str] = CLASS_NAMES,
    report: Report | None = None,
) -> PackedClips:
    """Draw a dataset of clips of 8 to 80 frames to the new folder `out`; equal arguments give equal bytes.

    `report(done, total, clip id)` is called after each clip. Raises InputError when `out` exists, a class has
    no drawing, or the clips are too few to give each class one in each of the five folds.
    """
    plan = plan_clips(clips, seed, class_names)

    def rows() -> Iterator[dict[str, Any]]:
        for done, clip in enumerate(plan, start=1):
            yield {
                "clip_id": clip.clip_id,
                "class_name": clip.class_name,
                "fold": clip.fold,
                "source": f"drawn: seed {seed}, person {clip.person}",
                "frames": [_jpeg(frame) for frame in clip_frames(clip, seed, image_size)],
            }
            if report:
                report(done, len(plan), clip.clip_id)

    facts = {"dataset": "drawn", "clips": clips, "seed": seed, "image_size": image_size, "skipped": []}
    return write_packed(rows(), class_names, out, facts)


def draw_contact_sheet(clips: PackedClips, path: Path, columns: int = 8) -> None:
    """A PNG with a row per class in label order: the middle frame of its first `columns` clips.

    Raises OSError where `path` cannot be written.
    """
    rows = []
    for label in range(len(clips.class_names)):
        chosen = np.flatnonzero(clips.labels == label)[:columns]
        frames = [clips.encoded_frames(int(i), [int(clips.num_frames[i]) // 2])[0] for i in chosen]
        rows.append([Image.fromarray(decode_pixels(frame)) for frame in frames])
    width, height = next(frame for row in rows for frame in row).size
    sheet = Image.new("RGB", (width * columns, height * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, frame in enumerate(row):
            sheet.paste(frame.resize((width, height)), (x * width, y * height))
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _jpeg(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
