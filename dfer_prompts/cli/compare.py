"""`dfer-prompts compare`: several description sets on the same clips, folds and seeds, and what that says."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..workspace import Workspace
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
from .output import JsonOption, message, print_json, print_line, print_table, progress

SetsArgument = Annotated[
    list[str], typer.Argument(metavar="V", help="Description sets or views, such as v1@4 v2@4.")
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
FoldsOption = Annotated[
    str | None,
    typer.Option(
        "--folds", metavar="FOLDS", help="Folds that judge, such as 1-5 or 1,3.", show_default="all"
    ),
]
SeedsOption = Annotated[str, typer.Option("--seeds", metavar="SEEDS", help="Seeds, such as 1-3.")]


def compare(
    context: typer.Context,
    sets: SetsArgument,
    dataset: DatasetOption = None,
    controls: ControlsOption = False,
    control: ControlOption = None,
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
    as_json: JsonOption = False,
) -> None:
    """Train each set on each fold with each seed, once, and say which differences are real.

    Example: dfer-prompts compare v1@2 v1@4 v2@4 --controls --dataset packed/mafw --folds 1-5 --seeds 1-3
    """
    from ..studies import comparing

    workspace: Workspace = context.obj
    result = comparing.compare(
        *sets,
        dataset=dataset,
        controls=controls,
        control=control or (),
        folds=numbers(folds, "--folds") if folds is not None else None,
        seeds=numbers(seeds, "--seeds"),
        workspace=workspace,
        device=device,
        progress=progress,
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
    epoch = {
        "last": "the last",
        "val": "the best on validation clips of the training folds",
        "test-best": "the best on the judging fold, which flatters",
    }
    folds, seeds = (", ".join(map(str, result[key])) for key in ("folds", "seeds"))
    print_table(
        f"{result['dataset']}: folds {folds}; seeds {seeds}; epoch: {epoch[result['selection']]}; in percent",
        ["set", "zero-shot\nUAR", "zero-shot\nWAR", "trained\nUAR", "trained\nWAR"],
        [
            [each["name"], *(_figure(each[key]) for key in FIGURES)]
            for each in sorted(result["sets"], key=lambda each: each["is_control"])
        ],
    )
    zero_shot, trained = (
        [pair for pair in result["pairs"] if pair["measure"] == measure]
        for measure in ("zero-shot", "trained")
    )
    print_table(
        "Paired differences in UAR, in points, with 95% intervals; below them each fold",
        ["set", "minus", "zero-shot", "trained"],
        [
            [untrained["first"], untrained["second"], _difference(untrained["uar"]), _difference(each["uar"])]
            for untrained, each in zip(zero_shot, trained, strict=True)
        ],
    )
    for sentence in [*result["verdicts"], *result["caveats"], *_origins(result["controls"])]:
        print_line(f"- {sentence}")
    message(f"Kept in {result['folder']}")


FIGURES = ("zero_shot_uar", "zero_shot_war", "trained_uar", "trained_war")


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
    folds = " ".join(f"{value:+.1f}" for value in difference["per_fold"].values())
    return f"{difference['value']:+.1f} ({difference['low']:+.1f} to {difference['high']:+.1f})\n{folds}"


def register(app: typer.Typer) -> None:
    """Add `compare` to the root command."""
    app.command(short_help="Say whether one set is better than another.")(compare)
