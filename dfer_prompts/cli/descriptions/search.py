"""`descriptions search`: choose descriptors by zero-shot score on training folds, and record the folds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ...workspace import Workspace
from ..completion import versions
from ..options import (
    ClipOptions,
    DatasetOption,
    DeviceOption,
    TrainingFoldsOption,
    VersionOption,
    grouped,
    numbers,
)
from ..output import JsonOption, message, print_json, print_line, print_table, progress


def register(commands: typer.Typer) -> None:
    """Add this file's command to `dfer-prompts descriptions`."""
    commands.command(short_help="Choose descriptors by zero-shot on some folds.")(search)


@grouped
def search(
    context: typer.Context,
    ref: Annotated[
        str,
        typer.Argument(autocompletion=versions, metavar="V", help="The set to choose descriptors from."),
    ],
    *,
    folds: TrainingFoldsOption,
    dataset: DatasetOption = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Descriptors of each class to choose.")] = 4,
    settings: ClipOptions,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order of the classes.")] = 1,
    version: VersionOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Choose the descriptors with the best zero-shot UAR on training folds: greedily, then by swaps.

    Only the labels of the clips of --folds are used. The new version records them in its manifest and card,
    and compare and score refuse to test it, or sets derived from it, on them: leave out the test fold. Its
    score on these folds is optimistically biased.

    Example: dfer-prompts descriptions search v2 --dataset packed/mafw --folds 2-5 --k 4
    """
    from ...api import search as searching

    workspace: Workspace = context.obj
    result = searching.search(
        ref,
        folds=numbers(folds, "--folds", least=0),
        dataset=dataset,
        k=k,
        seed=seed,
        version=version,
        workspace=workspace,
        device=device,
        progress=progress,
        **settings.choices(),
    ).as_dict()
    if as_json:
        print_json(result)
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    """Print the chosen descriptors and their score on the folds they were chosen on."""
    print_table(
        f"{result['version']}: chosen on fold {', '.join(map(str, result['folds']))} of {result['dataset']}",
        ["class", "descriptors"],
        [(name, "; ".join(chosen)) for name, chosen in result["classes"].items()],
    )
    print_table(
        f"Zero-shot UAR on the {result['clips']} clips of these folds",
        ["descriptors", "UAR (%)"],
        [[name, float(value)] for name, value in result["uar"].items()],
    )
    swaps = sum(step["move"] == "swap" for step in result["steps"])
    print_line(f"{result['sentences']} sentences scored, {swaps} swaps, until no single swap was better.")
    if result["not_searched"]:
        print_line(f"Classes without clips there, not searched: {', '.join(result['not_searched'])}.")
    print_line("This score is optimistically biased: the descriptors were chosen on these clips.")
    left = ", ".join(map(str, result["folds_left_to_judge"]))
    if left:
        print_line(f"Fold {left} is left to test it: compare {result['version']} ... --folds {left}")
    else:
        print_line(f"No fold of {result['dataset']} is left to test it; use another dataset.")
    message(f"Written to {result['folder']}")
