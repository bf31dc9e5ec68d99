"""`dfer-prompts train`, `evaluate` and `predict`: one run, from its clips to what it says of a video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..seen import seen_note
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
)
from .output import JsonOption, message, print_json, print_table, progress

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.metrics import Measures
    from dfer_model.prediction import Prediction
    from dfer_model.runs import ClassTexts, Run

    from ..description_set import DescriptionSet

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, its id, or the beginning of its id.")
]
DescriptionsOption = Annotated[
    str,
    typer.Option(
        "--descriptions", metavar="V", help="A description set or a view of one, such as v2 or v2@4."
    ),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes", metavar="NAME|FILE", help="Class set whose aliases the clips' class names are."
    ),
]
FoldOption = Annotated[int, typer.Option("--fold", min=1, help="The fold that judges; the others train.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of all that is random.")]

CHOICE = {
    "last": "the last epoch",
    "val": "the epoch that is best on validation clips taken from the training folds",
    "test-best": "the epoch that is best on the fold that judges, which flatters",
    "imported": "as imported; what chose the epoch may have seen these clips",
}


def train(
    context: typer.Context,
    descriptions: DescriptionsOption,
    dataset: DatasetOption = None,
    classes: ClassesOption = None,
    fold: FoldOption = 1,
    seed: SeedOption = 1,
    preset: PresetOption = None,
    strategy: StrategyOption = None,
    clip: ClipOption = None,
    weights: WeightsOption = None,
    select: SelectOption = None,
    freeze: FreezeOption = None,
    ensemble: EnsembleOption = None,
    epochs: EpochsOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train DFER-CLIP on a description set and judge it on one fold.

    The same command again goes on where it was stopped, and finds the run once it is finished.

    Example: dfer-prompts train --descriptions v2@4 --dataset packed/mafw --fold 1
    """
    from ..studies.choices import settings_for
    from ..studies.clips import open_dataset
    from ..versions.store import DescriptionStore

    workspace: Workspace = context.obj
    described = DescriptionStore(workspace).load(descriptions)
    clips = open_dataset(workspace, dataset)
    settings = settings_for(
        workspace,
        clips.name,
        preset=preset,
        strategy=strategy,
        clip=clip,
        weights=weights,
        epochs=epochs,
        select=select,
        freeze=freeze,
        ensemble=ensemble,
        overrides=overrides or (),
    )
    texts = _texts(described, clips, classes)
    seen = seen_note(described, clips.name, clips.fingerprint, [fold])
    notes = (f"{seen}: the figures flatter it",) if seen else ()
    for note in notes:
        message(f"Note: {note}")

    from dfer_model.runs import RunSpec
    from dfer_model.training import train_run

    spec = RunSpec(settings, texts, clips.path, clips.fingerprint, fold, seed, notes)
    with progress(f"{texts.name}, fold {fold}, seed {seed}: epochs") as report:
        run = train_run(spec, clips, workspace.runs, report=report, device=device)
    _show_run(run, as_json, told=notes)


def _texts(descriptions: DescriptionSet, clips: PackedClips, classes: str | None) -> ClassTexts:
    """The class texts; with a class set, the clips' class names are first looked up among its aliases."""
    from ..studies.texts import class_texts

    if classes is None:
        return class_texts(descriptions, clips.class_names)
    from dfer_model.runs import ClassTexts

    from ..classes import load_class_set

    class_set = load_class_set(classes)
    texts = descriptions.class_texts([class_set.resolve(name).name for name in clips.class_names])
    return ClassTexts(descriptions.name, descriptions.sha256, clips.class_names, tuple(map(tuple, texts)))


def _show_run(run: Run, as_json: bool, told: tuple[str, ...]) -> None:
    result = run.result
    for note in result["notes"]:
        if note not in told:
            message(f"Note: {note}")
    if as_json:
        print_json({"run": run.id, "folder": str(run.folder), "descriptions": run.texts.name, **result})
        return
    for selection in run.selections:
        title = f"{run.id}: {CHOICE[selection]} ({result['epochs'][selection]} of {run.settings.epochs})"
        _show_measures(title, run.measures(selection))
    message(f"The run is in {run.folder}: weights, predictions.parquet, confusion.png and a card, README.md")


def _show_measures(title: str, measured: Measures) -> None:
    counts = measured.confusion.sum(axis=1)
    rows: list[list[object]] = [
        [name, int(count), "no clips" if recall is None else f"{recall:.2f}"]
        for (name, recall), count in zip(measured.recalls.items(), counts, strict=True)
    ]
    summary = {
        "UAR": measured.uar,
        "WAR": measured.war,
        "macro-F1": measured.macro_f1,
        "calibration error": measured.calibration_error,
    }
    rows += [[name, measured.clips, f"{value:.2f}"] for name, value in summary.items() if value is not None]
    print_table(title, ["class", "clips", "recall (%)"], rows)


def evaluate(
    context: typer.Context,
    run: RunArgument,
    dataset: Annotated[
        str | None,
        typer.Option(help="Other packed clips, or a name from dfer.yaml.", show_default="the run's own"),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every clip, and not a test fold alone.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the predictions to this .parquet file.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a finished run on its own test fold, or on other clips; classes are matched by name.

    Example: dfer-prompts evaluate v2-fold1 --dataset packed/ferv39k --out predictions.parquet
    """
    workspace: Workspace = context.obj
    if out is not None and out.suffix != ".parquet":
        raise InputError(f"--out {out}: predictions are written as a .parquet file; end its name in .parquet")

    from dfer_model.evaluation import evaluate_run, judged_clips
    from dfer_model.runs import find_run, write_predictions

    found = find_run(workspace.runs, run)
    found.require_finished()
    clips = _clips_of(workspace, found, dataset)
    judged = judged_clips(found, clips, every=every)
    folds = sorted({int(fold) for fold in clips.folds[judged.indices]})
    notes = [*judged.notes, *_seen_notes(workspace, found, clips, folds)]
    for note in notes:
        message(f"Note: {note}")
    with progress(found.id) as report:
        predictions = evaluate_run(found, clips, judged.indices, device=device, report=report)
    measured, beside = found.measured(predictions), _beside(found, clips, every)
    if out is not None:
        write_predictions(out, found.class_names, {found.selected: predictions})
        message(f"Predictions are in {out}")
    if as_json:
        said: dict[str, Any] = {"run": found.id, "dataset": str(clips.path), "clips_judged": judged.which}
        said |= {"notes": notes, "selection": found.selected, **measured.as_dict()}
        print_json({**said, "beside": {name: each.as_dict() for name, each in beside.items()}})
        return
    for name, each in {found.selected: measured, **beside}.items():
        _show_measures(f"{found.id} on {judged.which}, {CHOICE[name]}", each)


def _beside(run: Run, clips: PackedClips, every: bool) -> dict[str, Measures]:
    """What the run's other choices of its epoch are worth, known on its own test fold alone."""
    if every or clips.fingerprint != run.config["dataset"]["fingerprint"]:
        return {}
    return {name: run.measures(name) for name in run.selections if name != run.selected}


def _seen_notes(workspace: Workspace, run: Run, clips: PackedClips, folds: list[int]) -> list[str]:
    """What the run's set says it has seen of the judging folds, where the set is still here as it was."""
    from ..versions.store import DescriptionStore

    try:
        described = DescriptionStore(workspace).load(run.texts.name)
    except InputError:
        return []
    note = seen_note(described, clips.name, clips.fingerprint, folds)
    return [note] if note and described.sha256 == run.texts.sha256 else []


def _clips_of(workspace: Workspace, run: Run, dataset: str | None) -> PackedClips:
    from dfer_model.data.packed import PackedClips

    if dataset is not None:
        return PackedClips.open(workspace.dataset(dataset))
    if "imported" in run.config:
        raise InputError(f"{run.id} was imported and has no clips of its own\nSay which: --dataset DIR")
    own = Path(run.config["dataset"]["path"])
    if not own.is_dir():
        raise InputError(f"the clips of {run.id} are no longer in {own}\nSay where they are: --dataset DIR")
    return PackedClips.open(own)


def predict(
    context: typer.Context,
    run: RunArgument,
    videos: Annotated[list[Path], typer.Argument(help="Video files.", metavar="VIDEO")],
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say which expression a video shows, with the probability of each class.

    Example: dfer-prompts predict v2-fold1 clip.mp4 another.mp4
    """
    workspace: Workspace = context.obj
    from dfer_model.prediction import WHOLE_FRAMES, Refusal, predict_each
    from dfer_model.runs import find_run

    found = find_run(workspace.runs, run)
    found.require_finished()
    message(WHOLE_FRAMES)
    said: list[dict[str, Any]] = []
    refused = 0
    for answer in predict_each(found, videos, device):
        if isinstance(answer, Refusal):
            refused += 1
            message(f"Error: {answer.reason}")
            said.append({"video": str(answer.video), "error": answer.reason})
        else:
            said.append(answer.as_dict())
            if not as_json:
                _show_prediction(answer)
    if as_json:
        print_json({"run": found.id, "frames_are": "whole", "videos": said})
    if refused:
        raise typer.Exit(InputError.exit_status)


def _show_prediction(prediction: Prediction) -> None:
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    rows = [(name, 100 * value) for name, value in ranked]
    print_table(f"{prediction.video}: {prediction.expression}", ["class", "percent"], rows)
    message(f"Frames taken: {', '.join(map(str, prediction.frames))}")


def register(app: typer.Typer) -> None:
    """Add `train`, `evaluate` and `predict` to the root command."""
    app.command(short_help="Train DFER-CLIP on a description set.")(train)
    app.command(short_help="Measure a finished run on clips.")(evaluate)
    app.command(short_help="Say which expression a video shows.")(predict)
