"""One step of a training: a batch in, the weights changed, its loss out."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from dfer_model.classifiers.classifier import Classifier
from dfer_model.feeding.batches import PixelScale
from dfer_model.hardware.processes import Processes
from dfer_model.settings import Settings

from .averaging import Average
from .mixing import Mixing


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

    def __call__(self, batch: Mapping[str, Tensor], epoch: int, number: int) -> Tensor:
        """The loss () of step `number` of `epoch` on a batch as `Batches` gives it, on the device.

        It is that of the whole batch in each of several processes.
        """
        device = self.learned.device
        frames = self.scale(batch["frames"].to(device, non_blocking=True))  # (clips, T, 3, H, W)
        labels = self.position[batch["label"].to(device, non_blocking=True)]
        frames, targets = self.mixing(frames, labels, epoch, number)
        logits = self.forward(frames)[:, self.learned]
        loss = F.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)
        loss = self.processes.weighted(loss, len(targets), self.batch_size)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.average.update()
        return self.processes.mean(loss.detach())
