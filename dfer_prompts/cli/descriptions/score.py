"""`descriptions score`: text diagnostics of a set with CLIP, and its zero-shot scores on clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import InputError
from ...workspace import Workspace
from ..completion import versions
from ..options import ClipOptions, DeviceOption, grouped, numbers
from ..output import JsonOption, message, print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from dfer_model.evaluation.text_scores import TextScores

    from ...api.score import Scores

WIDEST = 12  # classes whose cosines fit the width of a terminal
SHOWN_PAIRS = 3  # of near-identical descriptors, for each set


def register(commands: typer.Typer) -> None:
    """Add this file's command to `dfer-prompts descriptions`."""
    commands.command(short_help="Show how well CLIP separates the classes of a set.")(score)


@grouped
def score(
    context: typer.Context,
    refs: Annotated[
        list[str],
        typer.Argument(autocompletion=versions, metavar="V", help="Description sets or views of them."),
    ],
    *,
    settings: ClipOptions,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the cosines between classes as this .png or .svg file."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME|FOLDER", help="Packed clips for zero-shot UAR and WAR."),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option("--folds", metavar="FOLDS", help="Test folds, such as 1-5.", show_default="all"),
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show how well CLIP's text tower separates the classes of a set: diagnostics, not accuracy.

    Margin is 1 minus the largest cosine between two classes, spread 1 minus the mean cosine between the
    descriptors of a class, overlap the share of descriptors nearer to one of another class, redundancy the
    share that repeats one of its class; a set close to a control has words that matter little.

    With --dataset also the zero-shot UAR and WAR of each set on these clips (not those it was selected on):
    by the description of each class ("sentence") and by every descriptor as a prompt ("descriptors"), alone
    and as "happiness, which has raised cheeks"; several prompts of a class are ensembled as the mean of
    their embeddings or the mean of their similarities to a clip.

    Example: dfer-prompts descriptions score v1 v2@4 --clip demo --figure cosines.png
    """
    from ...api import score as scoring

    workspace: Workspace = context.obj
    judging = numbers(folds, "--folds") if folds is not None else None
    if folds is not None and dataset is None:
        raise InputError("--folds requires --dataset")
    if figure is not None:
        from dfer_model.reports.run_figures import check_picture

        check_picture(figure)
    scores = scoring.score(
        *dict.fromkeys(refs),
        dataset=dataset,
        folds=judging,
        workspace=workspace,
        device=device,
        progress=progress,
        **settings.choices(),
    )
    if figure is not None:
        _draw(figure, scores)
    if as_json:
        print_json(scores.as_dict())
    else:
        _show(scores)


def _draw(figure: Path, scores: Scores) -> None:
    from dfer_model.reports.run_figures import heat_map_figure

    cosines, names = [each.cosines for each in scores.sets], [each.name for each in scores.sets]
    heat_map_figure(figure, cosines, scores.class_names, names)
    message(f"Drawn: {figure}")


def _show(scores: Scores) -> None:
    from ...api.score import DIAGNOSTICS, READING

    for each in scores.sets:
        _show_matrix(each)
        print_table(
            f"{each.name}: the descriptors of each class",
            ["class", "descriptors", "spread", "nearer to\nanother class (%)", "shared (%)"],
            [
                [
                    one.class_name,
                    one.descriptors,
                    _figure(one.spread),
                    _percent(one.strays),
                    _percent(one.shared),
                ]
                for one in each.classes
            ],
        )
    print_table(
        f"Class texts as {scores.clip} ({scores.weights}) reads them, without contexts",
        ["set", "margin", "closest classes", "spread", "overlap\n(%)", "redundancy\n(%)", "nearest control"],
        [
            [
                each.name,
                _figure(each.margin),
                f"{each.closest.first}, {each.closest.second}",
                _figure(each.spread),
                _percent(each.overlap),
                f"{100 * each.redundancy:.0f}",
                f"{each.nearest_control} ({each.controls[each.nearest_control]:.3f})"
                if each.nearest_control
                else "none fits",
            ]
            for each in scores.sets
        ],
    )
    for each in scores.sets:
        _show_near_identical(each)
    print_line(DIAGNOSTICS)
    if scores.zero_shot is not None:
        _show_zero_shot(scores.zero_shot)
        print_line(READING)


def _show_near_identical(scores: TextScores) -> None:
    """Print the nearest pairs of descriptors within a class; a set of noise has many."""
    pairs = [(one.class_name, pair) for one in scores.classes for pair in one.near_identical]
    pairs.sort(key=lambda each: -each[1].cosine)
    for class_name, pair in pairs[:SHOWN_PAIRS]:
        print_line(
            f"- {scores.name}, {class_name}: {pair.first!r} and {pair.second!r} say nearly "
            f"the same to this CLIP (cosine {pair.cosine:.3f})"
        )
    if len(pairs) > SHOWN_PAIRS:
        print_line(f"- {scores.name}: {len(pairs) - SHOWN_PAIRS} more pairs; --json lists them")


def _show_matrix(scores: TextScores) -> None:
    names = scores.class_names
    title = f"{scores.name}: cosines between classes, times 100"
    if len(names) > WIDEST:
        print_line(f"{title}: {len(names)} classes are too many for a table; see --figure or --json")
        return
    rows = [
        [f"{number} {name}", *(round(100 * cosine) for cosine in row)]
        for number, (name, row) in enumerate(zip(names, scores.cosines, strict=True), start=1)
    ]
    print_table(title, ["class", *map(str, range(1, len(names) + 1))], rows)


def _show_zero_shot(rows: Sequence[dict[str, Any]]) -> None:
    """The rows as a table."""
    print_table(
        "Zero-shot, in percent, with 95% intervals",
        ["set", "prompts", "class\nnames", "ensembling", "UAR", "WAR"],
        [
            [
                row["set"],
                row["prompts"],
                "with" if row["class_names"] else "without",
                row["ensembling"],
                _interval(row["uar"]),
                _interval(row["war"]),
            ]
            for row in rows
        ],
    )


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.1f} ({figure['low']:.1f} to {figure['high']:.1f})"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}"
