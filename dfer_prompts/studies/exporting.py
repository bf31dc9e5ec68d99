"""A run as one file for others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import InputError, system_errors, unknown
from ..workspace import Workspace
from .judging import finished_run

if TYPE_CHECKING:
    from dfer_model.runs import Run

Format = Literal["onnx", "safetensors"]


@dataclass(frozen=True)
class Exported:
    """A run's model as files; `files` gives their sizes in bytes, the one to load first.

    `difference` is the largest between the logits of an ONNX graph and of PyTorch, on frames of noise.
    """

    run: str
    format: str
    path: Path
    files: dict[str, int]
    difference: float | None


@system_errors()
def export_model(
    run: Run | Path | str,
    format: Format = "onnx",  # noqa: A002 - the word of the command line
    out: Path | None = None,
    *,
    workspace: Workspace | None = None,
) -> Exported:
    """Write a finished run as one file, by default RUN.onnx or RUN.safetensors in the workspace.

    `run` is a run, its folder, its id or the beginning of one. An ONNX file takes uint8 frames (clips, T, 3,
    S, S) and gives `logits` and `probabilities`; class names and preprocessing are in its metadata, and it is
    kept only if its logits are PyTorch's to 1e-4. A safetensors file is read by `from_pretrained`. Raises
    InputError for what is no finished run, WorkError for one that has no such file.
    """
    place = workspace or Workspace.find()
    if format not in get_args(Format):
        raise unknown("format", format, get_args(Format))
    path = None if out is None else Path(out)
    if path is not None and path.suffix != f".{format}":
        raise InputError(f"--out {path}: the file's name must end in .{format}")
    found = finished_run(run, place)
    path = path or place.root / f"{found.id}.{format}"
    difference = None
    if format == "onnx":
        from dfer_model.export.onnx_file import export_onnx

        difference = export_onnx(found, path)
    else:
        from dfer_model.export.model_file import export_safetensors

        export_safetensors(found, path)
    written = [path, path.with_name(f"{path.name}.data")]
    files = {each.name: each.stat().st_size for each in written if each.is_file()}
    return Exported(found.id, format, path, files, difference)
