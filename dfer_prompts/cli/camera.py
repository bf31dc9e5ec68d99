"""`dfer-prompts predict --camera`: live predictions for the faces in front of a camera."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import Interrupted, WorkError
from .output import clean, message, print_line

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from dfer_model.evaluation.classify import Prediction
    from dfer_model.video.rolling import Glance, Rolled

    from ..api.predict import VideoPredictor
    from .video_options import PredictArguments

    Show = Callable[[Glance], None]
    Save = Callable[[Rolled], None]

BAR = 30  # columns
MOST_SHOWN = 3  # faces at a time


@dataclass
class _SoFar:
    """The counts that are reported when the user stops it."""

    files: tuple[Path, ...]
    seconds: float = 0.0
    windows: int = 0
    answers: int = 0

    def note(self, glance: Glance) -> None:
        """Count one more frame."""
        self.seconds = glance.seconds
        self.windows += len(glance.windows)
        self.answers += sum(len(window.predictions) for window in glance.windows)

    def __str__(self) -> str:
        stored = (
            f"\nThey are stored in {' and '.join(map(str, self.files))}"
            if self.files and self.windows
            else ""
        )
        return f"Stopped after {self.seconds:.1f} s and {self.windows} windows{stored}"


def predict_camera(predictor: VideoPredictor, camera: str, arguments: PredictArguments) -> None:
    """Show and save the prediction of each window, until the source ends or the user stops it."""
    from dfer_model.video.camera import open_source
    from dfer_model.video.export_predictions import FaceFolder
    from dfer_model.video.predict_video import keep_nothing
    from dfer_model.video.rolling import rolling

    source = open_source(camera)
    for note in source.footage.notes:
        message(f"Note: {note}")
    keep = FaceFolder(arguments.save_faces) if arguments.save_faces else keep_nothing
    so_far = _SoFar(tuple(each for each in (arguments.csv, arguments.parquet, arguments.save_faces) if each))
    with (
        _saving(arguments, predictor.window_predictor.class_names) as save,
        _showing(source.footage.name, arguments.as_json) as show,
    ):
        try:
            for glance in rolling(predictor.window_predictor, source, predictor.face_options, keep=keep):
                for window in glance.windows:
                    save(window)
                so_far.note(glance)
                show(glance)
        except KeyboardInterrupt:
            raise Interrupted(str(so_far)) from None
    if arguments.require_face and not so_far.answers:
        raise typer.Exit(WorkError.exit_status)


@contextmanager
def _saving(arguments: PredictArguments, class_names: tuple[str, ...]) -> Iterator[Save]:
    """Write CSV rows as they arrive, and a Parquet file at the end, also after an error."""
    from dfer_model.video.export_predictions import CsvRows, write_parquet

    rows = CsvRows(arguments.csv, class_names) if arguments.csv else None
    predictions: list[Prediction] = []

    def save(window: Rolled) -> None:
        if rows:
            rows.add(window.predictions)
        if arguments.parquet:
            predictions.extend(window.predictions)

    try:
        yield save
    finally:
        if rows:
            rows.close()
        if arguments.parquet:
            write_parquet(arguments.parquet, predictions, class_names)


@contextmanager
def _showing(name: Path, as_json: bool) -> Iterator[Show]:
    """A live display on a terminal, else one line per window, or per prediction with JSON."""
    from rich.console import Console

    console = Console(highlight=False)
    if as_json or not console.is_terminal:
        yield lambda glance: _print_lines(name, glance, as_json)
        return
    from rich.live import Live

    latest: Rolled | None = None
    with Live(console=console) as live:

        def show(glance: Glance) -> None:
            nonlocal latest
            latest = glance.windows[-1] if glance.windows else latest
            live.update(_picture(name, glance, latest))

        yield show


def _print_lines(name: Path, glance: Glance, as_json: bool) -> None:
    for window in glance.windows:
        if as_json:
            nobody = {"video": str(name), "expression": None, "start": window.start, "end": window.end}
            for prediction in [each.as_dict() for each in window.predictions] or [nobody]:
                sys.stdout.write(json.dumps(prediction) + "\n")
        else:
            print_line(f"{_span(window)}: {'; '.join(map(_in_words, window.predictions)) or 'no face'}")
    sys.stdout.flush()


def _span(window: Rolled) -> str:
    return f"{window.start:.1f} to {window.end:.1f} s"


def _in_words(prediction: Prediction) -> str:
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {100 * share:.0f}%" for name, share in ranked)


def _picture(name: Path, glance: Glance, window: Rolled | None) -> Group:
    """The time, the number of faces, and a bar for each class of the last window's faces."""
    from rich.console import Group
    from rich.text import Text

    faces = {None: "whole frames", 0: "no face", 1: "1 face"}
    shown = faces.get(glance.faces, f"{glance.faces} faces")
    lines: list[Text | Table] = [Text(clean(f"{name}   {glance.seconds:.1f} s   {shown}"), style="bold")]
    if window is None:
        return Group(*lines, Text("the first window is not complete yet"))
    if not window.predictions:
        return Group(*lines, Text(f"{_span(window)}: no face"))
    for prediction in window.predictions[:MOST_SHOWN]:
        lines += [Text(clean(f"{_span(window)}: {prediction.expression}")), _bars(prediction)]
    return Group(*lines)


def _bars(prediction: Prediction) -> Table:
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for name, share in prediction.probabilities.items():
        style = "bold" if name == prediction.expression else ""
        table.add_row(
            Text(clean(name), style=style),
            Bar(1, 0, share, width=BAR),
            Text(f"{100 * share:3.0f}%", style=style),
        )
    return table
