"""The parts of a released DFER-CLIP checkpoint, by the names that this project's model gives them.

The released code (arXiv 2308.13382) keeps CLIP whole once more, under `clip_model_.`: the same tensors, of
which only the table of token embeddings is needed, to read the texts back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ..errors import InputError

_LAYER = re.compile(r"temporal_net\.temporal_transformer\.layers\.(\d+)\.(.+)\.(weight|bias)")
_IN_LAYER = {
    "0.fn.norm": "attention_norm",
    "0.fn.fn.to_qkv": "attention.qkv",
    "0.fn.fn.to_out.0": "attention.out",
    "1.fn.norm": "mlp_norm",
    "1.fn.fn.net.0": "mlp.0",
    "1.fn.fn.net.3": "mlp.2",
}


class Parts(NamedTuple):
    """What a checkpoint holds, C classes with M contexts each, text width W."""

    clip: dict[str, Tensor]  # image and text tower under OpenAI's names
    temporal: dict[str, Tensor]  # under the names of TemporalModel; empty without one
    contexts: Tensor  # (C, M, W), or (M, W) when unified
    start: Tensor  # (C, 1, W), embeddings of SOS
    texts: Tensor  # (C, context length - 1 - M, W), embeddings of text, EOS and padding
    token_table: Tensor | None  # (vocabulary, W)

    @property
    def classes(self) -> int:
        """How many classes the checkpoint tells apart."""
        return len(self.texts)

    @property
    def temporal_depth(self) -> int:
        """Layers of the temporal model; 0: there is none."""
        return len({key.split(".")[1] for key in self.temporal if key.startswith("layers.")})


def parts_of(tensors: Mapping[str, Tensor], path: Path) -> Parts:
    """`tensors` sorted into parts. Raises InputError for a key that is missing, unknown or misshapen."""
    clip: dict[str, Tensor] = {}
    temporal: dict[str, Tensor] = {}
    prompts: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        part, _, rest = key.partition(".")
        if part == "image_encoder":
            clip[f"visual.{rest}"] = tensor
        elif part == "text_encoder":
            clip[rest] = tensor
        elif part == "prompt_learner" and rest in ("ctx", "token_prefix", "token_suffix"):
            prompts[rest] = tensor
        elif part == "temporal_net":
            temporal[_temporal_name(key, path)] = tensor
        elif part != "clip_model_":
            raise InputError(f"{path} is no checkpoint of DFER-CLIP: that has no {key[:120]}")
    for name in ("ctx", "token_prefix", "token_suffix"):
        if name not in prompts:
            raise InputError(f"{path} is no whole checkpoint of DFER-CLIP: prompt_learner.{name} is missing")
    table = tensors.get("clip_model_.token_embedding.weight")
    contexts, start, texts = prompts["ctx"], prompts["token_prefix"], prompts["token_suffix"]
    found = Parts(clip, _unbatched(temporal, path), contexts, start, texts, table)
    _check_shapes(found, path)
    return found


def _temporal_name(key: str, path: Path) -> str:
    whole = {"temporal_net.cls_token": "class_token", "temporal_net.pos_embedding": "positions"}
    if key in whole:
        return whole[key]
    matched = _LAYER.fullmatch(key)
    if matched is None or matched[2] not in _IN_LAYER:
        raise InputError(f"{path} has another temporal model than DFER-CLIP's: that has no {key[:120]}")
    return f"layers.{matched[1]}.{_IN_LAYER[matched[2]]}.{matched[3]}"


def _unbatched(temporal: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Class token and positions without the leading dimensions of 1 that the released code gives them."""
    if not temporal:
        return {}
    for name, original in (("class_token", "cls_token"), ("positions", "pos_embedding")):
        if name not in temporal:
            raise InputError(
                f"{path} is no whole checkpoint of DFER-CLIP: temporal_net.{original} is missing"
            )
        if temporal[name].ndim != 3 or temporal[name].shape[0] != 1:
            raise InputError(f"{path}: temporal_net.{original} is {tuple(temporal[name].shape)}")
    if not any(name.startswith("layers.") for name in temporal):
        raise InputError(f"{path} is no whole checkpoint of DFER-CLIP: its temporal model has no layers")
    return {**temporal, "class_token": temporal["class_token"][0, 0], "positions": temporal["positions"][0]}


def _check_shapes(parts: Parts, path: Path) -> None:
    contexts, start, texts = parts.contexts, parts.start, parts.texts
    fits = (
        contexts.ndim in (2, 3)
        and start.ndim == texts.ndim == 3
        and start.shape == (len(texts), 1, contexts.shape[-1])
        and texts.shape[2] == contexts.shape[-1]
        and (contexts.ndim == 2 or len(contexts) == len(texts))
    )
    table = parts.token_table
    if not fits or (table is not None and (table.ndim != 2 or table.shape[1] != contexts.shape[-1])):
        shapes = ", ".join(str(tuple(each.shape)) for each in (contexts, start, texts))
        raise InputError(f"{path}: prompt_learner's ctx, token_prefix and token_suffix do not fit: {shapes}")
