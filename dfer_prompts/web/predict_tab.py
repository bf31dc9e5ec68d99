"""The tab *Predict*: upload or record a video, show a model's prediction and the evidence for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..api.example_clips import EXAMPLES
from ..api.explain import ExplainedVideo, called
from ..api.run_index import finished_runs
from ..api.video_view import ShownVideo, VideoPredictors, default_model, model_choices
from ..errors import InputError, Interrupted
from ..llm.redaction import PROBLEMS
from ..workspace import Workspace
from .example_videos import ExampleVideos
from .fragments import fragment, picture, piece, problem
from .progress import stages

WHOLE = "none: whole frames"
FACES = {"automatic": "auto", "Haar cascade": "haar", WHOLE: "none"}
TRACKS = {"the largest face": "largest", "all faces": "all"}
STRONGEST = 6
LISTS = (b"#EXTM3U", b"ffconcat")
NO_RUN = (
    "This workspace has no finished runs. A description set predicts zero-shot; its CLIP must be on this "
    "computer. The demo CLIP is part of this package and knows drawn faces only: try the example clips.",
    "Train a run: dfer-prompts train --descriptions v1 --dataset DIR, or dfer-prompts demo; then reload the "
    "page.",
)
KEPT = "Uploads and recordings are deleted from the server after the prediction."


def predict_tab(workspace: Workspace, page: gr.Blocks, files: Path, most_mb: int, generated: Any) -> None:
    """Add the tab's components to the page; uploads are in `files`.

    `generated` is the event of a version made on another tab.
    """
    empty = piece()
    examples = ExampleVideos(files)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=280):
            run = gr.Dropdown(label="Run or description set")
            video = gr.Video(label=f"Video, up to {most_mb} MB", sources=["upload", "webcam"], height=260)
            with gr.Row():
                shown = {name: gr.Button(f"Example: {name}", elem_classes="ask") for name in EXAMPLES}
            piece(fragment("said", lines=[KEPT]))
            with gr.Accordion("Video options", open=False):
                faces = gr.Radio(list(FACES), value=next(iter(FACES)), label="Faces")
                track = gr.Radio(list(TRACKS), value=next(iter(TRACKS)), label="Faces to track")
                window = gr.Number(0, label="Window length in seconds", info="0: 4 s, or a whole short video")
                stride = gr.Number(0, label="Window step in seconds", info="0: half a window")
            evidence = gr.Checkbox(label="Show supporting descriptors", value=True)
            ask = gr.Button("Predict", variant="primary")
        with gr.Column(scale=5, min_width=320):
            answer = piece(name="answer")
            supporting = piece(name="evidence")

    def renew() -> tuple[Any, str]:
        choice = gr.Dropdown(choices=model_choices(workspace), value=default_model(workspace))
        return choice, "" if finished_runs(workspace) else fragment("said", lines=NO_RUN)

    def add() -> Any:  # keeps the selection
        return gr.Dropdown(choices=model_choices(workspace))

    gr.on(page.load, renew, outputs=[run, empty], show_progress="hidden")
    gr.on(generated, add, outputs=run, show_progress="hidden")
    for name, button in shown.items():
        button.click(partial(_example, examples, name), outputs=[video, faces], concurrency_limit=1)
    gr.on([video.upload, video.start_recording], lambda: next(iter(FACES)), outputs=faces)
    ask.click(
        answering(workspace, files, examples),
        [run, video, faces, track, window, stride, evidence],
        [answer, supporting, video],
        concurrency_limit=1,
        show_progress_on=video,
    )


def _example(examples: ExampleVideos, name: str) -> tuple[str, str]:
    """The example clip for the video component; its frames are faces, so that none has to be found."""
    return str(examples.path(name)), WHOLE


def answering(
    workspace: Workspace, files: Path, examples: ExampleVideos | None = None
) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """The handler of the button; it caches the models of the last runs.

    Only videos in `files`, the folder of uploads, are processed, because they are deleted afterwards. Those
    of `examples` are kept.
    """
    predictors = VideoPredictors(workspace)

    def answers(
        run: str | None,
        video: str | None,
        faces: str,
        track: str,
        window: float | None,
        stride: float | None,
        evidence: bool,
        bar: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio detects it by this default
    ) -> Iterator[tuple[Any, ...]]:
        """First the prediction, then the evidence; the upload is deleted in every case."""
        if not run or not video:
            lines = ["Upload or record a video first."] if run else NO_RUN
            yield fragment("said", lines=lines), "", gr.skip()
            return
        path, progress = Path(video).resolve(), stages(bar)
        if not path.is_relative_to(files.resolve()):
            yield problem(InputError(f"{path.name} was not uploaded\nUpload it on the page")), "", None
            return
        kept = examples is not None and path in examples
        how: dict[str, Any] = {
            "faces": FACES.get(faces, faces),
            "track": TRACKS.get(track, track),
            "window": window or None,
            "stride": stride or None,
        }
        try:
            yield fragment("said", lines=[f"Analysing {path.name}."]), "", gr.skip()
            _require_no_list(path)
            shown = predictors.show(run, path, name=path.name, progress=progress, **how)
            answer = answer_shown(shown)
            evidence = evidence and bool(shown.predictions)
            waiting = fragment("said", lines=["Computing the supporting descriptors."]) if evidence else ""
            yield answer, waiting, gr.skip()
            yield answer, _evidence(predictors, shown) if evidence else "", gr.skip() if kept else None
        except Interrupted:
            return
        except PROBLEMS as error:
            yield problem(error), "", None
        finally:
            if not kept:
                _delete(path, files)

    return answers


def _delete(upload: Path, files: Path) -> None:
    """Delete an upload and its folders."""
    upload.unlink(missing_ok=True)
    for folder in upload.parents:
        if folder == files.resolve():
            return
        try:
            folder.rmdir()
        except OSError:  # the folder is not empty
            return


def _require_no_list(path: Path) -> None:
    """Raise InputError for a playlist, through which a decoder could read any file of the server."""
    with path.open("rb") as stream:
        if stream.read(8).startswith(LISTS):
            raise InputError(f"{path.name} is a playlist, not a video\nUpload one of its videos")


def answer_shown(of: ShownVideo) -> str:
    """The prediction for a video: class probabilities, faces, timeline, and table."""
    bars = of.means
    return fragment(
        "video",
        of=of,
        notes=of.notes,
        best=bars[0] if bars else None,
        over=_over(of),
        bars=bars,
        moments=[
            {
                "face": picture(each.face, "jpeg"),
                "expression": each.prediction.expression,
                "share": round(100 * each.prediction.probabilities[each.prediction.expression]),
                "start": each.prediction.start or 0,
                "end": each.prediction.end or 0,
                "track": each.prediction.track,
            }
            for each in of.moments
        ],
        left_out=len(of.predictions) - len(of.moments),
        timeline=picture(of.timeline, "svg+xml") if of.timeline else None,
    )


def _over(of: ShownVideo) -> str:
    windows, tracks = len(of.predictions), len({each.track for each in of.predictions})
    if windows == 1:
        return ""
    return f"mean of {windows} windows" + (f" of {tracks} faces" if tracks > 1 else "")


def _evidence(predictors: VideoPredictors, shown: ShownVideo) -> str:
    """The evidence for the prediction, or the reason why there is none."""
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as folder:
        plot = Path(folder) / "evidence.svg"
        try:
            explained = predictors.explain(shown, plot)
        except PROBLEMS as error:
            return problem(error)
        return evidence_shown(explained, plot, shown.notes) if explained else ""


def evidence_shown(of: ExplainedVideo, plot: Path, shown: Sequence[str]) -> str:
    """The descriptors most similar to a face, with the figure `plot`; `shown` are notes shown before."""
    explanation = of.explanation
    return fragment(
        "evidence",
        window=called(of.prediction),
        notes=[note for note in of.notes if note not in shown],
        picture=picture(plot.read_text(encoding="utf-8"), "svg+xml"),
        strongest=[(name, text, rise) for name, text, _, rise in explanation.evidence.strongest(STRONGEST)],
        what_it_is=explanation.as_dict()["what_it_is"],
    )
