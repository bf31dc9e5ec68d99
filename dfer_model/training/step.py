"""Parts of a training step: target positions, parts of a batch, the message for a loss that is not finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dfer_model.distributed import needs_whole_batch
from dfer_model.errors import InputError

from .ema import Mixing

CLIPS_NAMED = 10


def target_positions(learned: Tensor) -> Tensor:
    """The position of each label among the labels `learned` (classes,), as a table (largest label + 1,).

    Entries of labels that are not learned are 0 and never read.
    """
    table = learned.new_zeros(int(learned.max()) + 1)
    table[learned] = learned.new_tensor(range(len(learned)))
    return table


def require_accumulation(model: nn.Module, accumulate: int) -> None:
    """Raise InputError if `model` needs the whole batch in one pass and `accumulate` splits it."""
    if accumulate > 1 and (why := needs_whole_batch(model)):
        raise InputError(
            f"accumulate={accumulate}: this classifier's {why} of a whole batch\n"
            "Leave accumulate=1; a smaller batch_size takes less memory"
        )


class Part(NamedTuple):
    """The clips of one forward and backward pass."""

    frames: Tensor  # uint8 (clips, T, 3, H, W)
    labels: Tensor  # (clips,), or distributions (clips, classes)
    mixing: Mixing
    last: bool  # of the batch


def batch_parts(frames: Tensor, labels: Tensor, accumulate: int, mixing: Mixing) -> Iterator[Part]:
    """Split a batch into at most `accumulate` parts of nearly equal size.

    A clip is mixed with its predecessor in the batch. If clips are mixed, the predecessor of a part's first
    clip is prepended to the part (`Mixing.ahead`).
    """
    ahead = mixing.ahead if mixing.on else 0
    own = len(labels) - ahead
    count = min(accumulate, own)
    if count == 1:
        yield Part(frames, labels, mixing, last=True)
        return
    for number in range(count):
        last = number == count - 1
        first, end = (ahead + own * each // count for each in (number, number + 1))
        if not mixing.on:
            yield Part(frames[first:end], labels[first:end], mixing, last)
            continue
        before = (first - 1) % len(labels)
        part_frames, part_labels = (
            torch.cat([each[before : before + 1], each[first:end]]) for each in (frames, labels)
        )
        yield Part(part_frames, part_labels, replace(mixing, ahead=1), last)


def not_finite(
    what: str, where: str, clips: Sequence[str], learning_rates: Mapping[str, float], precision: str
) -> str:
    """The error message for a loss that is not finite: `what` and `where`, the clips, and what to try.

    `learning_rates` maps a setting (`lr_image`) to its current value.
    """
    named = ", ".join(clips[:CLIPS_NAMED])
    more = f" and {len(clips) - CLIPS_NAMED} more" if len(clips) > CLIPS_NAMED else ""
    rates = ", ".join(f"{name}={rate:g}" for name, rate in learning_rates.items())
    bf16 = ", or --set precision=fp32" if precision == "bf16" else ""
    return (
        f"{what} in {where}, on the clips {named}{more}\n"
        f"Try lower learning rates than {rates} (--set {next(iter(learning_rates))}=...){bf16}"
    )
