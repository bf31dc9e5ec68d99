"""`dfer-prompts explain`: which descriptors support a prediction for a video, and when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import ClipOptions, DeviceOption, grouped
from .output import JsonOption, message, print_json, print_line, print_table, progress
from .video_options import ModelArgument, VideoOptions

if TYPE_CHECKING:
    from ..api.explain import ExplainedVideo

STRONGEST = 5


@grouped
def explain(
    context: typer.Context,
    run: ModelArgument,
    video: Annotated[Path, typer.Argument(help="A video file.", metavar="VIDEO")],
    *,
    descriptions: Annotated[
        str | None,
        typer.Option(
            metavar="V", help="The set whose descriptors explain it.", show_default="the model's own"
        ),
    ] = None,
    model: ClipOptions,
    plot: Annotated[
        Path | None, typer.Option(help="Draw it as this .png or .svg file.", show_default=False)
    ] = None,
    how: VideoOptions,
    at: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Explain the window around this time.",
            show_default="the most confident prediction",
        ),
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show which descriptors a face in a video is similar to, and when, beside the prediction.

    Models, faces and windows are those of `predict`. For a run, --weights are those of the CLIP that it
    started from, if they were moved. The similarities do not add up to the model's prediction:
    see docs/explanations.md for what they show.

    Example: dfer-prompts explain v2-fold1 clip.mp4 --at 12.5 --plot why.png
    """
    from ..api.explain import explain as explain_video

    explained = explain_video(
        run,
        video,
        descriptions=descriptions,
        **model.choices(),
        at=at,
        plot=plot,
        workspace=context.obj,
        device=device,
        progress=progress,
        **how.keywords(),
    )
    for note in explained.notes:
        message(f"Note: {note}")
    if plot is not None:
        message(f"Figure: {plot}")
    if as_json:
        print_json(explained.as_dict())
        return
    _show(explained)


def _show(explained: ExplainedVideo) -> None:
    from dfer_model.evaluation.explanation import WHAT_IT_IS

    from ..api.explain import called

    explanation = explained.explanation
    ranked = sorted(explanation.probabilities.items(), key=lambda item: -item[1])[:3]
    print_line(
        f"{called(explained.prediction)} ("
        + ", ".join(f"{name} {100 * share:.0f}%" for name, share in ranked)
        + ")"
    )
    rows = [
        (text, name, _when(explained, place), f"{rise:+.3f}")
        for name, text, place, rise in explanation.evidence.strongest(STRONGEST)
    ]
    title = f"The descriptors of {explained.descriptions} with the largest rise above {explanation.reference}"
    print_table(title, ["descriptor", "of", "most at", "rise in cosine"], rows)
    if explanation.attention is None:
        print_line("There is no temporal model: the prediction is made from the mean of all frames.")
    else:
        most = max(range(len(explanation.attention)), key=explanation.attention.__getitem__)
        share, equal = 100 * explanation.attention[most], 100 / (1 + len(explanation.attention))
        print_line(
            f"The temporal model attends most to {_when(explained, most)}, {share:.0f}% of its attention; "
            f"an equal share would be {equal:.0f}%."
        )
    message(WHAT_IT_IS)


def _when(explained: ExplainedVideo, place: int) -> str:
    second = explained.explanation.seconds[place]
    return f"frame {explained.frames[place]}" if second is None else f"{second:.2f} s"


def register(app: typer.Typer) -> None:
    """Add `explain` to the root command."""
    app.command(short_help="Show which descriptors support a prediction, and when.")(explain)
