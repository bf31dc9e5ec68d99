"""`dfer-prompts optimize`: a language model edits a description set, training clips decide what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..workspace import Workspace
from .completion import versions
from .options import (
    BaseUrlOption,
    BudgetOption,
    ClipOptions,
    ConcurrencyOption,
    DatasetOption,
    DeviceOption,
    MaxRequestsOption,
    TimeoutOption,
    TrainingFoldsOption,
    VersionOption,
    grouped,
    numbers,
)
from .output import JsonOption, message, print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from ..api.optimize.result import Optimized, SetFigures

SetArgument = Annotated[
    str, typer.Argument(autocompletion=versions, metavar="V", help="The set to begin with, such as v1@4.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The language model.", show_default="the only one served"),
]
RoundsOption = Annotated[int, typer.Option(min=1, max=1000, help="Rounds of proposals.")]
ProposalsOption = Annotated[int, typer.Option(min=1, max=1000, help="Answers of the model per round.")]
ControlsOption = Annotated[
    bool,
    typer.Option("--controls", help="Compare with random edits of equal number, and with selection alone."),
]
TestFoldOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="FOLD", help="Test the final sets on this fold.", show_default="none"),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw the score over rounds and the gains, as .png or .svg."),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the answers and of the confirming clips.")]


@dataclass(frozen=True)
class SearchOptions:
    """The rounds, their comparison with controls, and the limits of their requests."""

    rounds: RoundsOption = 8
    proposals: ProposalsOption = 6
    controls: ControlsOption = False
    test_fold: TestFoldOption = None
    max_requests: MaxRequestsOption = None
    budget_tokens: BudgetOption = None
    concurrency: ConcurrencyOption = 8
    timeout: TimeoutOption = 300.0
    seed: SeedOption = 1


def register(app: typer.Typer) -> None:
    """Add this file's command to the root command."""
    app.command(short_help="Let a language model improve a description set.")(optimize)


@grouped
def optimize(
    context: typer.Context,
    ref: SetArgument,
    *,
    folds: TrainingFoldsOption,
    dataset: DatasetOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    search: SearchOptions,
    settings: ClipOptions,
    version: VersionOption = None,
    device: DeviceOption = "auto",
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Improve a description set: a language model proposes edits, training clips decide which are kept.

    In each round the model sees the descriptors with their effects, recalls, confusions and the best sets so
    far (template optimize). A change is accepted if a paired bootstrap over the choosing clips supports it.
    The printed gain is that on other clips of --folds, which chose nothing. compare refuses to test the new
    version on --folds.

    Answers are stored: the same command continues after an interruption. --max-requests and --budget-tokens
    end the rounds early. The log of every round is optimizations/VERSION.jsonl; report VERSION shows it.

    Example: dfer-prompts optimize v1@4 --dataset packed/mafw --folds 2-5 --test-fold 1 --controls
    """
    from ..api import optimize as optimizing
    from .llm_progress import confirmed_url

    if plot is not None:
        from dfer_model.reports.run_figures import check_picture

        check_picture(plot)
    workspace: Workspace = context.obj
    result = optimizing.optimize(
        ref,
        folds=numbers(folds, "--folds", least=0),
        dataset=dataset,
        model=model,
        base_url=confirmed_url(workspace, base_url, [model]),
        version=version,
        workspace=workspace,
        device=device,
        note=message,
        progress=progress,
        **vars(search),
        **settings.choices(),
    )
    if as_json:
        print_json(result.as_dict())
    else:
        _show(result)
    if plot is not None:
        result.plot(plot)
        message(f"Plot: {plot}")
    if result.folder:
        message(f"Written to {result.folder}")
    message(f"Log: {result.log}")


def _show(result: Optimized) -> None:
    print_table(
        "Rounds, scored on the choosing clips",
        ["round", "edits", "refused", "sets scored", "UAR (%)", "accepted"],
        [
            [
                each.number,
                each.proposed.edits,
                each.proposed.refused,
                each.candidates,
                each.score.uar,
                "yes" if each.accepted else f"no: {each.why}",
            ]
            for each in result.search.rounds
        ],
    )
    answers, without_edits = result.answers
    if without_edits:
        print_line(f"{without_edits} of {answers} answers had no readable edit.")
    for change in result.changes:
        print_line(change)
    final = result.descriptions.name if result.descriptions else "no change"
    sets = {final: result.result, **result.controls}
    folds = ", ".join(map(str, result.confirming_folds))
    _show_gains(
        f"Gain in UAR on {result.clips[1]} clips of fold {folds} that chose nothing",
        {name: each.confirmed for name, each in sets.items()},
    )
    if result.test_fold is not None:
        _show_gains(
            f"Gain in UAR on the {result.clips[2]} clips of test fold {result.test_fold}",
            {name: each.tested for name, each in sets.items()},
        )
    where = "those clips" if result.test_fold is None else "the test fold"
    for name, each in result.beside_controls.items():
        print_line(
            f"{final} - {name} on {where}: {each.value:+.2f} ({each.low:+.2f} to {each.high:+.2f}) points"
        )
    gain = result.result.confirmed.gain
    if not result.changes:
        print_line("No change was accepted.")
    elif gain.low <= 0:
        print_line("No gain is confirmed: its interval includes zero.")
    if result.stopped:
        print_line(f"Rounds ended early: {result.stopped}")
    print_line(f"Answers requested: {result.requests}; found stored: {result.found}.")


def _show_gains(title: str, figures: Mapping[str, SetFigures | None]) -> None:
    rows: list[list[Any]] = []
    for name, each in figures.items():
        if each is not None:
            gain = each.gain
            rows.append([name, each.uar.value, f"{gain.value:+.2f}", f"{gain.low:+.2f} to {gain.high:+.2f}"])
    print_table(title, ["set", "UAR (%)", "gain", "95% interval"], rows)
