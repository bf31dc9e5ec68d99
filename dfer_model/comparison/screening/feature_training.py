"""Training on stored features: the recipe of DFER-CLIP for many models at once, each as if trained alone.

A model's loss depends only on its own parameters, so the gradient of the sum of all losses is that of each
loss, and an elementwise optimiser updates each model as if it were trained alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dfer_model.data.loaders import ClassBalanced, Order, Shuffled
from dfer_model.devices import precision
from dfer_model.models.clip import Clip
from dfer_model.progress import Report
from dfer_model.training.ema import Average
from dfer_model.training.losses import LossFunction
from dfer_model.training.setup import make_optimizer
from dfer_model.training.step import not_finite

from ...config import Settings
from ...data.streaming import Streamed
from ...errors import WorkError
from ...runs import ClassTexts
from .features import Indices, KeptFeatures
from .stacked import Pair, Stacked

Logits = npt.NDArray[np.float32]


class Together:
    """The training of the models of `pairs` on the clips at `learn`, whose features are stored in `views`.

    Epoch e of seed s uses view 1 + (e - 1 + s) mod views of all clips; further draws of a clip in a
    class-balanced epoch use the next views. The order of clips is that of a training with that seed.
    """

    def __init__(
        self,
        clip: Clip,
        pairs: Sequence[Pair],
        settings: Settings,
        features: KeptFeatures,
        learn: Indices,
        views: int,
        device: torch.device,
    ) -> None:
        self.pairs, self.settings, self.features, self.views = pairs, settings, features, views
        self.learn, self.device = learn, device
        self.labels = features.clips.labels
        self.model = Stacked(clip, pairs, settings).to(device)
        self.seeds = sorted({seed for _, seed in pairs})
        self.seed_of = torch.tensor([self.seeds.index(seed) for _, seed in pairs], device=device)
        self.batch_size = min(settings.batch_size, len(learn))
        if settings.epochs:
            counts = np.bincount(self.labels[learn], minlength=len(features.clips.class_names))
            self.loss_function = LossFunction(settings, torch.from_numpy(counts).to(device))
            self.optimizer, self.scheduler = make_optimizer(self.model, settings)
        # After the optimizer, which freezes parameters without a learning rate.
        self.average = Average(self.model, settings.ema)

    def train(self, report: Report) -> None:
        """Train all epochs; `report` receives (epochs done, epochs, note) after each step.

        Raises WorkError for a loss that is not finite.
        """
        epochs = self.settings.epochs
        steps = len(self.learn) // self.batch_size
        for epoch in range(1, epochs + 1):
            self.model.train()
            losses: list[Tensor] = []
            for number, (features, labels) in enumerate(self._batches(epoch), 1):
                losses.append(self.step(features, labels))
                report(epoch - 1 + number / (steps + 1), epochs, f"epoch {epoch}, step {number} of {steps}")
            self._check(torch.stack(losses), epoch)
            self.scheduler.step()
            report(epoch, epochs, f"epoch {epoch} of {epochs}")

    def step(self, features: Tensor, labels: Tensor) -> Tensor:
        """One step on features (seeds, clips, T, width) and labels (seeds, clips): the losses (models,)."""
        with precision(self.settings.precision, self.device):
            logits = self.model(features[self.seed_of])  # (models, clips, classes)
        each = self.loss_function.each(logits.flatten(0, 1).float(), labels[self.seed_of].flatten())
        losses = each.view(logits.shape[:2]).mean(dim=1)
        self.optimizer.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update()
        return losses.detach()

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Features (seeds, clips, T, width) and labels (seeds, clips), on the device; a smaller last batch is
        dropped, as in a training."""
        orders = [self._order(seed, epoch) for seed in self.seeds]
        for start in range(0, len(self.learn) - self.batch_size + 1, self.batch_size):
            parts = [order[start : start + self.batch_size] for order in orders]  # (clips, 2) each
            features = torch.stack([self.features.batch(part[:, 0], part[:, 1]) for part in parts])
            labels = torch.from_numpy(np.stack([self.labels[part[:, 0]] for part in parts]))
            yield features.to(self.device), labels.to(self.device)

    def _order(self, seed: int, epoch: int) -> Indices:
        """The clips of an epoch in order and the view of each: (clips, 2)."""
        order = self._sampler(seed)
        order.epoch = epoch
        draws = np.array([draw if isinstance(draw, tuple) else (draw, 0) for draw in order])
        view = 1 + (epoch - 1 + seed + draws[:, 1]) % self.views
        return np.stack([self.learn[draws[:, 0]], view], axis=1)

    def _sampler(self, seed: int) -> Order:
        """The sampler of a training with that seed."""
        if self.settings.sampling == "class-balanced":
            return ClassBalanced(self.labels[self.learn], seed)
        if self.settings.sampling == "streamed":
            return Streamed(self.features.clips.shards[self.learn], self.batch_size, seed)
        return Shuffled(self.learn, seed)

    def _check(self, losses: Tensor, epoch: int) -> None:
        """Raise WorkError when one of `losses` (steps, models) is not finite."""
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            step, number = bad[0].tolist()
            raise WorkError(self._not_finite(losses[step, number].item(), epoch, step, *self.pairs[number]))

    def _not_finite(self, loss: float, epoch: int, step: int, texts: ClassTexts, seed: int) -> str:
        """The error message for a loss in a step (0-based): two lines, as in a training."""
        first = step * self.batch_size
        indices = self._order(seed, epoch)[first : first + self.batch_size, 0]
        return not_finite(
            f"the loss of {texts.name}, seed {seed}, is {loss}",
            f"epoch {epoch}, step {step + 1} of the screening",
            [self.features.clips.clip_ids[index] for index in indices],
            {f"lr_{group['name']}": float(group["lr"]) for group in self.optimizer.param_groups},
            self.settings.precision,
        )

    def answers(self, test_positions: Indices) -> Logits:
        """The logits (models, clips, classes) of the clips at `test_positions`, as those of `predict_logits`.

        Raises WorkError for logits that are not finite.
        """
        with self.average.in_place():
            logits = self._answers(test_positions)
        bad = np.argwhere(~np.isfinite(logits))
        if len(bad):
            texts, seed = self.pairs[bad[0][0]]
            raise WorkError(
                f"the logits of {texts.name}, seed {seed}, for clip "
                f"{self.features.clips.clip_ids[test_positions[bad[0][1]]]} are not finite\n"
                "Screen again with lower learning rates or --set precision=fp32"
            )
        return logits

    def _answers(self, test_positions: Indices) -> Logits:
        settings, gathered = self.settings, []
        views = settings.test_segments * settings.test_crops
        self.model.eval()
        with torch.inference_mode(), precision(settings.precision, self.device):
            weights = self.model.class_weights()
            for stored in self.features.batches(test_positions, max(1, settings.batch_size // views)):
                clips = len(stored)
                features = stored.to(self.device).view(clips * views, *stored.shape[-2:])
                logits = self.model(features.expand(len(self.pairs), -1, -1, -1), weights)
                gathered.append(logits.view(len(logits), clips, views, -1).mean(dim=2).cpu())
        result: Logits = torch.cat(gathered, dim=1).numpy()
        return result
