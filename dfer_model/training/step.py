"""One step of a training: a batch in, the weights changed, its loss out.

What to say of a loss that is not finite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from dfer_model.config import Settings
from dfer_model.data.loaders import PixelScale
from dfer_model.distributed import Processes, needs_whole_batch
from dfer_model.errors import InputError
from dfer_model.models.classifier import Classifier

from .ema import Average
from .mixup import Mixing


class Step:
    """What is done with every batch: pixels, mixing, forward, loss, backward, new weights, their average.

    `learned` (classes that are learned,) are the labels that may occur, and the logits that are compared.
    Each of several `processes` has its share of a batch, which is of `batch_size` clips in all.
    """

    def __init__(
        self,
        model: Classifier,
        optimizer: Optimizer,
        average: Average,
        accelerator: Accelerator,
        *,
        settings: Settings,
        scale: PixelScale,
        learned: Tensor,
        seed: int,
        batch_size: int,
        processes: Processes,
    ) -> None:
        self.model, self.optimizer, self.average, self.accelerator = model, optimizer, average, accelerator
        self.batch_size, self.processes = batch_size, processes
        self.forward = processes.together(model)
        self.settings, self.scale, self.learned = settings, scale, learned
        # A label's place among the learned ones; one that is not learned never comes.
        self.position = learned.new_zeros(int(learned.max()) + 1)
        self.position[learned] = learned.new_tensor(range(len(learned)))
        ahead = int(processes.count > 1)
        self.mixing = Mixing(settings.mixup, settings.cutmix, len(learned), seed, ahead)
        self._ahead = ahead if self.mixing.on else 0
        if settings.accumulate > 1 and (why := needs_whole_batch(model)):
            raise InputError(
                f"accumulate={settings.accumulate}: this classifier's {why} of a whole batch\n"
                "Leave accumulate=1; a smaller batch_size takes less memory"
            )

    def __call__(self, batch: Mapping[str, Tensor], epoch: int, number: int) -> Tensor:
        """The loss () of step `number` of `epoch` on a batch as `Batches` gives it, on the device.

        It is that of the whole batch in each of several processes, and for any number of its parts.
        """
        device = self.learned.device
        frames = batch["frames"].to(device, non_blocking=True)  # (clips, T, 3, H, W)
        labels = self.position[batch["label"].to(device, non_blocking=True)]
        self.optimizer.zero_grad()
        losses = []
        count = min(self.settings.accumulate, len(labels) - self._ahead)
        for part in range(count):
            # Gradients are exchanged between processes once, after the last part.
            last = part == count - 1
            with nullcontext() if last else self.processes.unsynchronised(self.forward):
                given = self._part(frames, labels, part, count)
                losses.append(self._backward(*given, epoch, number))
        self.optimizer.step()
        self.average.update()
        return self.processes.mean(torch.stack(losses).sum() if len(losses) > 1 else losses[0])

    def _part(self, frames: Tensor, labels: Tensor, part: int, count: int) -> tuple[Tensor, Tensor, Mixing]:
        """The clips of one of `count` parts of a batch, their labels, and how they are mixed.

        A clip is mixed with the one before it in the batch: where clips are mixed, that one is in front.
        """
        if count == 1:
            return frames, labels, self.mixing
        own = len(labels) - self._ahead
        first, end = (self._ahead + own * number // count for number in (part, part + 1))
        if not self.mixing.on:
            return frames[first:end], labels[first:end], self.mixing
        before = (first - 1) % len(labels)
        frames, labels = (
            torch.cat([each[before : before + 1], each[first:end]]) for each in (frames, labels)
        )
        return frames, labels, replace(self.mixing, ahead=1)

    def _backward(self, frames: Tensor, labels: Tensor, mixing: Mixing, epoch: int, number: int) -> Tensor:
        """Add the gradient of these clips; their part () of the loss of the whole batch."""
        frames, targets = mixing(self.scale(frames), labels, epoch, number)
        logits = self.forward(frames)[:, self.learned]
        loss = F.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)
        loss = self.processes.weighted(loss, len(targets), self.batch_size)
        self.accelerator.backward(loss)
        return loss.detach()


CLIPS_NAMED = 10


def not_finite(
    what: str, where: str, clips: Sequence[str], learning_rates: Mapping[str, float], precision: str
) -> str:
    """Two lines: `what` it is and where, on which clips, and what may help; rates stand by their setting."""
    named = ", ".join(clips[:CLIPS_NAMED])
    more = f" and {len(clips) - CLIPS_NAMED} more" if len(clips) > CLIPS_NAMED else ""
    rates = ", ".join(f"{name}={rate:g}" for name, rate in learning_rates.items())
    bf16 = ", or --set precision=fp32" if precision == "bf16" else ""
    return (
        f"{what} in {where}, on the clips {named}{more}\n"
        f"Try lower learning rates than {rates} (--set {next(iter(learning_rates))}=...){bf16}"
    )
