"""`dfer-prompts compare`: several description sets on the same clips, folds and seeds, and what that says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..workspace import Workspace
from .completion import versions
from .configuration import (
    ClipOption,
    DatasetOption,
    DeviceOption,
    EnsembleOption,
    EpochsOption,
    FreezeOption,
    PresetOption,
    SelectOption,
    SetOption,
    StrategyOption,
    WeightsOption,
    numbers,
)
from .engines import EngineOption, JobsOption, RetriesOption, RunsPerGpuOption
from .output import JsonOption, message, print_json, print_line, print_table, progress
from .run import TrackOption

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
    typer.Option(
        "--controls", help="Add class-name, swapped and scrambled of the set with the most descriptors."
    ),
]
ControlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--control", metavar="NAME", help="Add this control of it, such as random-words; repeatable."
    ),
]
ScreenOption = Annotated[
    bool,
    typer.Option(
        "--screen", help="Train on features of a frozen image tower, all sets and seeds at once: a ranking."
    ),
]
ThenOption = Annotated[
    int | None,
    typer.Option(
        "--then",
        metavar="N",
        help="After --screen on clips outside the judging folds, fine-tune and compare its best N sets.",
    ),
]
FoldsOption = Annotated[
    str | None,
    typer.Option(
        "--folds", metavar="FOLDS", help="Folds that judge, such as 1-5 or 1,3.", show_default="all"
    ),
]
SeedsOption = Annotated[str, typer.Option("--seeds", metavar="SEEDS", help="Seeds, such as 1-3.")]
MeasureOption = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        metavar="MEASURE",
        help="zero-shot, supervised, few-shot, held-out-class, transfer; repeatable.",
        show_default="supervised, with zero-shot beside it",
    ),
]
ShotsOption = Annotated[
    str | None,
    typer.Option(
        "--shots",
        metavar="NUMBERS",
        help="Clips of each class for few-shot, such as 0,1,2,4; 0 is zero-shot.",
        show_default="0,1,2,4,8,16",
    ),
]
TransferOption = Annotated[
    str | None,
    typer.Option("--transfer-to", metavar="NAME|FOLDER", help="Packed clips that judge transfer."),
]


def compare(
    context: typer.Context,
    sets: SetsArgument,
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
    preset: PresetOption = None,
    strategy: StrategyOption = None,
    clip: ClipOption = None,
    weights: WeightsOption = None,
    epochs: EpochsOption = None,
    select: SelectOption = None,
    freeze: FreezeOption = None,
    ensemble: EnsembleOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = None,
    jobs: JobsOption = None,
    runs_per_gpu: RunsPerGpuOption = None,
    retries: RetriesOption = None,
    track: TrackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure each set on each fold with each seed, once, and say which differences are real.

    Example: dfer-prompts compare v1@2 v1@4 v2@4 --controls --dataset packed/mafw --folds 1-5 --seeds 1-3

    Trained on many clips, right and wrong texts do alike. What tells texts apart (--measure, repeatable):

    zero-shot, no training at all: dfer-prompts compare v1 v2 --controls --measure zero-shot

    few-shot, a learning curve: dfer-prompts compare v1 v2 --controls --measure few-shot --shots 0,1,2,4

    held-out-class, each class in turn not trained on: dfer-prompts compare v1 v2 --measure held-out-class

    transfer: dfer-prompts compare v1 v2 --dataset packed/dfew --measure transfer --transfer-to packed/mafw

    Many sets, ranked quickly on a frozen image tower: dfer-prompts compare v1@1 v1@2 v1@3 v1@4 v2 v3 --screen

    Then the best in full, chosen without fold 1: dfer-prompts compare v1 v2 v3 --screen --then 2 --folds 1

    Finished runs, imported ones too, are judged as they are: dfer-prompts compare RUN RUN --dataset DIR
    """
    from ..studies import comparing

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
        engine=engine,
        jobs=jobs,
        runs_per_gpu=runs_per_gpu,
        retries=retries,
        progress=progress,
        note=message,
        track=track,
        preset=preset,
        strategy=strategy,
        clip=clip,
        weights=weights,
        epochs=epochs,
        select=select,
        freeze=freeze,
        ensemble=ensemble,
        overrides=overrides or (),
    ).as_dict()
    if as_json:
        print_json(result)
    else:
        show(result)


def show(result: dict[str, Any]) -> None:
    """The tables and the sentences, for a person."""
    rows = sorted(result["sets"], key=lambda each: each["is_control"])
    columns = [key for key in rows[0] if key.endswith(("_uar", "_war", "_mean")) and "_curve_" not in key]
    print_table(
        _title(result),
        ["set", *map(_heading, columns)],
        [[each["name"], *(_figure(each[key]) for key in columns)] for each in rows],
    )
    _show_choice(result["screening"])
    for title, key in _curves(rows[0]):
        print_table(
            title,
            ["set", *rows[0][key]],
            [[each["name"], *(f"{point['mean']:.1f}" for point in each[key].values())] for each in rows],
        )
    by_pair: dict[tuple[str, str], dict[str, Any]] = {}
    for pair in result["pairs"]:
        by_pair.setdefault((pair["first"], pair["second"]), {})[pair["measure"]] = pair["uar"]
    print_table(
        "Paired differences in UAR, in points, with 95% intervals; below them each fold",
        ["set", "minus", *result["measures"]],
        [
            [first, second, *(_difference(by_measure[each]) for each in result["measures"])]
            for (first, second), by_measure in by_pair.items()
        ],
    )
    print_table(
        "The same pairs by p-values: UAR and WAR as Holm corrects them for all pairs of a measure; McNemar's "
        "exact test of the clips that one answers rightly and the other does not",
        ["set", "minus", "measure", "p UAR", "p WAR", "clips", "p McNemar"],
        [_p_values(pair) for pair in result["pairs"]],
    )
    for sentence in [*result["verdicts"], *result["caveats"], *_origins(result["controls"])]:
        print_line(f"- {sentence}")
    message(f"Kept in {result['folder']}\nAs a page: dfer-prompts report {Path(result['folder']).name}")


def _show_choice(screening: dict[str, Any] | None) -> None:
    """The ranking that chose the sets, where one did."""
    if screening:
        print_table(
            f"Chosen by a screening on {screening['clips_judged']}: UAR in percent",
            ["set", "screened", "fine-tuned"],
            [
                [each["name"], _figure(each["uar"]), "yes" if each["chosen"] else "no"]
                for each in screening["sets"]
            ],
        )


EPOCHS = {
    "last": "the last",
    "val": "the best on validation clips of the training folds",
    "test-best": "the best on the judging fold, which flatters",
}


def _title(result: dict[str, Any]) -> str:
    """What was compared on what."""
    parts = [f"{result['dataset']}: folds {', '.join(map(str, result['folds']))}"]
    if result["seeds"]:
        parts += [
            f"seeds {', '.join(map(str, result['seeds']))}",
            f"epoch: {EPOCHS[result['selection']]}",
        ]
    if result["transfer_to"]:
        parts.append(f"transfer to {result['transfer_to']}")
    return "; ".join([*parts, "in percent"])


HEADINGS = {
    "zero_shot": "zero-shot",
    "screened": "screened",
    "trained": "trained",
    "few_shot": "few-shot",
    "held_out_class": "held out",
    "transfer": "transfer",
}


def _heading(key: str) -> str:
    """ "few_shot_last_uar" as a column's head: the measure, below it the figure."""
    measure = next((each for each in HEADINGS if key.startswith(f"{each}_")), None)
    if measure is None:
        return key
    words = key.removeprefix(f"{measure}_").split("_")
    shown = {"uar": "UAR", "war": "WAR", "last": "last epoch"}
    return f"{HEADINGS[measure]}\n{' '.join(shown.get(word, word) for word in words)}"


def _curves(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The further tables that this row's measures have: their title and key."""
    titles = {
        "few_shot_curve_uar": "few-shot: UAR by training clips of each class; 0 is untrained",
        "held_out_class_recalls": "held-out-class: recall of each class where it was not trained on",
        "transfer_recalls": "transfer: recall of each class",
    }
    return ((title, key) for key, title in titles.items() if key in row)


def _origins(controls: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence for each set and seed that controls are made of."""
    made: dict[tuple[str, object], list[str]] = {}
    for name, each in controls.items():
        made.setdefault((" and ".join(each["made_of"]) or "a draft", each["seed"]), []).append(name)
    return [f"Made of {of} with seed {seed}: {', '.join(names)}." for (of, seed), names in made.items()]


def _figure(figure: dict[str, float | None]) -> str:
    spread = f" ± {figure['std']:.1f}" if figure["std"] is not None else ""
    return f"{figure['mean']:.1f}{spread}"


def _difference(difference: dict[str, Any]) -> str:
    folds = " ".join(f"{value:+z.1f}" for value in difference["per_fold"].values())
    return f"{difference['value']:+z.1f} ({difference['low']:+z.1f} to {difference['high']:+z.1f})\n{folds}"


def _p_values(pair: dict[str, Any]) -> list[object]:
    uar, war, exact = pair["uar"], pair["war"], pair["mcnemar"]
    return [
        pair["first"], pair["second"], pair["measure"], f"{uar['p_holm']:.4f}", f"{war['p_holm']:.4f}",
        f"{exact['first_only']} : {exact['second_only']}", f"{exact['p']:.4f}",
    ]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `compare` to the root command."""
    app.command(short_help="Say whether one set is better than another.")(compare)
