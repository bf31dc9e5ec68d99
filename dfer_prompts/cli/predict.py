"""`dfer-prompts predict`: which expression the faces in a video show, and when."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import InputError, WorkError
from .configuration import DeviceOption, FaceModelOption, MarginOption
from .output import JsonOption, message, print_json, print_table, progress
from .run import RunArgument

if TYPE_CHECKING:
    from dfer_model.faces.predicting import Watched
    from dfer_model.prediction import Prediction

    from ..studies.watching import Audience, Refused

STANDARD_INPUT = Path("-")

FacesOption = Annotated[
    Literal["auto", "yunet", "haar", "none", "given"],
    typer.Option(
        help="How faces are found: auto is yunet where its file is here, else haar; yunet fetches it once; "
        "none takes frames whole; given says that frames are faces already."
    ),
]
VideosArgument = Annotated[
    list[Path],
    typer.Argument(help="Video files, folders of them, or - for standard input.", metavar="VIDEO|DIR|-"),
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


def predict(
    context: typer.Context,
    run: RunArgument,
    videos: VideosArgument,
    faces: FacesOption = "auto",
    face_model: FaceModelOption = None,
    track: FaceTrackOption = "largest",
    window: WindowOption = None,
    stride: StrideOption = None,
    margin: MarginOption = 0.2,
    save_faces: SaveFacesOption = None,
    csv: CsvOption = None,
    parquet: ParquetOption = None,
    plot: PlotOption = None,
    overlay: OverlayOption = None,
    require_face: RequireFaceOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say which expression the faces in a video show, and when, with the probability of each class.

    Example: dfer-prompts predict v2-fold1 interview.mp4 --track all --window 4 --csv interview.csv
    """
    from dfer_model.faces.outputs import FaceFolder, write_csv, write_parquet

    from ..studies.watching import audience, given_videos, watch_each

    _check_outputs({"--csv": csv, "--parquet": parquet, "--plot": plot, "--overlay": overlay})
    watching = audience(
        run,
        faces=faces,
        face_model=face_model,
        track=track_named(track),
        window=window,
        stride=stride,
        margin=margin,
        workspace=context.obj,
        device=device,
    )
    if watching.note:
        message(watching.note)
    if calibrated := watching.calibrated:
        message(
            f"Probabilities are calibrated: logits are divided by {calibrated.temperature:.3g}, fitted on "
            f"{calibrated.fitted_on}; no answer changes"
        )
    answers: list[Watched | Refused] = []
    with _spooled(videos) as (places, names):
        found = given_videos(places, watching.frames_are)
        if overlay and len(found) != 1:
            raise InputError(f"--overlay is of one video, and there are {len(found)}\nGive one at a time")
        keep = FaceFolder(save_faces) if save_faces else None
        for answer in watch_each(watching, found, names=names, keep=keep, progress=progress):
            _tell(answer, as_json)
            answers.append(answer)
            if overlay:
                _write_overlay(overlay, answer)
    said = [each for answer in answers for each in getattr(answer, "predictions", ())]
    if csv:
        write_csv(csv, said, watching.judge.class_names)
    if parquet:
        write_parquet(parquet, said, watching.judge.class_names)
    if plot:
        _draw_timeline(plot, said, watching)
    if as_json:
        print_json(_as_json(watching, answers))
    _end(answers, require_face)


def track_named(track: str) -> str | int:
    """What `--track` says: a track's number, or a word."""
    return int(track) if track.isdecimal() else track


OUTPUTS = {
    "--csv": (".csv",),
    "--parquet": (".parquet",),
    "--plot": (".png", ".svg"),
    "--overlay": (".mp4",),
}


def _check_outputs(asked: dict[str, Path | None]) -> None:
    """Before hours of work, that what is asked for can be written."""
    for option, path in asked.items():
        if path is None:
            continue
        if path.suffix.casefold() not in OUTPUTS[option]:
            raise InputError(f"{option} {path}: end its name in {' or '.join(OUTPUTS[option])}")
        if path.is_dir():
            raise InputError(f"{option} {path} is a folder\nName a file")


@contextmanager
def _spooled(videos: Sequence[Path]) -> Iterator[tuple[list[Path], dict[Path, Path]]]:
    """The places to read, standard input as a file that is gone afterwards, and what to call that."""
    if STANDARD_INPUT not in videos:
        yield list(videos), {}
        return
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as folder:
        file = Path(folder) / "standard-input"
        with file.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        yield [file if each == STANDARD_INPUT else each for each in videos], {file: STANDARD_INPUT}


def _tell(answer: Watched | Refused, as_json: bool) -> None:
    """The notes of one video on standard error, and unless they are printed as JSON, its predictions."""
    from dfer_model.faces.predicting import Watched

    if not isinstance(answer, Watched):
        message(f"Error: {answer.reason}")
        return
    for note in answer.notes:
        message(f"Note: {note}")
    if answer.problem:
        message(f"Error: {answer.problem}; what is before that is used")
    if not as_json and answer.predictions:
        _show(answer)


def _show(answer: Watched) -> None:
    """One window as its classes, several as a table of times."""
    if len(answer.predictions) == 1:
        _show_prediction(answer.predictions[0])
        return
    rows = [
        (
            each.track or "-",
            f"{each.start:.1f}-{each.end:.1f}",
            each.expression,
            100 * each.probabilities[each.expression],
            _next_best(each),
        )
        for each in answer.predictions
    ]
    columns = ["track", "seconds", "expression", "percent", "then"]
    print_table(f"{answer.footage.name}: {len(answer.predictions)} windows", columns, rows)


def _next_best(prediction: Prediction) -> str:
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[1:3]
    return ", ".join(f"{name} {100 * value:.0f}" for name, value in ranked)


def _show_prediction(prediction: Prediction) -> None:
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    rows = [(name, 100 * value) for name, value in ranked]
    print_table(f"{prediction.video}: {prediction.expression}", ["class", "percent"], rows)
    message(f"Frames taken: {', '.join(map(str, prediction.frames))}")


def _write_overlay(path: Path, answer: Watched | Refused) -> None:
    from dfer_model.faces.overlay import write_overlay
    from dfer_model.faces.predicting import Watched

    if isinstance(answer, Watched):
        with progress(f"drawing {path}") as report:
            write_overlay(path, answer, report)


def _draw_timeline(path: Path, said: Sequence[Prediction], watching: Audience) -> None:
    from dfer_model.faces.timeline import draw_timeline

    if not said:
        message(f"Note: {path} is not drawn, for there is nothing on it")
        return
    tracks = len({(each.video, each.track) for each in said})
    drawn = draw_timeline(path, said, watching.judge.class_names)
    if drawn < tracks:
        message(f"Note: {path} shows the {drawn} longest of {tracks} tracks")


def _as_json(watching: Audience, answers: Sequence[Watched | Refused]) -> dict[str, Any]:
    detector = watching.watching.detector
    return {
        "run": watching.run,
        "frames_are": watching.frames_are,
        "detector": detector.name if detector else None,
        "temperature": watching.calibrated.temperature if watching.calibrated else None,
        "videos": [answer.as_dict() for answer in answers],
    }


def _end(answers: Sequence[Watched | Refused], require_face: bool) -> None:
    """The exit status: 2 where a video could not be read, 1 where a face was required and there was none."""
    from dfer_model.faces.predicting import Watched

    if any(not isinstance(answer, Watched) or answer.problem for answer in answers):
        raise typer.Exit(InputError.exit_status)
    if require_face and any(not answer.predictions for answer in answers if isinstance(answer, Watched)):
        raise typer.Exit(WorkError.exit_status)


def register(app: typer.Typer) -> None:
    """Add `predict` to the root command."""
    app.command(short_help="Say which expression the faces in a video show.")(predict)
