"""What changes the weights, and how fast: a learning rate for each part of a model, and its schedule."""

from __future__ import annotations

from typing import Any

from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR

from .classifier import Classifier
from .errors import InputError
from .settings import Settings


def make_optimizer(model: Classifier, settings: Settings) -> tuple[SGD, MultiStepLR]:
    """SGD with a group of parameters for each part that is there and has a learning rate, and its schedule.

    A part with learning rate 0 is frozen. Raises InputError when that leaves nothing to train.
    """
    groups: list[dict[str, Any]] = []
    for name, parameters in model.trained_parameters().items():
        rate = getattr(settings, f"lr_{name}")
        if parameters and rate > 0:
            groups.append({"params": parameters, "lr": rate, "name": name})
        else:
            for parameter in parameters:
                parameter.requires_grad_(False)
    if not groups:
        raise InputError(
            "nothing is left to train: no part of the model has a learning rate above 0\n"
            "Give one a rate, such as --set lr_context=1e-3"
        )
    optimizer = SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    return optimizer, MultiStepLR(optimizer, list(settings.milestones), settings.gamma)
