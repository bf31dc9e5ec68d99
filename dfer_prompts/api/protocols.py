"""The protocols of a comparison: checking the request, training, and measuring."""

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
    from dfer_model.comparison.grid import Grid, Training
    from dfer_model.comparison.protocols import Target
    from dfer_model.comparison.results import Answers, Measured
    from dfer_model.data.packed import PackedClips
    from dfer_model.models.clip import Clip
    from dfer_model.runs import Run


@dataclass(frozen=True)
class MeasureRequest:
    """A checked request: the measures in table order, the numbers of shots, the target of transfer."""

    measures: tuple[str, ...]
    shots: tuple[int, ...]
    target: Target | None

    def trainings(self, grid: Grid, clips: PackedClips) -> list[Training]:
        """What each measure trains. Raises InputError for what would stop a training later."""
        from dfer_model.comparison.protocols import check_training, training_for

        found = [training_for(measure, grid, clips.class_names, self.shots) for measure in self.measures]
        for training in found:
            check_training(training, clips)
        return found


def measure_request(
    measure: str | Iterable[str],
    shots: Iterable[int] | None,
    transfer_to: PackedClips | Path | str | None,
    clips: PackedClips,
    sets: Sequence[DescriptionSet],
    workspace: Workspace,
) -> MeasureRequest:
    """The checked request. Raises InputError for unknown measures and options that do not fit them."""
    from dfer_model.comparison.protocols import MEASURES, PROTOCOLS, SHOTS

    measures = [measure] if isinstance(measure, str) else list(measure)
    if not measures:
        raise InputError(f"no measure is given; give one or more of {', '.join(MEASURES)}")
    for each in measures:
        if each not in MEASURES:
            raise unknown("measure", each, MEASURES)
    if "supervised" in measures:
        measures.append("zero-shot")  # supervised figures never stand alone: any distinct texts reach them
    given = {"--shots": shots is not None, "--transfer-to": transfer_to is not None}
    for name, protocol in PROTOCOLS.items():
        option = protocol.option
        if option and given[option] and name not in measures:
            raise InputError(
                f"{option} requires --measure {name}\nAdd --measure {name}, or leave {option} out"
            )
        if option and protocol.option_required and not given[option] and name in measures:
            raise InputError(f"--measure {name} requires {option}\n{protocol.option_required}")
    numbers = tuple(sorted(each_once(shots, "number of shots"))) if shots is not None else SHOTS
    if numbers[0] < 0 or not numbers[-1]:
        raise InputError(
            f"shots {', '.join(map(str, numbers))}: at least one number must be above 0, such as 1,2,4"
        )
    return MeasureRequest(
        tuple(each for each in MEASURES if each in measures),
        numbers,
        _target(open_dataset(workspace, transfer_to), clips, sets) if transfer_to is not None else None,
    )


def _target(target: PackedClips, clips: PackedClips, sets: Sequence[DescriptionSet]) -> Target:
    """The target of transfer. Raises InputError for the training clips and sets made with its test clips."""
    from dfer_model.comparison.measure import clips_for_transfer
    from dfer_model.comparison.protocols import Target

    if target.fingerprint == clips.fingerprint:
        raise InputError(
            f"--transfer-to {target.path}: these are the training clips\nGive packed clips of another dataset"
        )
    require_unseen(
        sets, target.name, target.fingerprint, set(target.folds[clips_for_transfer(target)].tolist())
    )
    new = tuple(name for name in target.class_names if match_class_name(name, clips.class_names) is None)
    return Target(target, tuple(class_texts(each, target.class_names) for each in sets), new)


def planned(request: MeasureRequest, grid: Grid, clips: PackedClips) -> tuple[Clip, list[Training]]:
    """The CLIP of the grid, and what each measure trains.

    Raises InputError for clips, texts or settings that would stop a measure later.
    """
    from dfer_model.comparison.grid import check_grid, check_texts
    from dfer_model.models.clip import load_clip

    clip = load_clip(grid.settings.clip, grid.settings.weights)
    check_grid(grid, clip, clips)
    if request.target:
        check_texts(request.target.texts, clip, grid.settings.contexts)
    return clip, request.trainings(grid, clips)


def measured(
    request: MeasureRequest, grid: Grid, clips: PackedClips, context: RunContext
) -> tuple[list[Run], list[Measured]]:
    """The trained runs, measure by measure, and what each measure found.

    `note` first receives the number of trainings of each measure.
    """
    from dfer_model.comparison.grid import train_all
    from dfer_model.comparison.protocols import PROTOCOLS, Inputs

    clip, trainings = planned(request, grid, clips)
    specs = {each.measure: each.specs(clips) for each in trainings}
    workspace, progress, device = context.workspace, context.progress, context.device
    for each in trainings:
        mine = specs[each.measure]
        finished = sum((spec.folder(workspace.runs) / "result.json").is_file() for spec in mine)
        if mine:
            context.note(f"{each}{f', {finished} of them finished' if finished else ''}")
    untrained: Answers | None = None
    if any(PROTOCOLS[measure].needs_zero_shot(request.shots) for measure in request.measures):
        from dfer_model.comparison.zero_shot import zero_shot_answers

        with progress("zero-shot") as report:
            untrained = zero_shot_answers(grid, clip, clips, features_folder(workspace), report, device)
    every = [spec for mine in specs.values() for spec in mine]
    runs: list[Run] = []
    if every:
        with progress("training") as report:
            runs = train_all(
                every,
                clips,
                workspace.runs,
                report,
                device,
                engine=context.engine,
                note=context.note,
                trackers=context.trackers,
            )
    trained = iter(runs)
    inputs = Inputs(
        clips,
        request.shots,
        untrained,
        request.target,
        workspace.root / ".dfer" / "transfers",
        device,
        progress,
    )
    found = [
        PROTOCOLS[each.measure].measured(each, [next(trained) for _ in specs[each.measure]], inputs)
        for each in trainings
    ]
    return runs, found
