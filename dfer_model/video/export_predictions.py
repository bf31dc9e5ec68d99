"""Export of predictions: rows as CSV and Parquet, and the crops as images."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from dfer_model.data.images import Pixels, encode_jpeg
from dfer_model.evaluation.classify import Prediction
from dfer_model.io import replacing

from .footage import Footage


def columns(class_names: Sequence[str]) -> arrow.Schema:
    """The columns; a row is one window of one track: seconds, pixels, and the probability of each class."""
    text, number, integer = arrow.string(), arrow.float64(), arrow.int64()
    return arrow.schema(
        [
            ("file", text),
            ("track", integer),
            *((name, number) for name in ("start", "end", "left", "top", "right", "bottom")),
            ("expression", text),
            *((f"p_{name}", number) for name in class_names),
        ]
    )


def rows(predictions: Iterable[Prediction]) -> list[dict[str, Any]]:
    """A row for each prediction; track and box are None for whole frames."""
    return [
        {
            "file": str(each.video),
            "track": each.track,
            "start": each.start,
            "end": each.end,
            **dict(zip(("left", "top", "right", "bottom"), each.box or (None,) * 4, strict=True)),
            "expression": each.expression,
            **{f"p_{name}": value for name, value in each.probabilities.items()},
        }
        for each in predictions
    ]


def write_csv(path: Path, predictions: Iterable[Prediction], class_names: Sequence[str]) -> None:
    """Write the rows under a header to `path`, replacing it; without rows only the header."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns(class_names).names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows(predictions))


class CsvRows:
    """The file of `write_csv`, written row by row, so that rows survive an interruption."""

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("w", newline="", encoding="utf-8", buffering=1)
        self._writer = csv.DictWriter(self._stream, columns(class_names).names, lineterminator="\n")
        self._writer.writeheader()

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Write a row for each immediately."""
        self._writer.writerows(rows(predictions))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def write_parquet(path: Path, predictions: Iterable[Prediction], class_names: Sequence[str]) -> None:
    """Write the rows as a Parquet file to `path`, replacing it; without rows only the columns."""
    table = arrow.Table.from_pylist(rows(predictions), schema=columns(class_names))
    with replacing(path) as temporary:
        parquet.write_table(table, temporary, write_page_checksum=True)


class FaceFolder:
    """Stores the crops given to the model as `<video>/track-<n>/<frame>.jpg` below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, Path] = {}

    def __call__(self, footage: Footage, prediction: Prediction, crops: Sequence[Pixels]) -> None:
        """Write the crops of one window; a frame of two windows is written once. Whole frames are track 1."""
        folder = self._folder(footage.name) / f"track-{prediction.track or 1}"
        folder.mkdir(parents=True, exist_ok=True)
        for frame, crop in dict(zip(prediction.frames, crops, strict=True)).items():
            path = folder / f"{frame:06d}.jpg"
            path.write_bytes(encode_jpeg(crop))

    def _folder(self, video: Path) -> Path:
        """A folder for each video; a second video of the same name gets `<name>-2`."""
        if video not in self._folders:
            name = re.sub(r"[^\w.()\[\] -]", "_", video.name).strip(". ") or "video"
            taken = set(self._folders.values())
            names = chain([name], (f"{name}-{number}" for number in count(2)))
            self._folders[video] = next(self.root / each for each in names if self.root / each not in taken)
        return self._folders[video]
