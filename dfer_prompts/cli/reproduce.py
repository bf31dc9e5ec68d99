"""`dfer-prompts reproduce`: rows of the paper's tables on your clips, beside the published figures."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..workspace import Workspace
from .options import (
    ClipOptions,
    DatasetOption,
    DeviceOption,
    EngineOptions,
    EpochsOption,
    FoldsOption,
    SeedsOption,
    TrackOption,
    grouped,
    numbers,
)
from .output import JsonOption, message, print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from ..api.reproduce import Reproduced

TablesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="TABLE...", help="table1, table2, table3, table4, table5, tableA, tableB."),
]
RowsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rows",
        metavar="NAME",
        help="A row by name or number (CoOp, 2, 1-3); repeatable.",
        show_default="all",
    ),
]
DescriptionsOption = Annotated[
    str, typer.Option("--descriptions", metavar="V", help="The set of the rows with descriptors.")
]
SecondOption = Annotated[
    str | None, typer.Option("--second", metavar="V", help="The second description set of Table A.")
]
FarlOption = Annotated[
    Path | None, typer.Option("--farl", metavar="FILE", help="FaRL's weights (ViT-B/16), for its row.")
]
PublishedOption = Annotated[
    Path | None,
    typer.Option(
        "--published",
        metavar="FILE",
        help="YAML of published figures that replace the shipped ones.",
        show_default="published.yaml of the workspace, if any",
    ),
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", metavar="NAME", help="Preset that a row's settings override.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Folder for the result.", show_default="reproductions/ID"),
]


@dataclass(frozen=True)
class RowOptions(ClipOptions):
    """The settings that those of the rows override."""

    preset: PresetOption = "paper"
    epochs: EpochsOption = None


@grouped
def reproduce(
    context: typer.Context,
    tables: TablesArgument = None,
    *,
    dataset: DatasetOption = None,
    rows: RowsOption = None,
    descriptions: DescriptionsOption = "v1",
    second: SecondOption = None,
    farl: FarlOption = None,
    published: PublishedOption = None,
    folds: FoldsOption = None,
    seeds: SeedsOption = "1-3",
    settings: RowOptions,
    device: DeviceOption = "auto",
    engine: EngineOptions,
    track: TrackOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train rows of the paper's tables on your clips and print them beside the published figures.

    Without a table, all tables and rows are listed with their published figures. Finished runs are reused.

    Example: dfer-prompts reproduce table2 table3 --dataset packed/dfew --folds 1-5 --seeds 1-3
    """
    from ..api.reproduce import reproduce as reproduced

    if not tables:
        _list_tables(as_json)
        return
    workspace: Workspace = context.obj
    result = reproduced(
        *tables,
        dataset=dataset,
        rows=rows or (),
        descriptions=descriptions,
        second=second,
        farl=farl,
        published=published,
        folds=numbers(folds, "--folds") if folds is not None else None,
        seeds=numbers(seeds, "--seeds"),
        workspace=workspace,
        device=device,
        out=out,
        progress=progress,
        note=message,
        track=track,
        **vars(engine),
        **settings.choices(),
    )
    if as_json:
        print_json(result.as_dict())
    else:
        _show(result, workspace)


def _list_tables(as_json: bool) -> None:
    from ..api.reproduce.paper_tables import dataset_title, listed, paper
    from ..api.reproduce.results import NOT_IN_PAPER

    tables = paper().tables
    if as_json:
        print_json(listed())
        return
    datasets = list(paper().protocol.folds)
    heads = [f"{dataset_title(name)}\nUAR / WAR" for name in datasets]
    for name, table in listed().items():
        rows = []
        for row in table["rows"]:
            figures = [row["published"].get(dataset) for dataset in datasets]
            pairs = [f"{each['uar']:.2f} / {each['war']:.2f}" if each else "-" for each in figures]
            note = "" if row["in_paper"] else f" ({NOT_IN_PAPER})"
            note = " (published only)" if row["published_only"] else note
            rows.append((row["number"], f"{row['name']}{note}", *pairs))
        print_table(f"{name}: {tables[name].title}", ["number", "row", *heads], rows)
    message(f"Figures in percent: {paper().source}")
    message("Train rows: dfer-prompts reproduce table2 --dataset DIR")


def _show(result: Reproduced, workspace: Workspace) -> None:
    from ..api.reproduce.results import cells, columns, sources

    print_line(f"{result.dataset}: {result.protocol}")
    for table, title in result.titles.items():
        rows = result.of(table)
        heads = columns(rows)
        print_table(
            f"{table}: {title}",
            [each.replace(" ", "\n") for each in heads],
            [cells(each, "last UAR" in heads) for each in rows],
        )
        for sentence in [*sources(rows), *result.assumed[table]]:
            print_line(f"- {sentence}")
    for sentence in result.caveats:
        message(f"Note: {sentence}")
    named = result.folder.parent == workspace.root / "reproductions"
    report = shlex.join(["dfer-prompts", "report", result.folder.name if named else str(result.folder)])
    message(f"Stored in {result.folder}\nAs a page: {report}")


def register(app: typer.Typer) -> None:
    """Add `reproduce` to the root command."""
    app.command(short_help="Train rows of the paper's tables, beside its figures.")(reproduce)
