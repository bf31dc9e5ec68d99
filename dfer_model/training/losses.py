"""Losses of a training step: cross-entropy and four losses for classes of unequal size.

All are means over clips of a loss per clip, so that parts of a batch and shares of processes add up to the
loss of the batch. n_c is the number of training clips of class c, N their sum, K the number of learned
classes, z the logits, p their softmax, y the label:

    cross-entropy   -log p_y
    class-weighted  -w_y log p_y with w_c = N / (K n_c), so that the mean weight of a training clip is 1
    focal           -(1 - p_y)^gamma log p_y (Lin et al. 2017, arXiv 1708.02002, equation 4)
    ldam            cross-entropy with scale * delta_y subtracted from z_y only; delta_c is proportional to
                    n_c^(-1/4), and that of the smallest class is `ldam_margin` (Cao et al. 2019, arXiv
                    1906.07413, with the authors' values, without deferred re-weighting)
    logit-adjusted  cross-entropy of z + tau log(n / N) (Menon et al. 2021, arXiv 2007.07314)

Predictions use the unchanged logits. Targets may be distributions: the loss is then the mean over classes,
weighted by the target, of the loss with that class as label.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from dfer_model.config import Settings
from dfer_model.errors import InputError


class LossFunction:
    """The loss of `settings` for training clips of which `counts` (classes,) are of each learned class.

    Raises InputError if loss and sampling would both correct for the size of the classes, or if a learned
    class has no training clip and the loss depends on its number.
    """

    def __init__(self, settings: Settings, counts: Tensor) -> None:
        self.settings = settings
        if settings.loss in ("class-weighted", "ldam", "logit-adjusted"):
            _require_usable(settings, counts)
        counts = counts.float()
        self.weights = counts.sum() / (len(counts) * counts)
        self.margins = settings.ldam_scale * settings.ldam_margin * (counts.min() / counts) ** 0.25
        self.log_prior = settings.logit_tau * (counts / counts.sum()).log()

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over clips, from logits (clips, classes) and targets.

        These are labels (clips,) or distributions (clips, classes).
        """
        if self.settings.loss == "cross-entropy":
            return F.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)
        return self.each(logits, targets).mean()

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each clip (clips,), from logits and targets as above."""
        if self.settings.loss == "cross-entropy":
            return self._cross_entropy(logits, targets)
        if self.settings.loss == "logit-adjusted":
            return self._cross_entropy(logits + self.log_prior, targets)
        if self.settings.loss == "class-weighted":
            return self._cross_entropy(logits, targets, self.weights)
        if self.settings.loss == "focal":
            log_p = logits.log_softmax(dim=1)
            # Above 0: for p = 1 and gamma < 1 the gradient of the power would be infinite.
            rest = (-log_p.expm1()).clamp_min(1e-12)
            by_class = -(rest**self.settings.focal_gamma) * log_p
        else:
            # (clips, class with the margin, classes): each class once as the label.
            with_margin = logits.unsqueeze(1) - self.margins.diag()
            by_class = -with_margin.log_softmax(dim=2).diagonal(dim1=1, dim2=2)
        return (self._distribution(targets, logits) * by_class).sum(dim=1)

    def _cross_entropy(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        smoothing = self.settings.label_smoothing
        return F.cross_entropy(logits, targets, weights, reduction="none", label_smoothing=smoothing)

    def _distribution(self, targets: Tensor, logits: Tensor) -> Tensor:
        """The targets as distributions (clips, classes), with label smoothing."""
        classes = logits.shape[1]
        if targets.dim() == 1:
            # F.one_hot would read the labels, which waits until the GPU's queue is empty.
            targets = torch.eye(classes, device=logits.device)[targets]
        return torch.lerp(targets, torch.full_like(targets, 1 / classes), self.settings.label_smoothing)


def _require_usable(settings: Settings, counts: Tensor) -> None:
    if settings.sampling == "class-balanced" and settings.loss != "ldam":
        raise InputError(
            f"loss={settings.loss} and sampling=class-balanced both correct for class frequencies\n"
            "Take one of them: --set sampling=uniform, or --set loss=cross-entropy"
        )
    if not counts.all():
        raise InputError(
            f"loss={settings.loss} needs training clips of every class; {int((counts == 0).sum())} of "
            f"{len(counts)} classes have none\n"
            "Take --set loss=cross-entropy or focal, or leave such a class out with --set held_out=..."
        )
