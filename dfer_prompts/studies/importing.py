"""Checkpoints that others trained, made runs of this workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..classes import load_class_set
from ..errors import system_errors
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .texts import class_texts

if TYPE_CHECKING:
    from dfer_model.runs import Run


@system_errors()
def import_checkpoint(
    file: Path | str,
    classes: str,
    *,
    descriptions: str | None = None,
    position: Literal["end", "middle", "front"] = "end",
    clip: str | None = None,
    fold: int = 1,
    workspace: Workspace | None = None,
) -> Run:
    """A released DFER-CLIP checkpoint as a finished run, found again when it is imported once more.

    `classes` is the class set it tells apart, in DFER-CLIP's order; `descriptions` the set it is thought to
    have been trained with, checked against the texts that the file holds, which win; `position` where the
    description stands among the contexts; `clip` open_clip's name of its CLIP, by default ViT-B-32-quickgelu;
    `fold` the one that judges it. Raises InputError for what is no such checkpoint or does not fit.
    """
    from dfer_model.imported.released import CLIP, import_run

    workspace = workspace or Workspace.find()
    names = load_class_set(classes).names
    texts = None
    if descriptions is not None:
        texts = class_texts(DescriptionStore(workspace).load(descriptions), names)
    return import_run(
        Path(file), workspace.runs, names, texts=texts, position=position, clip=clip or CLIP, fold=fold
    )
