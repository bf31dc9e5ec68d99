"""`dfer-prompts predict`: the expressions of the faces in a video over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .camera import predict_camera
from .options import ClipOptions, DeviceOption, grouped
from .output import message
from .video_options import ModelArgument, PredictArguments, VideoOptions
from .videos import predict_videos

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
