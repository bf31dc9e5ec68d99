"""Names of presets, strategies and measures, and meanings of settings, for the help of commands.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

PRESET_NAMES = ("default", "paper", "paper-text", "strong", "demo")  # `config.PRESETS` has their settings
MEASURES = ("zero-shot", "supervised", "few-shot", "held-out-class", "transfer")  # of a comparison
EnsembleRule = Literal["mean-probability", "mean-logit"]  # how the predictions of several runs are averaged

# Meanings of the settings that are also options: descriptions in `config.Settings`, and help in the CLI.
SETTING_MEANINGS: Mapping[str, str] = {
    "clip": "CLIP by open_clip's name, or `demo`",
    "weights": "pretrained tag, weight file, `random`, or `shipped` (demo only)",
    "epochs": "passes over the training clips; 0: no training",
    "select": "epoch to use; test-best is selected on the test fold (biased)",
    "ensemble": "how the members of a class are combined",
}

# A whole network is trained, by the optimizer and at the rates that suit it, and reads pixels as its own
# weights did.
_NETWORK: Mapping[str, Any] = {
    "normalize": "clip", "temporal_depth": 0, "lr_image": 1e-2, "lr_temporal": 1e-2, "lr_head": 1e-2,
    "optimizer": "sgd", "weight_decay": 1e-4,
    "lora_rank": 0, "gradient_checkpointing": False, "learned_temperature": False,
}  # fmt: skip

STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "dfer-clip": {"classifier": "dfer-clip"},
    "zero-shot": {
        "classifier": "dfer-clip", "contexts": 0, "temporal_depth": 0, "lr_image": 0.0,
        "epochs": 0, "select": "last", "learned_temperature": False,
    },
    "coop": {
        "classifier": "dfer-clip", "contexts": 16, "context_kind": "unified",
        "temporal_depth": 0, "lr_image": 0.0,
    },
    "cocoop": {
        "classifier": "cocoop", "contexts": 4, "context_kind": "unified",
        "temporal_depth": 0, "lr_image": 0.0,
    },
    "linear-probe": {
        "classifier": "linear", "temporal_depth": 0, "lr_image": 0.0, "learned_temperature": False,
    },
    "fine-tuning": {"classifier": "linear", "lr_image": 1e-5, "learned_temperature": False},
    "r3d-18": {"classifier": "r3d-18", "weights": "KINETICS400_V1", **_NETWORK},
    "r2plus1d-18": {"classifier": "r2plus1d-18", "weights": "KINETICS400_V1", **_NETWORK},
    "resnet18-lstm": {
        "classifier": "resnet18-lstm", "weights": "IMAGENET1K_V1", **_NETWORK, "temporal_depth": 1,
    },
    "resnet18-vit": {
        "classifier": "resnet18-vit", "weights": "IMAGENET1K_V1", **_NETWORK, "temporal_depth": 1,
    },
    "c3d": {"classifier": "c3d", "weights": "random", **_NETWORK, "lr_image": 3e-3, "lr_head": 3e-3},
    "p3d": {"classifier": "p3d", "weights": "random", **_NETWORK},
    "i3d": {"classifier": "i3d", "weights": "random", **_NETWORK},
}  # fmt: skip
"""How a classifier is made from CLIP (the rows of the paper's Table 2) or a video network (those of Table 5):
settings laid over a preset's."""
