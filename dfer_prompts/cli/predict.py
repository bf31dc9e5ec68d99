"""`dfer-prompts predict`: the expressions of the faces in a video over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import InputError
from .camera import predict_camera
from .completion import models
from .options import ClipOptions, DeviceOption, FaceModelOption, MarginOption, grouped
from .output import JsonOption, message
from .videos import predict_videos

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
VideosArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="Video files, folders of them, or - for standard input.", metavar="VIDEO|DIR|-"),
]
CameraOption = Annotated[
    str | None,
    typer.Option(
        "--camera",
        metavar="N|DEVICE|ADDRESS|FILE",
        help="Process a camera instead of videos: its number or device, the address of a stream, or a file.",
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


@grouped
def predict(
    context: typer.Context,
    run: ModelArgument,
    videos: VideosArgument = None,
    *,
    camera: CameraOption = None,
    model: ClipOptions,
    how: VideoOptions,
    device: DeviceOption = "auto",
    arguments: PredictArguments,
) -> None:
    """Predict the expressions of the faces in a video over time, with the probability of each class.

    A description set predicts zero-shot, without a run or a dataset; --clip, --weights, --preset and --set
    choose its CLIP as in train. A run needs more of its id than the name of its set: v2-fold1.

    Example: dfer-prompts predict v2-fold1 interview.mp4 --track all --window 4 --csv interview.csv
    """
    from ..api.predict import video_predictor

    _check_outputs(arguments)
    _check_source(videos, camera, arguments.plot or arguments.overlay)
    choices = model.choices()
    predictor = video_predictor(run, workspace=context.obj, device=device, choices=choices, **how.keywords())  # type: ignore[arg-type]
    for note in (predictor.source.note, predictor.facts.note, predictor.note):
        if note:
            message(note)
    if predictor.warning:
        message(f"Note: {predictor.warning}")
    if predictor.calibration_note:
        message(predictor.calibration_note)
    if camera is None:
        predict_videos(predictor, videos or [], arguments)
    else:
        predict_camera(predictor, camera, arguments)


OUTPUTS = {
    "--csv": (".csv",),
    "--parquet": (".parquet",),
    "--plot": (".png", ".svg"),
    "--overlay": (".mp4",),
}


def _check_source(videos: list[Path] | None, camera: str | None, drawn: Path | None) -> None:
    if bool(videos) == (camera is not None):
        raise InputError("give either videos or --camera\nFor example: dfer-prompts predict RUN clip.mp4")
    if camera is not None and drawn:
        raise InputError(f"{drawn} needs a whole video, not a camera\nUse --csv or --json")


def _check_outputs(arguments: PredictArguments) -> None:
    """Raise InputError, before hours of work, for a file that cannot be written."""
    for option, endings in OUTPUTS.items():
        path: Path | None = getattr(arguments, option.removeprefix("--"))
        if path is None:
            continue
        if path.suffix.casefold() not in endings:
            raise InputError(f"{option} {path}: the file name must end in {' or '.join(endings)}")
        if path.is_dir():
            raise InputError(f"{option} {path} is a folder\nGive a file")


def register(app: typer.Typer) -> None:
    """Add `predict` to the root command."""
    app.command(short_help="Predict the expressions of the faces in a video.")(predict)
