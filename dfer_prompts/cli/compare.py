"""`dfer-prompts compare`: several description sets on the same clips, folds and seeds, with statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..workspace import Workspace
from .completion import versions
from .options import (
    DatasetOption,
    DeviceOption,
    EngineOptions,
    FoldsOption,
    MeasureOption,
    SeedsOption,
    TrackOption,
    TrainingOptions,
    grouped,
    numbers,
)
from .output import JsonOption, message, print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from dfer_model.comparison.record import ComparisonRecord, ControlOrigin, Screening
    from dfer_model.comparison.results import Figure, Pair, SetFigures
    from dfer_model.comparison.statistics import Difference

SetsArgument = Annotated[
    list[str],
    typer.Argument(
        autocompletion=versions,
        metavar="V",
        help="Description sets or views, such as v1@4 v2@4; or runs, by id.",
    ),
]
ControlsOption = Annotated[
    bool,
    typer.Option("--controls", help="Add the controls class-name, swapped and scrambled of the largest set."),
]
ControlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--control",
        metavar="NAME",
        help="Add this control of the largest set, such as random-words; repeatable.",
    ),
]
ScreenOption = Annotated[
    bool,
    typer.Option(
        "--screen",
        help="Rank sets by training on features of a frozen image tower, all sets and seeds at once.",
    ),
]
ThenOption = Annotated[
    int | None,
    typer.Option(
        "--then",
        metavar="N",
        help="After --screen on clips outside the test folds, fine-tune and compare the best N sets.",
    ),
]
ShotsOption = Annotated[
    str | None,
    typer.Option(
        "--shots",
        metavar="NUMBERS",
        help="Training clips per class for few-shot, such as 0,1,2,4; 0 is zero-shot.",
        show_default="0,1,2,4,8,16",
    ),
]
TransferOption = Annotated[
    str | None,
    typer.Option("--transfer-to", metavar="NAME|FOLDER", help="Packed clips that transfer is tested on."),
]


@grouped
def compare(
    context: typer.Context,
    sets: SetsArgument,
    *,
    dataset: DatasetOption = None,
    measure: MeasureOption = None,
    shots: ShotsOption = None,
    transfer_to: TransferOption = None,
    controls: ControlsOption = False,
    control: ControlOption = None,
    screen: ScreenOption = False,
    then: ThenOption = None,
    folds: FoldsOption = None,
    seeds: SeedsOption = "1-3",
    training: TrainingOptions,
    device: DeviceOption = "auto",
    engine: EngineOptions,
    track: TrackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate each set on each fold with each seed, and report which differences are significant.

    Example: dfer-prompts compare v1@2 v1@4 v2@4 --controls --dataset packed/mafw --folds 1-5 --seeds 1-3

    Trained on many clips, correct and wrong texts score alike. Measures that depend on the texts (--measure):

    zero-shot, no training: dfer-prompts compare v1 v2 --controls --measure zero-shot

    few-shot, a learning curve: dfer-prompts compare v1 v2 --controls --measure few-shot --shots 0,1,2,4

    held-out-class, each class left out in turn: dfer-prompts compare v1 v2 --measure held-out-class

    transfer: dfer-prompts compare v1 v2 --dataset packed/dfew --measure transfer --transfer-to packed/mafw

    Rank many sets on a frozen image tower: dfer-prompts compare v1@1 v1@2 v1@3 v1@4 v2 v3 --screen

    Then fine-tune the best, chosen without fold 1: dfer-prompts compare v1 v2 v3 --screen --then 2 --folds 1

    Finished and imported runs are evaluated without training: dfer-prompts compare RUN RUN --dataset DIR
    """
    from ..api import compare as comparing

    workspace: Workspace = context.obj
    result = comparing.compare(
        *sets,
        dataset=dataset,
        measure=measure or "supervised",
        shots=numbers(shots, "--shots", least=0) if shots is not None else None,
        transfer_to=transfer_to,
        controls=controls,
        control=control or (),
        screen=screen,
        then=then,
        folds=numbers(folds, "--folds") if folds is not None else None,
        seeds=numbers(seeds, "--seeds"),
        workspace=workspace,
        device=device,
        progress=progress,
        note=message,
        track=track,
        **vars(engine),
        **training.choices(),
    )
    if as_json:
        print_json(result.as_dict())
    else:
        show(result)


def show(result: ComparisonRecord) -> None:
    """Print the tables and sentences of a comparison."""
    compared = result.comparison
    rows = compared.rows
    columns = [
        (name, what)
        for name, each in rows[0].measures.items()
        for what in each.named
        if what not in REPORT_ONLY
    ]
    print_table(
        _title(result),
        ["set", *(f"{HEADINGS.get(name, name)}\n{figure_name(what)}" for name, what in columns)],
        [[each.name, *(_figure(each.measures[name].named[what]) for name, what in columns)] for each in rows],
    )
    _show_screening(result.screening)
    for name, what in CURVES:
        if name in compared.measures and what in rows[0].measures[name].curves:
            _show_curve(rows, name, what)
    by_pair: dict[tuple[str, str], dict[str, Pair]] = {}
    for pair in compared.pairs:
        by_pair.setdefault((pair.first, pair.second), {})[pair.measure] = pair
    print_table(
        "Paired differences in UAR, in points, with 95% intervals; below them each fold",
        ["set", "minus", *compared.measures],
        [
            [first, second, *(_difference(by_measure[each].uar) for each in compared.measures)]
            for (first, second), by_measure in by_pair.items()
        ],
    )
    print_table(
        "The same pairs by p-values: UAR and WAR with Holm's correction, over the sets for pairs with "
        "controls, and over the pairs of sets; the source of the seed variance and its degrees of freedom; "
        "McNemar's exact test of the clips that only one of the two classifies correctly",
        ["set", "minus", "measure", "p UAR", "p WAR", "seed variance", "clips", "p McNemar"],
        [_p_values(pair) for pair in compared.pairs],
    )
    for sentence in [*compared.verdicts, *compared.caveats, *_origins(result.controls)]:
        print_line(f"- {sentence}")
    message(f"Stored in {result.folder}\nAs a page: dfer-prompts report {result.folder.name}")


def _show_screening(screening: Screening | None) -> None:
    """Print the ranking that chose the sets, if there was one."""
    if screening:
        print_table(
            f"Chosen by a screening on {screening.clips_judged}: UAR in percent",
            ["set", "screened", "fine-tuned"],
            [[each.name, _figure(each.uar), "yes" if each.chosen else "no"] for each in screening.sets],
        )


def _show_curve(rows: Sequence[SetFigures], measure: str, what: str) -> None:
    """Print one curve of a measure, a row per set."""
    heads = list(rows[0].measures[measure].curves[what])
    print_table(
        CURVES[measure, what],
        ["set", *heads],
        [
            [each.name, *(f"{point.mean:.1f}" for point in each.measures[measure].curves[what].values())]
            for each in rows
        ],
    )


EPOCHS = {
    "last": "the last",
    "val": "the best on validation clips of the training folds",
    "test-best": "the best on the test fold (optimistically biased)",
}
REPORT_ONLY = ("macro_f1", "calibration_error", "top2_accuracy")  # figures that only the report shows
HEADINGS = {"held-out-class": "held out"}
CURVES = {
    ("few-shot", "curve_uar"): "few-shot: UAR by training clips of each class; 0 is untrained",
    ("held-out-class", "recalls"): "held-out-class: recall of each class in the runs not trained on it",
    ("transfer", "recalls"): "transfer: recall of each class",
}


def _title(result: ComparisonRecord) -> str:
    """What was compared on which clips."""
    compared = result.comparison
    parts = [f"{result.dataset}: folds {', '.join(map(str, compared.folds))}"]
    if compared.seeds:
        parts += [
            f"seeds {', '.join(map(str, compared.seeds))}",
            f"epoch: {EPOCHS.get(compared.selection, compared.selection)}",
        ]
    if result.transfer_to:
        parts.append(f"transfer to {result.transfer_to}")
    return "; ".join([*parts, "in percent"])


def figure_name(name: str) -> str:
    """The heading of a figure: "last_uar" is "last epoch UAR"."""
    shown = {"uar": "UAR", "war": "WAR", "last": "last epoch"}
    return " ".join(shown.get(word, word) for word in name.split("_"))


def _origins(controls: Mapping[str, ControlOrigin]) -> list[str]:
    """A sentence for each set and seed that controls are made of."""
    made: dict[tuple[str, object], list[str]] = {}
    for name, each in controls.items():
        made.setdefault((" and ".join(each.made_of) or "an unsaved set", each.seed), []).append(name)
    return [f"Made of {of} with seed {seed}: {', '.join(names)}." for (of, seed), names in made.items()]


def _figure(figure: Figure) -> str:
    spread = f" ± {figure.std:.1f}" if figure.std is not None else ""
    return f"{figure.mean:.1f}{spread}"


def _difference(difference: Difference) -> str:
    folds = " ".join(f"{value:+z.1f}" for value in difference.per_fold.values())
    return f"{difference.value:+z.1f} ({difference.low:+z.1f} to {difference.high:+z.1f})\n{folds}"


def _p_values(pair: Pair) -> list[object]:
    return [
        pair.first, pair.second, pair.measure, f"{pair.uar.p_holm:.4f}", f"{pair.war.p_holm:.4f}",
        _seed_variance(pair.uar),
        f"{pair.mcnemar.first_only} : {pair.mcnemar.second_only}", f"{pair.mcnemar.p:.4f}",
    ]  # fmt: skip


def _seed_variance(difference: Difference) -> str:
    """Where it was estimated and its degrees of freedom: "pooled, 14 df"."""
    noise = difference.noise
    return f"{noise.source}, {noise.degrees} df" if noise and noise.degrees else "–"


def register(app: typer.Typer) -> None:
    """Add `compare` to the root command."""
    app.command(short_help="Test whether one set is better than another.")(compare)
