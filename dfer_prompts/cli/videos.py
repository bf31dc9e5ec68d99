"""`dfer-prompts predict VIDEO...`: predictions for videos, printed, written and drawn."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import InputError, WorkError
from .output import message, print_json, print_table, progress

if TYPE_CHECKING:
    from dfer_model.evaluation.classify import Prediction
    from dfer_model.video.predict_video import PredictedVideo

    from ..api.predict import Refused, VideoPredictor
    from .video_options import PredictArguments

STANDARD_INPUT = Path("-")


def predict_videos(predictor: VideoPredictor, videos: Sequence[Path], arguments: PredictArguments) -> None:
    """Print the predictions for each video, and write the files requested."""
    from dfer_model.video.export_predictions import FaceFolder, write_csv, write_parquet

    from ..api.predict import given_videos, left_out_notes, predict_each

    answers: list[PredictedVideo | Refused] = []
    with _spooled(videos) as (places, names):
        found = given_videos(places, predictor.frames_are)
        for note in left_out_notes(places, predictor.frames_are):
            message(f"Note: {note}")
        if arguments.overlay and len(found) != 1:
            raise InputError(f"--overlay takes one video, not {len(found)}\nGive one at a time")
        keep = FaceFolder(arguments.save_faces) if arguments.save_faces else None
        for answer in predict_each(predictor, found, names=names, keep=keep, progress=progress):
            _tell(answer, arguments.as_json)
            answers.append(answer)
            if arguments.overlay:
                _write_overlay(arguments.overlay, answer)
    predictions = [each for answer in answers for each in getattr(answer, "predictions", ())]
    if arguments.csv:
        write_csv(arguments.csv, predictions, predictor.window_predictor.class_names)
    if arguments.parquet:
        write_parquet(arguments.parquet, predictions, predictor.window_predictor.class_names)
    if arguments.plot:
        _draw_timeline(arguments.plot, predictions, predictor)
    if arguments.as_json:
        print_json(_as_json(predictor, answers))
    _end(answers, arguments.require_face)


@contextmanager
def _spooled(videos: Sequence[Path]) -> Iterator[tuple[list[Path], dict[Path, Path]]]:
    """The paths to read, standard input as a temporary file, and the names to show."""
    if STANDARD_INPUT not in videos:
        yield list(videos), {}
        return
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as folder:
        file = Path(folder) / "standard-input"
        with file.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        yield [file if each == STANDARD_INPUT else each for each in videos], {file: STANDARD_INPUT}


def _tell(answer: PredictedVideo | Refused, as_json: bool) -> None:
    """Print the notes of one video on standard error, and its predictions unless JSON is printed later."""
    from dfer_model.video.predict_video import PredictedVideo

    if not isinstance(answer, PredictedVideo):
        message(f"Error: {answer.reason}")
        return
    for note in answer.notes:
        message(f"Note: {note}")
    if answer.problem:
        message(f"Error: {answer.problem}; the frames before it are used")
    if not as_json and answer.predictions:
        _show(answer)


def _show(answer: PredictedVideo) -> None:
    """Print one window as its classes, several as a table of times."""
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
    message(f"Frames used: {', '.join(map(str, prediction.frames))}")


def _write_overlay(path: Path, answer: PredictedVideo | Refused) -> None:
    from dfer_model.progress import silence
    from dfer_model.video.overlay import write_overlay
    from dfer_model.video.predict_video import PredictedVideo

    from ..api.predict import LONG_FRAMES

    if isinstance(answer, PredictedVideo):
        shown = progress if answer.followed.frames >= LONG_FRAMES else silence
        with shown(str(path)) as report:
            write_overlay(path, answer, report)


def _draw_timeline(path: Path, predictions: Sequence[Prediction], predictor: VideoPredictor) -> None:
    from dfer_model.video.timeline import draw_timeline

    if not predictions:
        message(f"Note: {path} is not written: there are no predictions to draw")
        return
    tracks = len({(each.video, each.track) for each in predictions})
    drawn = draw_timeline(path, predictions, predictor.window_predictor.class_names)
    if drawn < tracks:
        message(f"Note: {path} shows the {drawn} longest of {tracks} tracks")


def _as_json(predictor: VideoPredictor, answers: Sequence[PredictedVideo | Refused]) -> dict[str, Any]:
    detector = predictor.face_options.detector
    return {
        "run": predictor.run,
        "model": predictor.facts.as_dict(),
        "frames_are": predictor.frames_are,
        "detector": detector.name if detector else None,
        "temperature": predictor.temperature,
        "videos": [answer.as_dict() for answer in answers],
    }


def _end(answers: Sequence[PredictedVideo | Refused], require_face: bool) -> None:
    """Exit with status 2 if a video could not be read, 1 if a required face was missing."""
    from dfer_model.video.predict_video import PredictedVideo

    if any(not isinstance(answer, PredictedVideo) or answer.problem for answer in answers):
        raise typer.Exit(InputError.exit_status)
    if require_face and any(
        not answer.predictions for answer in answers if isinstance(answer, PredictedVideo)
    ):
        raise typer.Exit(WorkError.exit_status)
