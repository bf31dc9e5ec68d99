"""`dfer-prompts train` and `evaluate`: train one run, evaluate a finished one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_model.registry import EnsembleRule

from .completion import runs, versions
from .options import DatasetsOption, DeviceOption, GroupsOption, TrackOption, TrainingOptions, grouped
from .output import JsonOption, clock, message, print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from dfer_model.comparison.group_figures import Grouped
    from dfer_model.comparison.results import Figure
    from dfer_model.metrics import Measures
    from dfer_model.runs import Run
    from dfer_model.training.training_estimate import TrainingEstimate


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
        "--classes",
        metavar="NAME|FILE",
        help="Class set whose aliases resolve the clips' class names; of several datasets, the classes to "
        "train on.",
    ),
]
FoldOption = Annotated[int, typer.Option("--fold", min=1, help="Test fold; the others are for training.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print parameters, clips, memory, time and files; train and write nothing."
    ),
]

USES = {"train": "training", "val": "validation", "test": "test"}
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
    dataset: DatasetsOption = None,
    classes: ClassesOption = None,
    fold: FoldOption = 1,
    seed: SeedOption = 1,
    training: TrainingOptions,
    device: DeviceOption = "auto",
    track: TrackOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train DFER-CLIP on a description set, or another strategy, and evaluate it on one test fold.

    The same command resumes a stopped run and reuses a finished one. With --dry-run, four steps are computed
    on real clips to estimate memory and time, and nothing is written. --strategy zero-shot needs no dataset:
    the run then has no figures. Several datasets (--dataset repeated) are trained on together; each keeps its
    folds and has its own test table.

    Example: dfer-prompts train --descriptions v2@4 --dataset packed/mafw --fold 1
    """
    from ..api.train import train as train_one
    from ..api.train import train_dry_run

    messages: list[str] = []

    def note(text: str) -> None:
        messages.append(text)
        message(f"Note: {text}")

    definition: Any = {"dataset": dataset or None, "classes": classes, "fold": fold, "seed": seed}
    definition |= training.choices()
    place: Any = {"workspace": context.obj, "device": device, "progress": progress, "note": note}
    if dry_run:
        _show_estimate(train_dry_run(descriptions, **definition, **place), as_json)
        return
    run = train_one(descriptions, **definition, **place, track=track)
    _show_run(run, as_json, shown=messages)


def _show_estimate(estimate: TrainingEstimate, as_json: bool) -> None:
    if as_json:
        print_json(estimate.as_dict())
        return
    parts = {name: (each.parameters, each.trained) for name, each in estimate.parameters.items()}
    parts["total"] = (sum(all_ for all_, _ in parts.values()), sum(trained for _, trained in parts.values()))
    rates = {name: each.learning_rate for name, each in estimate.parameters.items()}
    print_table(
        f"{estimate.run}: parameters",
        ["part", "parameters", "trained", "learning rate"],
        [
            [name, *counts, "" if (rate := rates.get(name)) is None else f"{rate:g}"]
            for name, counts in parts.items()
        ],
    )
    columns = {
        **{f"fold {fold}" if fold else "no fold": counts for fold, counts in estimate.folds.items()},
        **{USES[use]: counts for use, counts in estimate.clips.items() if any(counts.values())},
    }
    rows = [[name, *(counts[name] for counts in columns.values())] for name in estimate.clips["train"]]
    rows.append(["total", *(sum(counts.values()) for counts in columns.values())])
    print_table("Clips", ["class", *columns], rows)
    for line in _estimate_lines(estimate):
        print_line(line)
    message("This was a dry run: nothing was trained or written")


def _estimate_lines(estimate: TrainingEstimate) -> Iterator[str]:
    """A line per estimate."""
    from rich.filesize import decimal

    from dfer_model.memory import in_gib

    memory, seconds = estimate.memory, estimate.seconds
    if estimate.finished:
        yield "The run is finished; train reuses it"
    elif estimate.epochs_done:
        yield f"The run is resumed after {estimate.epochs_done} of {estimate.epochs} epochs"
    yield (
        f"Steps: {estimate.steps_per_epoch} per epoch, {estimate.epochs} epochs, "
        f"{estimate.batch_size} clips per step"
    )
    if estimate.augmentation:
        yield f"Augmentation: {estimate.augmentation}"
    needed = "" if memory.training is None else f", training {in_gib(memory.training)} in addition"
    free = "" if memory.free is None else f"; {in_gib(memory.free)} are free"
    yield f"Memory on {estimate.device}: model {in_gib(memory.model)}{needed}{free}"
    if seconds is not None:
        measured = ", ".join(f"{each:.2f}" for each in seconds.steps)
        yield (
            f"Time: {clock(seconds.total)} left, {clock(seconds.epoch)} per epoch; "
            f"measured steps: {measured} s"
        )
    files = [name if size is None else f"{name} ({decimal(size)})" for name, size in estimate.writes.items()]
    yield f"Files in {estimate.folder}: {', '.join(files)}"
    if estimate.temporary:
        files = [f"{name} ({decimal(size)})" for name, size in estimate.temporary.items()]
        yield f"Until the training ends: {', '.join(files)}"


def _show_run(run: Run, as_json: bool, shown: Sequence[str]) -> None:
    from dfer_model.metrics import measures_of

    result = run.result
    for note in result["notes"]:
        if note not in shown:
            message(f"Note: {note}")
    if as_json:
        named = run.texts.name if run.settings.uses_texts else None
        print_json({"run": run.id, "folder": str(run.folder), "descriptions": named, **result})
        return
    datasets: dict[str, Any] = result.get("datasets", {})
    for selection in run.selections:
        for name, each in datasets.items():
            if selection in each["measures"]:
                _show_measures(f"{name}: {CHOICE[selection]}", measures_of(each["measures"][selection]))
        which = f"all {len(datasets)} datasets, " if datasets else ""
        title = (
            f"{run.id}: {which}{CHOICE[selection]} ({result['epochs'][selection]} of {run.settings.epochs})"
        )
        _show_measures(title, run.measures(selection))
    tables = ", predictions.parquet, confusion.png" if run.selections else ""
    message(f"The run is in {run.folder}: weights{tables} and a card, README.md")


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
        "top-2 accuracy": measured.top2_accuracy,
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
            metavar="RUN",
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
    groups: GroupsOption = None,
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
        groups=groups,
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
    for name, each in evaluated.datasets.items():
        _show_measures(f"{evaluated.run} on {name}, {CHOICE[evaluated.selection]}", each)
    for name, each in {evaluated.selection: evaluated.measures, **evaluated.beside}.items():
        _show_measures(f"{evaluated.run} on {evaluated.clips_judged}, {CHOICE[name]}", each)
    if evaluated.groups is not None:
        _show_groups(f"{evaluated.run} on {evaluated.clips_judged}", evaluated.groups)
    if evaluated.calibrated is not None:
        message(
            f"Divided by the temperature {evaluated.calibrated.temperature:.3g} that `calibrate` fitted, "
            f"calibration error {evaluated.calibrated.calibration_error:.2f}; predictions do not change"
        )


def _show_groups(title: str, grouped: Grouped) -> None:
    rows = [
        [each.group, each.clips, each.classes, *map(_with_interval, (each.uar, each.war))]
        for each in grouped.groups
    ]
    columns = [grouped.by, "clips", "classes", "UAR (%)", "WAR (%)"]
    print_table(f"{title}, by {grouped.by}, with 95% intervals", columns, rows)
    worst = grouped.worst
    if worst is None:
        print_line("Worst-group UAR: none, because no group has clips of two classes")
        return
    rest = len(grouped.groups) - len(grouped.eligible)
    left_out = f"; {rest} groups with clips of one class only are left out" if rest else ""
    print_line(f"Worst-group UAR: {worst.uar.mean:.2f} ({worst.group}, {worst.clips} clips){left_out}")


def _with_interval(of: Figure) -> str:
    interval = "" if of.low is None or of.high is None else f" ({of.low:.2f} to {of.high:.2f})"
    return f"{of.mean:.2f}{interval}"


def register(app: typer.Typer) -> None:
    """Add `train` and `evaluate` to the root command."""
    app.command(short_help="Train DFER-CLIP on a description set.")(train)
    app.command(short_help="Evaluate a finished run on clips.")(evaluate)
