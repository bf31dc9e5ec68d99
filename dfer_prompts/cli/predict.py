"""`dfer-prompts predict`: which expression the faces in a video show, and when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import InputError
from .camera import watch_camera
from .options import DeviceOption, FaceModelOption, MarginOption, grouped
from .output import JsonOption, message
from .train import RunArgument
from .videos import watch_videos

FacesOption = Annotated[
    Literal["auto", "yunet", "haar", "none", "given"],
    typer.Option(
        help="How faces are found: auto is yunet where its file is here, else haar; yunet fetches it once; "
        "none takes frames whole; given says that frames are faces already."
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
        help="Watch a camera in place of videos: its number or device, the address of a stream, or a file.",
    ),
]
FaceTrackOption = Annotated[
    str,
    typer.Option(
        "--track", metavar="largest|all|N", help="The largest face at a time, all of them, or one track."
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
        metavar="SECONDS", help="From one window's start to the next.", show_default="half a window"
    ),
]
EveryOption = Annotated[
    int, typer.Option("--every", metavar="N", help="Look for faces in every N-th frame, which is faster.")
]
SaveFacesOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep the crops that the model saw, to look at.")
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
    bool, typer.Option("--require-face", help="A video without a face makes the exit status 1.")
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
        """The keywords of `api.predict.HowToWatch`."""
        return {**vars(self), "track": int(self.track) if self.track.isdecimal() else self.track}


@dataclass(frozen=True)
class Wanted:
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
    run: RunArgument,
    videos: VideosArgument = None,
    *,
    camera: CameraOption = None,
    how: VideoOptions,
    device: DeviceOption = "auto",
    wanted: Wanted,
) -> None:
    """Say which expression the faces in a video show, and when, with the probability of each class.

    Example: dfer-prompts predict v2-fold1 interview.mp4 --track all --window 4 --csv interview.csv
    """
    from ..api.predict import audience

    _check_outputs(wanted)
    _check_source(videos, camera, wanted.plot or wanted.overlay)
    watching = audience(run, workspace=context.obj, device=device, **how.keywords())
    if watching.note:
        message(watching.note)
    if watching.warning:
        message(f"Note: {watching.warning}")
    if calibrated := watching.calibrated:
        message(
            f"Probabilities are calibrated: logits are divided by {calibrated.temperature:.3g}, fitted on "
            f"{calibrated.fitted_on}; no answer changes"
        )
    if camera is None:
        watch_videos(watching, videos or [], wanted)
    else:
        watch_camera(watching, camera, wanted)


OUTPUTS = {
    "--csv": (".csv",),
    "--parquet": (".parquet",),
    "--plot": (".png", ".svg"),
    "--overlay": (".mp4",),
}


def _check_source(videos: list[Path] | None, camera: str | None, drawn: Path | None) -> None:
    if bool(videos) == (camera is not None):
        raise InputError("give videos, or --camera\nOne of them: dfer-prompts predict RUN clip.mp4")
    if camera is not None and drawn:
        raise InputError(f"{drawn} is drawn of a whole video, and a camera has no end\nTake --csv or --json")


def _check_outputs(wanted: Wanted) -> None:
    """Raise InputError, before hours of work, for a file that cannot be written."""
    for option, endings in OUTPUTS.items():
        path: Path | None = getattr(wanted, option.removeprefix("--"))
        if path is None:
            continue
        if path.suffix.casefold() not in endings:
            raise InputError(f"{option} {path}: end its name in {' or '.join(endings)}")
        if path.is_dir():
            raise InputError(f"{option} {path} is a folder\nName a file")


def register(app: typer.Typer) -> None:
    """Add `predict` to the root command."""
    app.command(short_help="Say which expression the faces in a video show.")(predict)
