"""`dfer-prompts train` and `evaluate`: train one run, evaluate a finished one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfer_model.registry import EnsembleRule

from .completion import runs, versions
from .options import DatasetOption, DeviceOption, TrackOption, TrainingOptions, grouped
from .output import JsonOption, message, print_json, print_table, progress

if TYPE_CHECKING:
    from dfer_model.metrics import Measures
    from dfer_model.runs import Run


RunArgument = Annotated[
    str,
    typer.Argument(
        autocompletion=runs, metavar="RUN", help="A run's folder, its id, or the beginning of its id."
    ),
]
DescriptionsOption = Annotated[
    str | None,
    typer.Option(
        "--descriptions",
        autocompletion=versions,
        metavar="V",
        help="A description set or a view of one, such as v2 or v2@4.",
        show_default="none, for strategies without texts",
    ),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes", metavar="NAME|FILE", help="Class set whose aliases resolve the clips' class names."
    ),
]
FoldOption = Annotated[int, typer.Option("--fold", min=1, help="Test fold; the others are for training.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]

CHOICE = {
    "last": "the last epoch",
    "val": "the best epoch on validation clips of the training folds",
    "test-best": "the best epoch on the test fold (optimistically biased)",
    "imported": "as imported; its epoch may have been selected on these clips",
    "mixed": "the epoch that each run selected",
}


@grouped
def train(
    context: typer.Context,
    *,
    descriptions: DescriptionsOption = None,
    dataset: DatasetOption = None,
    classes: ClassesOption = None,
    fold: FoldOption = 1,
    seed: SeedOption = 1,
    training: TrainingOptions,
    device: DeviceOption = "auto",
    track: TrackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train DFER-CLIP on a description set, or another strategy, and evaluate it on one test fold.

    The same command resumes a stopped run and reuses a finished one.

    Example: dfer-prompts train --descriptions v2@4 --dataset packed/mafw --fold 1
    """
    from ..api.train import train as train_one

    told: list[str] = []

    def note(text: str) -> None:
        told.append(text)
        message(f"Note: {text}")

    run = train_one(
        descriptions,
        dataset=dataset,
        classes=classes,
        fold=fold,
        seed=seed,
        workspace=context.obj,
        device=device,
        progress=progress,
        note=note,
        **training.choices(),
        track=track,
    )
    _show_run(run, as_json, told=told)


def _show_run(run: Run, as_json: bool, told: Sequence[str]) -> None:
    result = run.result
    for note in result["notes"]:
        if note not in told:
            message(f"Note: {note}")
    if as_json:
        named = run.texts.name if run.settings.uses_texts else None
        print_json({"run": run.id, "folder": str(run.folder), "descriptions": named, **result})
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
    run: Annotated[
        list[str],
        typer.Argument(
            autocompletion=runs,
            metavar="RUN...",
            help="A run's folder, its id, or the beginning of its id; several with --ensemble.",
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(help="Other packed clips, or a name from dfer.yaml.", show_default="the run's own"),
    ] = None,
    ensemble: Annotated[
        EnsembleRule | None,
        typer.Option(help="Average the predictions of several runs.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Evaluate all clips, not only the test fold.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the predictions to this .parquet file.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Evaluate a finished run on its test fold, or on other clips; classes are matched by name.

    Several runs with the same test clips, such as the seeds of a set, are averaged with --ensemble.

    Example: dfer-prompts evaluate v2-fold1 --dataset packed/ferv39k --out predictions.parquet
    """
    from ..api.evaluate import evaluate as evaluate_run

    evaluated = evaluate_run(
        run,
        dataset,
        ensemble=ensemble,
        every=every,
        out=out,
        workspace=context.obj,
        device=device,
        progress=progress,
        note=lambda text: message(f"Note: {text}"),
    )
    if out is not None:
        message(f"Predictions are in {out}")
    if as_json:
        print_json(evaluated.as_dict())
        return
    for name, each in {evaluated.selection: evaluated.measures, **evaluated.beside}.items():
        _show_measures(f"{evaluated.run} on {evaluated.clips_judged}, {CHOICE[name]}", each)
    if evaluated.calibrated is not None:
        message(
            f"Divided by the temperature {evaluated.calibrated.temperature:.3g} that `calibrate` fitted, "
            f"calibration error {evaluated.calibrated.calibration_error:.2f}; predictions do not change"
        )


def register(app: typer.Typer) -> None:
    """Add `train` and `evaluate` to the root command."""
    app.command(short_help="Train DFER-CLIP on a description set.")(train)
    app.command(short_help="Evaluate a finished run on clips.")(evaluate)
