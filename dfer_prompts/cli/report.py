"""`dfer-prompts report`: a comparison, reproduction, run or optimisation as a page or tables for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import DeviceOption, GroupsOption
from .output import JsonOption, message, print_json, progress

OfArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="COMPARISON|REPRODUCTION|RUN|VERSION",
        help="A comparison, reproduction or run: its folder, its id or the beginning of its id; or a version "
        "made by optimize.",
        show_default="the newest comparison",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="File to write.", show_default="report.html in its folder"),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="html|markdown|latex|csv",
        help="Format of the report.",
        show_default="from the ending of FILE, else html",
    ),
]
LatencyOption = Annotated[
    bool, typer.Option("--latency", help="Measure each model's time per clip and store it with the run.")
]
FeaturesOption = Annotated[
    bool,
    typer.Option("--features", help="Draw a t-SNE figure of a run's test clips by class (HTML only)."),
]


def report(
    context: typer.Context,
    of: OfArgument = None,
    out: OutOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's own word
    groups: GroupsOption = None,
    latency: LatencyOption = False,
    features: FeaturesOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Make one page from the stored results of a comparison, reproduction, run or optimisation.

    Nothing is trained. The name of a version made by optimize takes precedence over the beginning of an id.

    Example: dfer-prompts report --out comparison.html

    For a paper, tables for booktabs: dfer-prompts report 0ed617a0 --out tables.tex
    """
    from ..api.report import report as make

    chosen: Any = format
    made = make(
        of,
        out=out,
        format=chosen,
        groups=groups,
        latency=latency,
        features=features,
        workspace=context.obj,
        device=device,
        progress=progress,
    )
    for problem in dict.fromkeys(each.problem for each in made.costs if latency and each.problem):
        message(f"Note: no latency: {problem}")
    if as_json:
        print_json(made.as_dict())
    else:
        message(f"Written: {made.path}")


def register(app: typer.Typer) -> None:
    """Add `report` to the root command."""
    app.command(short_help="Report stored results as a page or tables.")(report)
