"""The measures of a comparison: their trainings, their clips and their results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..classes import match_class_name
from ..description_set import DescriptionSet
from ..errors import InputError, unknown
from ..provenance import require_unseen
from ..workspace import Workspace
from .inputs import class_texts, each_once, features_folder, open_dataset
from .launchers import RunContext

if TYPE_CHECKING:
    from dfer_model.comparison.grid import Grid
    from dfer_model.comparison.protocols import Training
    from dfer_model.comparison.results import Answers, Measured
    from dfer_model.data.packed import PackedClips
    from dfer_model.models.clip import Clip
    from dfer_model.runs import ClassTexts, Run


@dataclass(frozen=True)
class Target:
    """The test clips of transfer, and each set's texts for their classes."""

    clips: PackedClips
    texts: tuple[ClassTexts, ...]
    new: tuple[str, ...]  # classes that the training clips do not have


@dataclass(frozen=True)
class Asked:
    """The measures in their order, the numbers of shots, and the target of transfer."""

    measures: tuple[str, ...]
    shots: tuple[int, ...]
    target: Target | None

    def trainings(self, grid: Grid, clips: PackedClips) -> list[Training]:
        """The trainings of the measures. Raises InputError for problems that would stop one later."""
        from dfer_model.comparison.protocols import check_training, training_for

        found = [
            training_for(measure, grid, clips.class_names, self.shots)
            for measure in self.measures
            if measure != "zero-shot"
        ]
        for training in found:
            check_training(training, clips)
        return found


def asked(
    measure: str | Iterable[str],
    shots: Iterable[int] | None,
    transfer_to: PackedClips | Path | str | None,
    clips: PackedClips,
    sets: Sequence[DescriptionSet],
    workspace: Workspace,
) -> Asked:
    """The requested measures. Raises InputError for measures and options that do not fit each other."""
    from dfer_model.comparison.protocols import SHOTS
    from dfer_model.registry import MEASURES

    wanted = [measure] if isinstance(measure, str) else list(measure)
    if not wanted:
        raise InputError(f"no measure is given; give one or more of {', '.join(MEASURES)}")
    for each in wanted:
        if each not in MEASURES:
            raise unknown("measure", each, MEASURES)
    if "supervised" in wanted:
        wanted.append("zero-shot")  # trained on many clips, any distinct texts score alike
    if shots is not None and "few-shot" not in wanted:
        raise InputError("--shots requires --measure few-shot\nAdd it, or leave --shots out")
    if transfer_to is not None and "transfer" not in wanted:
        raise InputError("--transfer-to requires --measure transfer\nAdd it, or leave --transfer-to out")
    if transfer_to is None and "transfer" in wanted:
        raise InputError(
            "--measure transfer requires --transfer-to\nGive --transfer-to DIR, clips of another dataset"
        )
    numbers = tuple(sorted(each_once(shots, "number of shots"))) if shots is not None else SHOTS
    if numbers[0] < 0 or not numbers[-1]:
        raise InputError(
            f"shots {', '.join(map(str, numbers))}: at least one number must be above 0, such as 1,2,4"
        )
    return Asked(
        tuple(each for each in MEASURES if each in wanted),
        numbers,
        _target(open_dataset(workspace, transfer_to), clips, sets) if transfer_to is not None else None,
    )


def _target(target: PackedClips, clips: PackedClips, sets: Sequence[DescriptionSet]) -> Target:
    """The target of transfer. Raises InputError for the same clips, or sets that cannot be tested there."""
    from dfer_model.comparison.measure import judgeable

    if target.fingerprint == clips.fingerprint:
        raise InputError(
            f"--transfer-to {target.path}: these are the training clips\nGive clips of another dataset"
        )
    require_unseen(sets, target.name, target.fingerprint, set(target.folds[judgeable(target)].tolist()))
    new = tuple(name for name in target.class_names if match_class_name(name, clips.class_names) is None)
    return Target(target, tuple(class_texts(each, target.class_names) for each in sets), new)


def planned(asked: Asked, grid: Grid, clips: PackedClips) -> tuple[Clip, list[Training]]:
    """The CLIP of the grid, and the trainings of the measures.

    Raises InputError for clips, texts or settings that would stop a measure later.
    """
    from dfer_model.comparison.grid import check_grid, check_texts
    from dfer_model.models.clip import load_clip

    clip = load_clip(grid.settings.clip, grid.settings.weights)
    check_grid(grid, clip, clips)
    if asked.target:
        check_texts(asked.target.texts, clip, grid.settings.contexts)
    return clip, asked.trainings(grid, clips)


def measured(
    asked: Asked, grid: Grid, clips: PackedClips, context: RunContext
) -> tuple[list[Run], list[Measured]]:
    """The runs of the measures that train, in their order, and the results of each measure.

    The number of trainings of each measure is reported before they start.
    """
    from dfer_model.comparison import measure as measuring
    from dfer_model.comparison.grid import train_all

    clip, trainings = planned(asked, grid, clips)
    specs = {each.measure: each.specs(clips) for each in trainings}
    workspace, progress, device = context.workspace, context.progress, context.device
    for each in trainings:
        there = sum((spec.folder(workspace.runs) / "result.json").is_file() for spec in specs[each.measure])
        context.note(f"{each}{f', of which {there} are finished' if there else ''}")
    untrained: Answers | None = None
    if "zero-shot" in asked.measures or ("few-shot" in asked.measures and 0 in asked.shots):
        from dfer_model.comparison.zero_shot import zero_shot_answers

        with progress("zero-shot") as report:
            untrained = zero_shot_answers(grid, clip, clips, features_folder(workspace), report, device)
    runs: dict[str, list[Run]] = {}
    if trainings:
        every = [spec for each in trainings for spec in specs[each.measure]]
        with progress("training") as report:
            done = train_all(
                every,
                clips,
                workspace.runs,
                report,
                device,
                engine=context.engine,
                note=context.note,
                trackers=context.trackers,
            )
        trained = iter(done)
        runs = {measure: [next(trained) for _ in each] for measure, each in specs.items()}
    found: list[Measured] = []
    if "zero-shot" in asked.measures and untrained is not None:
        found.append(measuring.zero_shot(untrained))
    for each in trainings:
        mine = runs[each.measure]
        if each.measure == "few-shot":
            start = untrained if 0 in asked.shots else None
            found.append(measuring.few_shot(each, mine, clips, start))
        elif each.measure == "held-out-class":
            found.append(measuring.held_out_class(each, mine, clips.class_names))
        elif each.measure == "transfer" and asked.target:
            target = asked.target
            kept = workspace.root / ".dfer" / "transfers"
            with progress("transfer") as report:
                found.append(
                    measuring.transfer(
                        each, mine, target.clips, target.texts, target.new, kept, report, device
                    )
                )
        else:
            found.append(measuring.supervised(each, mine))
    return [run for each in runs.values() for run in each], found
