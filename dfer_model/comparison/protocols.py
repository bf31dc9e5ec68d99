"""The table of protocols: what each one trains and how its runs become figures.

    zero-shot        CLIP without training
    supervised       trained on all clips of the training folds; its figures are named `trained`
    few-shot         trained on a few clips per class, for several numbers of them
    held-out-class   trained without one class and tested on it, each class in turn
    transfer         trained on one dataset, tested on another by the texts of its classes

With many labelled clips a classifier learns any distinct class weights; with few or none the text must
describe the class. The protocols other than supervised therefore say more about the texts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.data.splits import training_clips
from dfer_model.errors import InputError
from dfer_model.evaluation.trained_model import READ_TEXTS, require_retextable
from dfer_model.progress import Progress
from dfer_model.runs import ClassTexts, Run

from .grid import Grid, Training
from .measure import few_shot, held_out_class, supervised, transfer, zero_shot
from .results import Answers, Measured

SHOTS = (0, 1, 2, 4, 8, 16)

Variants = Mapping[str, Settings]


@dataclass(frozen=True)
class Target:
    """The test clips of another dataset, and each set's texts for their classes."""

    clips: PackedClips
    texts: tuple[ClassTexts, ...]
    new: tuple[str, ...]  # classes that the training clips do not have


@dataclass(frozen=True)
class Inputs:
    """What a protocol may read besides its runs."""

    clips: PackedClips
    shots: tuple[int, ...]
    untrained: Answers | None  # zero-shot predictions; None if no protocol needs them
    target: Target | None
    cache_dir: Path  # of the predictions on the target
    device: str
    progress: Progress


@dataclass(frozen=True)
class Protocol:
    """A row of the table."""

    # (settings, class names, numbers of shots) -> the settings to train; None if nothing is trained
    variants: Callable[[Settings, Sequence[str], Sequence[int]], Variants] | None
    measured: Callable[[Training, Sequence[Run], Inputs], Measured]
    needs_zero_shot: Callable[[Sequence[int]], bool] = lambda _shots: False
    counted: tuple[str, str] | None = None  # what the variants are: singular, plural
    option: str | None = None  # the option that only this protocol reads
    option_required: str | None = None  # what to give for it; None if the option has a default


def _zero_shot(_training: Training, _runs: Sequence[Run], inputs: Inputs) -> Measured:
    if inputs.untrained is None:
        raise ValueError("zero-shot needs the predictions of CLIP without training")
    return zero_shot(inputs.untrained)


def _few_shot(training: Training, runs: Sequence[Run], inputs: Inputs) -> Measured:
    return few_shot(training, runs, inputs.clips, inputs.untrained if 0 in inputs.shots else None)


def _transfer(training: Training, runs: Sequence[Run], inputs: Inputs) -> Measured:
    target = inputs.target
    if target is None:
        raise ValueError("transfer needs the clips of another dataset")
    with inputs.progress("transfer") as report:
        return transfer(
            training, runs, target.clips, target.texts, target.new, inputs.cache_dir, report, inputs.device
        )


def _few_shot_variants(settings: Settings, _class_names: Sequence[str], shots: Sequence[int]) -> Variants:
    return {str(n): settings.model_copy(update={"shots": n}) for n in shots if n > 0}


def _held_out_variants(settings: Settings, class_names: Sequence[str], _shots: Sequence[int]) -> Variants:
    if len(class_names) < 3:
        raise InputError(
            f"held-out-class needs three classes or more, and there are {len(class_names)}: "
            "with one of two held out, a single class is left to train on\nTake another --measure"
        )
    shared = _shared_contexts(settings)
    return {name: shared.model_copy(update={"held_out": name}) for name in class_names}


def _transfer_variants(settings: Settings, _class_names: Sequence[str], _shots: Sequence[int]) -> Variants:
    shared = _shared_contexts(settings)
    require_retextable(shared)
    return {"": shared}


def _shared_contexts(settings: Settings) -> Settings:
    """The settings with one context for all classes: a class that is not trained on has none of its own."""
    if not settings.contexts:
        return settings
    return settings.model_copy(update={"context_kind": "unified", "member_contexts": "shared"})


PROTOCOLS: Mapping[str, Protocol] = {
    "zero-shot": Protocol(variants=None, measured=_zero_shot, needs_zero_shot=lambda _shots: True),
    "supervised": Protocol(
        variants=lambda settings, _class_names, _shots: {"": settings},
        measured=lambda training, runs, _inputs: supervised(training, runs),
    ),
    "few-shot": Protocol(
        variants=_few_shot_variants,
        measured=_few_shot,
        needs_zero_shot=lambda shots: 0 in shots,
        counted=("number of shots", "numbers of shots"),
        option="--shots",
    ),
    "held-out-class": Protocol(
        variants=_held_out_variants,
        measured=lambda training, runs, inputs: held_out_class(training, runs, inputs.clips.class_names),
        counted=("class held out", "classes held out in turn"),
    ),
    "transfer": Protocol(
        variants=_transfer_variants,
        measured=_transfer,
        option="--transfer-to",
        option_required="Give --transfer-to DIR, packed clips of another dataset",
    ),
}
MEASURES = tuple(PROTOCOLS)


def training_for(measure: str, grid: Grid, class_names: Sequence[str], shots: Sequence[int]) -> Training:
    """What `measure` trains; without variants if it trains nothing.

    `held-out-class` and `transfer` share the contexts, if any, among all classes. Raises InputError for
    settings or classes that the protocol cannot be applied to.
    """
    protocol = PROTOCOLS[measure]
    if protocol.variants is None:
        return Training(measure, grid, {})
    settings = grid.settings
    if settings.classifier not in READ_TEXTS:
        raise InputError(
            f"a {settings.classifier} classifier reads no texts: every set would give the same result\n"
            "Take --strategy dfer-clip, coop or cocoop"
        )
    return Training(measure, grid, protocol.variants(settings, class_names, shots), protocol.counted)


def check_training(training: Training, clips: PackedClips) -> None:
    """Raise InputError for clips that would stop one of the trainings later."""
    for settings, fold, seed in itertools.product(
        training.variants.values(), training.grid.folds, training.grid.seeds
    ):
        training_clips(clips, settings, fold, seed)
