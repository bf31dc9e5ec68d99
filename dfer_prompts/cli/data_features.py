"""`dfer-prompts data features`: features of clips, videos and class texts, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .completion import versions
from .options import ClipOptions, DeviceOption, grouped
from .output import JsonOption, message, print_json, print_line, progress
from .video_options import VideoOptions


@grouped
def features(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="DATASET|VIDEO",
            help="Packed clips (folder, URL or name in dfer.yaml), a video, or a folder of videos.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.parquet", help="The file to write.")],
    *,
    level: Annotated[
        Literal["frame", "clip", "track"],
        typer.Option(help="A row per sampled frame, per clip (window of a video), or per face track."),
    ] = "clip",
    descriptions: Annotated[
        str | None,
        typer.Option(
            autocompletion=versions,
            metavar="V",
            help="Also write the text features of this description set.",
            show_default=False,
        ),
    ] = None,
    model: ClipOptions,
    how: VideoOptions,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Write the features of CLIP's image tower as a table, and those of class texts.

    Frames are sampled as in a test. The feature of a clip or track is the mean of its frames' features. Those
    of a dataset are computed once and shared with compare --screen. Faces in a video are found as in predict.

    Example: dfer-prompts data features packed/mafw --descriptions v2@4 --out features.parquet
    """
    from ..api.data_features import data_features

    written = data_features(
        source,
        out,
        level=level,
        descriptions=descriptions,
        **model.choices(),
        workspace=context.obj,
        device=device,
        progress=progress,
        note=lambda text: message(f"Note: {text}"),
        **how.keywords(),
    )
    if as_json:
        print_json(written.as_dict())
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in written.rows.items())
    clip = f"{written.clip} ({written.weights})"
    print_line(f"{written.path}: {counts} features of {clip}, {written.width} numbers each")
