"""Features of a CLIP as a table: image features of frames, clips and face tracks, and text features.

Image features are the tower's output, not normalised. The feature of a clip or a track is the mean of its
frames' features; `predict` with a description set compares this mean of a clip with the texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as arrow
import torch
from pyarrow import parquet
from torch import Tensor

from dfer_model.config import Settings
from dfer_model.data.augmentation import resize
from dfer_model.data.packed import PackedClips
from dfer_model.data.sampling import sample_test
from dfer_model.devices import inference_precision
from dfer_model.errors import InputError
from dfer_model.evaluation.evaluate import FrameTower
from dfer_model.evaluation.text_scores import class_features
from dfer_model.io import replacing
from dfer_model.memory import out_of_memory_error
from dfer_model.models.clip import Clip, clip_identity
from dfer_model.progress import Report
from dfer_model.runs import ClassTexts
from dfer_model.video.footage import Footage
from dfer_model.video.passes import FaceOptions, follow, shown
from dfer_model.video.predict_video import as_frames, missing_faces, planned_windows
from dfer_model.video.windows import Window

from .screening.features import TEST, KeptFeatures

Level = Literal["frame", "clip", "track"]
Row = dict[str, Any]
METADATA = b"dfer-prompts"
AT_ONCE = 64  # clips read from the cache, or rows in a row group
COLUMNS = (
    ("kind", arrow.string()),  # frame, clip, track or text
    ("clip_id", arrow.string()),  # of a dataset's clip, or the video
    ("class_name", arrow.string()),  # of a dataset's clip, or of a text
    ("fold", arrow.int32()),  # of a dataset's clip
    ("track", arrow.int32()),  # of a face in a video
    ("start", arrow.float64()),  # of a window or track of a video, in seconds
    ("end", arrow.float64()),
    ("frame", arrow.int32()),  # index in the clip or video
    ("seconds", arrow.float64()),  # time of a video's frame
    ("text", arrow.string()),
)


def columns(width: int) -> arrow.Schema:
    """The columns, `feature` (width,) last; those that do not apply to a row are null."""
    return arrow.schema([*COLUMNS, ("feature", arrow.list_(arrow.float32(), width))])


@dataclass
class FeatureFile:
    """A Parquet file that is being written, and the number of its rows by kind."""

    writer: parquet.ParquetWriter
    schema: arrow.Schema
    counts: dict[str, int]

    def add(self, rows: Sequence[Row]) -> None:
        """Write the rows; missing columns are null."""
        if not rows:
            return
        for row in rows:
            self.counts[row["kind"]] = self.counts.get(row["kind"], 0) + 1
        plain = [{**row, "feature": row["feature"].numpy()} for row in rows]
        self.writer.write_table(arrow.Table.from_pylist(plain, schema=self.schema))


@contextmanager
def feature_file(path: Path, width: int, facts: Mapping[str, Any]) -> Iterator[FeatureFile]:
    """A new Parquet file, written beside `path` and renamed; `facts` are JSON in its metadata."""
    schema = columns(width).with_metadata({METADATA: json.dumps(facts, ensure_ascii=False)})
    with (
        replacing(path) as temporary,
        parquet.ParquetWriter(temporary, schema, write_page_checksum=True) as writer,
    ):
        yield FeatureFile(writer, schema, {})


def clip_facts(clip: Clip, settings: Settings) -> dict[str, Any]:
    """What determines the features, for the metadata of a file."""
    return {
        "clip": clip.name,
        "weights": Path(clip.weights).name,
        "sha256": clip_identity(clip),
        "frames": settings.frames,
        "normalize": settings.normalize,
        "precision": settings.precision,
    }


def rows_of_dataset(
    clip: Clip,
    clips: PackedClips,
    settings: Settings,
    cache_dir: Path,
    level: Level,
    device: str,
    report: Report,
) -> Iterator[list[Row]]:
    """The rows of packed clips in order, sampled as in a test, read from the cache that screening uses."""
    if level == "track":
        raise InputError("--level track is for videos; clips of a dataset have one face\nGive --level clip")
    cache = KeptFeatures(clip, clips, settings, cache_dir, device)
    every = np.arange(len(clips))
    cache.make(every, range(TEST, TEST + 1), report)
    for first in range(0, len(clips), AT_ONCE):
        part = every[first : first + AT_ONCE]
        (features,) = cache.batches(part, len(part))  # (clips, T, width)
        yield [
            row
            for index, each in zip(part, features, strict=True)
            for row in _of_clip(clips, int(index), each, level)
        ]


def _of_clip(clips: PackedClips, index: int, features: Tensor, level: Level) -> Iterator[Row]:
    """The row of a clip, or those of its frames, each once."""
    row = {
        "kind": level,
        "clip_id": clips.clip_ids[index],
        "class_name": clips.class_name_of(index),
        "fold": int(clips.folds[index]),
    }
    if level == "clip":
        yield {**row, "feature": features.mean(dim=0)}
        return
    frames = sample_test(int(clips.num_frames[index]), len(features))
    for frame, place in _each_once(frames).items():
        yield {**row, "frame": frame, "feature": features[place]}


class VideoFeatures:
    """Computes the rows of videos: faces, tracks and windows are those of a prediction."""

    def __init__(
        self, clip: Clip, settings: Settings, face_options: FaceOptions, device: torch.device
    ) -> None:
        self.settings, self.face_options, self.device = settings, face_options, device
        self.image_size = clip.image_size
        self.tower = FrameTower(clip, settings).to(device).eval()

    def rows(self, footage: Footage, level: Level, report: Report) -> tuple[list[Row], list[str]]:
        """The rows of a video, by track and time, and notes. Raises InputError if it is damaged."""
        followed = follow(footage, self.face_options, report)
        if followed.problem:
            raise InputError(followed.problem)
        paths = followed.chosen(self.face_options.track)
        planned = planned_windows(paths, self.face_options, self.settings.frames)
        found = []
        for window, crops in shown(footage, paths, planned, self.face_options, report):
            square = resize(as_frames(crops), self.image_size)
            found.append((window, self._features(square, str(footage.name))))
        found.sort(key=lambda each: (each[0].track, each[0].start))
        rows = {"clip": self._clips, "track": self._tracks, "frame": self._frames}[level](found)
        notes = [*footage.notes, *missing_faces(footage, followed, self.face_options)]
        return [{"kind": level, "clip_id": str(footage.name), **row} for row in rows], notes

    def _features(self, frames: Tensor, what: str) -> Tensor:
        """uint8 (T, 3, S, S) -> (T, width), on the CPU."""
        short = out_of_memory_error(self.device, f"the frames of {what} did not fit", "Give --device cpu")
        with short, torch.inference_mode(), inference_precision(self.settings.precision, self.device):
            features: Tensor = self.tower(frames[None].to(self.device))[0].float().cpu()
        return features

    def _clips(self, found: Sequence[tuple[Window, Tensor]]) -> list[Row]:
        """A row per window: the mean of its frames."""
        return [
            {**self._of(window), "start": window.start, "end": window.end, "feature": features.mean(dim=0)}
            for window, features in found
        ]

    def _frames(self, found: Sequence[tuple[Window, Tensor]]) -> list[Row]:
        """A row per track and sampled frame; a frame of two windows is there once."""
        rows: dict[tuple[int, int], Row] = {}
        for window, features in found:
            for frame, place in _each_once(window.frames).items():
                row = {"frame": frame, "seconds": window.seconds[place], "feature": features[place]}
                rows.setdefault((window.track, frame), self._of(window) | row)
        return [rows[key] for key in sorted(rows)]

    def _tracks(self, found: Sequence[tuple[Window, Tensor]]) -> list[Row]:
        """A row per track: the mean of its sampled frames, each once."""
        rows = []
        for track in dict.fromkeys(window.track for window, _ in found):
            own = [(window, features) for window, features in found if window.track == track]
            frames = [row["feature"] for row in self._frames(own)]
            span = {
                "start": min(window.start for window, _ in own),
                "end": max(window.end for window, _ in own),
            }
            rows.append(self._of(own[0][0]) | span | {"feature": torch.stack(frames).mean(dim=0)})
        return rows

    def _of(self, window: Window) -> Row:
        return {"track": window.track if self.face_options.detector else None}


def rows_of_texts(clip: Clip, texts: ClassTexts) -> list[Row]:
    """A row per text of each class, its feature of unit norm, without contexts.

    Raises InputError for a text that does not fit the text tower.
    """
    features = class_features(clip, texts.texts, texts.class_names)
    return [
        {"kind": "text", "class_name": name, "text": text, "feature": feature}
        for name, members, own in zip(texts.class_names, texts.texts, features, strict=True)
        for text, feature in zip(members, own, strict=True)
    ]


def _each_once(frames: Sequence[int]) -> dict[int, int]:
    """Frame -> its first place, in order; a short clip repeats its last frame."""
    places: dict[int, int] = {}
    for place, frame in enumerate(frames):
        places.setdefault(frame, place)
    return places
