"""Names of weights in files: unwrapping a state dict, and recognising whose names it uses.

Training programs wrap a model's state dict (`{"state_dict": ...}`, `{"model": ...}`) and prefix its names:
`module.` (DistributedDataParallel), `_orig_mod.` (torch.compile), `model.` (usually Lightning).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfer_model.errors import InputError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")
_DEEPEST = 3  # wrappers in wrappers
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "clip_model.", "clip.")

# Kind of weights by a name that only they have; completes "FILE holds ...".
_KINDS = {
    r"prompt_learner\.(ctx|token_prefix)": "a released DFER-CLIP checkpoint: use import-checkpoint",
    r"class_weights|image_tower\.\w+.*": "the model of a run of this project: give its folder",
    r"vision_model\.embeddings\..*": "the weights of a CLIP as transformers names them",
    r"visual\.(conv1|trunk|transformer|layer1)\..*": "the weights of a CLIP",
    r"blocks\.0\.attn\.qkv\.weight": "a vision transformer of timm, which has no text tower",
    r"encoder\.layers?\.(encoder_layer_)?0\..*": "a transformer other than CLIP",
    r"(layer1\.0\.conv1|conv1)\.weight": "a convolutional network, which has no text tower",
    r".*\.lora_[AB]\..*": "LoRA adapters without the model that they change",
}


def unwrapped(content: Any, path: Path) -> dict[str, Any]:
    """The state dict in the content of a file, unwrapped and without common prefixes.

    Raises InputError if there is none.
    """
    for _ in range(_DEEPEST):
        content = _inner(content)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds no state dict: no tensors by name{_instead(content)}")
    for key in content:
        if not isinstance(key, str):
            raise InputError(f"{path} holds no state dict: {str(key)[:80]!r} is not a tensor")
    named: dict[str, Any] = dict(content)
    while prefix := _common_prefix(named):
        named = {key.removeprefix(prefix): value for key, value in named.items()}
    return named


def _inner(content: Any) -> Any:
    """The first wrapper's content in `content`, else `content`; under keys such as `model`, only tensors."""
    for wrapper in _WRAPPERS if isinstance(content, Mapping) else ():
        inner = content.get(wrapper)
        if isinstance(inner, Mapping) and (
            wrapper.endswith("state_dict")
            or any(isinstance(each, Tensor | Mapping) for each in inner.values())
        ):
            return inner
    return content


def kind_of(names: Collection[str]) -> str | None:
    """The kind of weights with these names, for a message; None if unknown."""
    for pattern, words in _KINDS.items():
        if any(re.fullmatch(pattern, name) for name in names):
            return words
    return None


def _instead(content: Any) -> str:
    if isinstance(content, Mapping | list | tuple | Tensor):
        return ""
    return "; it is one whole Python object, which is never loaded: save its state_dict() instead"


def _common_prefix(names: Collection[str]) -> str | None:
    found = (prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in names))
    return next(found, None)


_WHOLE = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # transformers' own spelling
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "logit_scale": "logit_scale",
}
_TRANSPOSED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
_LAYER = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_IN_LAYER = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
}  # fmt: skip


def is_transformers(names: Collection[str]) -> bool:
    """Whether the names are those of transformers' CLIPModel."""
    return "vision_model.embeddings.class_embedding" in names


def from_transformers(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights of transformers' CLIPModel under the names of OpenAI's code, which are open_clip's.

    OpenAI's code has query, key and value in one matrix and transposed projections. Raises InputError for a
    tensor that no CLIPModel has.
    """
    made = {}
    for key, value in tensors.items():
        layer = _LAYER.fullmatch(key)
        if key in _WHOLE:
            made[_WHOLE[key]] = value
        elif key in _TRANSPOSED and value.ndim == 2:
            made[_TRANSPOSED[key]] = value.T.contiguous()
        elif layer is not None and layer[3] in _IN_LAYER:
            made[f"{_block(layer)}.{_IN_LAYER[layer[3]]}.{layer[4]}"] = value
        elif layer is not None and layer[3] == "self_attn.q_proj":
            parts = [tensors.get(key.replace("q_proj", f"{part}_proj")) for part in "qkv"]
            parts_of_shape = [
                part for part in parts if part is not None and part.shape[1:] == value.shape[1:]
            ]
            if len(parts_of_shape) < len(parts):
                raise InputError(f"{path} has no key and value that fit {key[:120]}")
            made[f"{_block(layer)}.attn.in_proj_{layer[4]}"] = torch.cat(parts_of_shape)
        elif not key.endswith(
            (".position_ids", "k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias")
        ):
            raise InputError(f"{path} is not a CLIP of transformers: it lacks {key[:120]}")
    return made


def _block(layer: re.Match[str]) -> str:
    return f"{'visual.' if layer[1] == 'vision' else ''}transformer.resblocks.{layer[2]}"
