"""Descriptions of single clips as a table beside a description set: `clip_descriptions/VERSION.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from ..description_set import join
from ..workspace import Workspace
from .clip_images import ClipImages
from .rank import rank

FOLDER = "clip_descriptions"  # in the workspace


@dataclass(frozen=True)
class ClipDescription:
    """A row of the table: a clip and its description; `source` is the model or the file it is from."""

    clip_id: str
    class_name: str
    fold: int
    source: str
    description: str


COLUMNS = tuple(each.name for each in fields(ClipDescription))


def described_clips(
    clips: Iterable[ClipImages], answers: Iterable[tuple[str, Sequence[str]]], top_k: int, source: str
) -> tuple[ClipDescription, ...]:
    """A description of each clip with an answer: its first `top_k` descriptors by support, as a sentence.

    `answers` holds the clip id and the descriptors of each answer.
    """
    by_clip: dict[str, list[Sequence[str]]] = {}
    for clip_id, descriptors in answers:
        by_clip.setdefault(clip_id, []).append(descriptors)
    return tuple(
        ClipDescription(
            clip.clip_id,
            clip.class_name,
            clip.fold,
            source,
            join([each.text for each in rank(by_clip[clip.clip_id], top_k)]),
        )
        for clip in clips
        if clip.clip_id in by_clip
    )


def table(descriptions: Iterable[ClipDescription]) -> str:
    """The table as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(each) for each in descriptions)
    return text.getvalue()


def table_path(version: str, workspace: Workspace) -> Path:
    """The file of the table beside a version."""
    return workspace.root / FOLDER / f"{version}.csv"
