"""Optimizer and learning rate schedule, with a learning rate for each part of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dfer_model.config import Settings
from dfer_model.errors import InputError


class Trainable(Protocol):
    """A classifier, or several that are trained as one."""

    def trained_parameters(self) -> Mapping[str, list[nn.Parameter]]:
        """As `Classifier.trained_parameters`."""


def make_optimizer(model: Trainable, settings: Settings) -> tuple[Optimizer, LambdaLR]:
    """The optimizer, with a parameter group for each part that has a learning rate, and its schedule.

    Parts with learning rate 0 are frozen. SGD has momentum and adds weight decay to the gradient; AdamW
    (arXiv 1711.05101, with torch's betas) has decoupled weight decay. Both decay everything that is trained,
    including biases, norms and contexts, as in the released code of DFER-CLIP.

    On a GPU and under bfloat16 the step is fused, which may change the last bits. Raises InputError if
    nothing is left to train, or if the warm-up covers all epochs.
    """
    groups: list[dict[str, Any]] = []
    for name, parameters in model.trained_parameters().items():
        rate = getattr(settings, f"lr_{name}")
        if parameters and rate > 0:
            # With LoRA, the other weights of the tower are frozen already.
            trained = [parameter for parameter in parameters if parameter.requires_grad]
            groups.append({"params": trained, "lr": rate, "name": name})
        else:
            for parameter in parameters:
                parameter.requires_grad_(False)
    if not groups:
        raise InputError(
            "nothing is left to train: no part of the model has a learning rate above 0\n"
            "Give one a rate, such as --set lr_context=1e-3, or train nothing: --epochs 0"
        )
    if settings.warmup_epochs >= settings.epochs:
        raise InputError(
            f"warmup_epochs={settings.warmup_epochs} leaves no epoch of {settings.epochs} at the full rates\n"
            "Give fewer with --set warmup_epochs=..., or more epochs"
        )
    fused = settings.precision == "bf16" or groups[0]["params"][0].is_cuda
    options: dict[str, Any] = {"weight_decay": settings.weight_decay, "fused": fused or None}
    optimizer: Optimizer
    if settings.optimizer == "adamw":
        optimizer = AdamW(groups, **options)
    else:
        optimizer = SGD(groups, momentum=settings.momentum, **options)
    if fused:
        optimizer.register_step_post_hook(_count_change)
    return optimizer, LambdaLR(optimizer, partial(rate_factor, settings))


def _count_change(optimizer: Optimizer, *_: object) -> None:
    """Increment the versions of the weights, which torch's fused steps do not change."""
    for group in optimizer.param_groups:
        torch.autograd.graph.increment_version(group["params"])


def rate_factor(settings: Settings, done: int) -> float:
    """What all learning rates are multiplied by in the epoch after `done` epochs, the same in all its steps.

    They rise linearly over `warmup_epochs` W: the epochs 1..W have 1/(W+1)..W/(W+1) of the rates, the next
    has all of them. Then `cosine` (arXiv 1608.03983) falls by (1 + cos(pi * t)) / 2, where t is the share of
    the epochs after warm-up that is done: 0 would be reached after the last epoch. `multistep` multiplies by
    gamma after each of `milestones`, which are counted from the first epoch, warm-up or not.
    """
    warmup = settings.warmup_epochs
    if done < warmup:
        return (done + 1) / (warmup + 1)
    if settings.schedule == "cosine":
        return (1 + math.cos(math.pi * (done - warmup) / (settings.epochs - warmup))) / 2
    return float(settings.gamma ** sum(milestone <= done for milestone in settings.milestones))
