"""`dfer-prompts compare`: several description sets on the same clips, folds and seeds, and what that says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, Interrupted
from ..seen import require_unseen
from ..workspace import Workspace
from .configuration import (
    Choices,
    ClipOption,
    DatasetOption,
    DeviceOption,
    EpochsOption,
    PresetOption,
    SelectOption,
    SetOption,
    WeightsOption,
    class_texts,
    judging_folds,
    numbers,
    open_dataset,
)
from .output import JsonOption, message, print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from dfer_model.comparison import Comparison
    from dfer_model.data.packed import PackedClips
    from dfer_model.experiments import Grid
    from dfer_model.runs import Run

    from ..description_set import DescriptionSet

SetsArgument = Annotated[list[str], typer.Argument(help="Description sets or views, such as v1@4 v2@4.")]
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
    str | None, typer.Option("--folds", help="Folds that judge, such as 1-5 or 1,3.", show_default="all")
]
SeedsOption = Annotated[str, typer.Option("--seeds", help="Seeds, such as 1-3.")]


def compare(
    context: typer.Context,
    sets: SetsArgument,
    dataset: DatasetOption = None,
    controls: ControlsOption = False,
    control: ControlOption = None,
    folds: FoldsOption = None,
    seeds: SeedsOption = "1-3",
    preset: PresetOption = None,
    clip: ClipOption = None,
    weights: WeightsOption = None,
    epochs: EpochsOption = None,
    select: SelectOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train each set on each fold with each seed, once, and say which differences are real.

    Example: dfer-prompts compare v1@2 v1@4 v2@4 --controls --dataset packed/mafw --folds 1-5 --seeds 1-3
    """
    workspace: Workspace = context.obj
    clips = open_dataset(workspace, dataset)
    settings = Choices(preset, clip, weights, epochs, select, overrides or []).settings(workspace, clips.name)
    wanted = dict.fromkeys([*(USUAL_CONTROLS if controls else ()), *(control or [])])
    candidates, control_sets = described(workspace, sets, wanted)
    texts = tuple(class_texts(each, clips) for each in [*candidates, *control_sets])
    from dfer_model.experiments import Grid

    judging = judging_folds(clips, folds)
    require_unseen([*candidates, *control_sets], clips.name, clips.fingerprint, judging)
    grid = Grid(settings, texts, judging, numbers(seeds, "--seeds"))
    result = compare_grid(workspace, clips, grid, control_sets, device)
    if as_json:
        print_json(result)
        return
    show(result)


def compare_grid(
    workspace: Workspace, clips: PackedClips, grid: Grid, controls: Sequence[DescriptionSet], device: str
) -> dict[str, Any]:
    """Run the grid, compare, and keep the result under `comparisons/`; returns what was kept.

    `controls` are those of the grid's sets that are controls.
    """
    from dfer_model import comparison
    from dfer_model.clip import load_clip
    from dfer_model.errors import Interrupted as ModelInterrupted
    from dfer_model.experiments import check_grid, train_grid
    from dfer_model.zero_shot import zero_shot_answers

    features = workspace.root / ".dfer" / "features"
    clip = load_clip(grid.settings.clip, grid.settings.weights)
    check_grid(grid, clip, clips)
    try:
        with progress("zero-shot") as report:
            zero_shot = zero_shot_answers(grid, clip, clips, features, report, device)
        with progress("training") as report:
            runs = train_grid(grid, clips, workspace.runs, report, device)
    except (KeyboardInterrupt, ModelInterrupted) as error:
        raise Interrupted(
            f"Stopped; finished runs and the last epoch of the one at work are kept in {workspace.runs}\n"
            "Give the same command again to go on"
        ) from error
    selection = grid.settings.select
    trained = comparison.trained_answers(runs, grid.texts, selection)
    names = [each.name for each in controls]
    compared = comparison.compare(trained, zero_shot, names, grid.seeds, selection)
    return _keep(workspace, clips, grid, controls, runs, compared)


USUAL_CONTROLS = ("class-name", "swapped", "scrambled")


def described(
    workspace: Workspace, refs: list[str], controls: Iterable[str]
) -> tuple[list[DescriptionSet], list[DescriptionSet]]:
    """The sets named, and the controls: those among them, then `controls` of the one with most descriptors.

    Raises InputError for a set named twice, for controls alone, and for one set alone without a control.
    """
    from ..sources.controls import control_set
    from ..versions.store import DescriptionStore

    if len(set(refs)) != len(refs):
        raise InputError("a set is named twice; each can be compared with the others only once")
    store = DescriptionStore(workspace)
    named = [store.load(ref) for ref in refs]
    candidates = [each for each in named if each.manifest.control is None]
    if not candidates:
        raise InputError(f"{' and '.join(refs)}: controls alone compare nothing; name the set they control")
    largest = max(candidates, key=lambda each: sum(len(m) for ms in each.members.values() for m in ms))
    made = [control_set(name, largest) for name in controls]
    if len(named) + len(made) < 2:
        raise InputError("one set alone cannot be compared\nName a second one, or add --controls")
    return candidates, [*(each for each in named if each.manifest.control is not None), *made]


def show(result: dict[str, Any]) -> None:
    """The tables and the sentences, for a person."""
    epoch = {"last": "the last", "test-best": "the best on the judging fold, which flatters"}
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


def _keep(
    workspace: Workspace,
    clips: PackedClips,
    grid: Grid,
    controls: Sequence[DescriptionSet],
    runs: list[Run],
    compared: Comparison,
) -> dict[str, Any]:
    import json

    from ..files import write_atomically

    ids = [run.id for run in runs]
    name = hashlib.sha256("\n".join([*ids, *(each.name for each in grid.texts)]).encode()).hexdigest()[:12]
    folder = workspace.root / "comparisons" / name
    result = {
        "folder": str(folder),
        "dataset": clips.name,
        **asdict(compared),
        "settings": grid.settings.model_dump(mode="json"),
        "texts": [asdict(each) for each in grid.texts],
        "controls": {
            each.name: {"made_of": each.manifest.parents, "seed": each.manifest.derivation.get("seed")}
            for each in controls
        },
        "runs": ids,
    }
    write_atomically(folder / "comparison.json", json.dumps(result, ensure_ascii=False, indent=2))
    return result


def register(app: typer.Typer) -> None:
    """Add `compare` to the root command."""
    app.command(short_help="Say whether one set is better than another.")(compare)
