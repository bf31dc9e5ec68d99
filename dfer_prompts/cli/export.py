"""`dfer-prompts export`: a run as one file for other programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from .output import JsonOption, message, print_json, print_table
from .train import RunArgument


def export(
    context: typer.Context,
    run: RunArgument,
    format: Annotated[  # noqa: A002 - the option's name
        Literal["onnx", "safetensors"],
        typer.Option(help="onnx: frames in, probabilities out, for any program; safetensors: for Python."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The file.", show_default="RUN.FORMAT")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a finished run as one self-contained file.

    Class names and preprocessing are in its metadata. An ONNX file is kept only if its logits equal those
    of PyTorch within 1e-4.

    Example: dfer-prompts export v2-fold1 --format onnx --out faces.onnx
    """
    from ..api.model_exchange import export_model

    exported = export_model(run, format, out, workspace=context.obj)
    if as_json:
        print_json({**asdict(exported), "path": str(exported.path)})
        return
    print_table(f"{exported.run} as {format}", ["file", "bytes"], list(exported.files.items()))
    if exported.difference is not None:
        message(f"Its logits equal PyTorch's within {exported.difference:.1g}, on 1 and on 3 clips")
    message(f"Written to {exported.path}")


def register(app: typer.Typer) -> None:
    """Add `export` to the root command."""
    app.command(short_help="Write a finished run as one file for other programs.")(export)
