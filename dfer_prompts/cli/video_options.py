"""Options of the commands that read a video: `predict`, `explain` and `data features`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .completion import models
from .options import FaceModelOption, MarginOption
from .output import JsonOption

ModelArgument = Annotated[
    str,
    typer.Argument(
        autocompletion=models,
        metavar="RUN|V|FILE|hf://USER/NAME",
        help="A run, its id or the beginning of it; a description set such as v2@4 (zero-shot); a "
        "safetensors file; or a model on the hub.",
    ),
]
FacesOption = Annotated[
    Literal["auto", "yunet", "haar", "none", "given"],
    typer.Option(
        help="Face detector: auto is yunet if its file is there, else haar; yunet downloads it once; "
        "none uses whole frames; given: frames are faces already."
    ),
]
FaceTrackOption = Annotated[
    str,
    typer.Option(
        "--track", metavar="largest|all|N", help="The largest face at each time, all faces, or one track."
    ),
]
WindowOption = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="Length of a window.", show_default="the whole track up to 6 seconds, else 4"
    ),
]
StrideOption = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="Time between the starts of two windows.", show_default="half a window"
    ),
]
EveryOption = Annotated[
    int, typer.Option("--every", metavar="N", help="Detect faces in every N-th frame only (faster).")
]
SaveFacesOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Save the face crops given to the model.")
]
CsvOption = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a CSV file.")]
ParquetOption = Annotated[
    Path | None, typer.Option("--parquet", metavar="FILE", help="Write a Parquet file.")
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw a timeline for each track, as .png or .svg."),
]
OverlayOption = Annotated[
    Path | None,
    typer.Option("--overlay", metavar="FILE.mp4", help="Write the video with boxes, labels and bars."),
]
RequireFaceOption = Annotated[
    bool, typer.Option("--require-face", help="Exit with status 1 if a video has no face.")
]


@dataclass(frozen=True)
class VideoOptions:
    """How faces are found in a video, followed, and cut into windows."""

    faces: FacesOption = "auto"
    face_model: FaceModelOption = None
    track: FaceTrackOption = "largest"
    window: WindowOption = None
    stride: StrideOption = None
    margin: MarginOption = 0.2
    every: EveryOption = 1

    def keywords(self) -> dict[str, Any]:
        """The keywords of `api.predict.VideoKeywords`."""
        return {**vars(self), "track": int(self.track) if self.track.isdecimal() else self.track}


@dataclass(frozen=True)
class PredictArguments:
    """What is written and printed."""

    save_faces: SaveFacesOption = None
    csv: CsvOption = None
    parquet: ParquetOption = None
    plot: PlotOption = None
    overlay: OverlayOption = None
    require_face: RequireFaceOption = False
    as_json: JsonOption = False
