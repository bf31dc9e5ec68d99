"""CLIP's weights: locate, read without executing anything from a file, and load into the model.

Three kinds of file are read: safetensors, a state dict written by `torch.save`, plain or wrapped, and
OpenAI's TorchScript archives. `torch.jit.load` would compile, and may run, the code in such an archive, so
only its tensors are read (`tensor_file`). Tensor names may be those of OpenAI, open_clip or transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.pretrained import download_pretrained
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dfer_model.errors import InputError
from dfer_model.io import refuse_other_kinds
from dfer_model.models import hub_cache

from .state_names import from_transformers, is_transformers, kind_of, unwrapped
from .tensor_file import check_sizes, in_float32, is_safetensors, read_tensor_file

# Entries of OpenAI's files that are not weights; open_clip's files do not have them.
_OPENAI_KEYS = ("input_resolution", "context_length", "vocab_size")
# open_clip's names for weight files on the hub.
_USUAL_NAMES = (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
# FaRL (arXiv 2112.03109) is a CLIP in OpenAI's code; its files contain a head for masked patches as well.
_FARL_HEAD = ("visual.mask_token", "visual.lm_transformer.", "visual.ln_lm.", "visual.lm_head.")


class WeightFile(NamedTuple):
    """The tensors of a file, floating ones in float32; those of a CLIP under the names of OpenAI's code."""

    tensors: dict[str, Tensor]
    quick_gelu: bool | None  # trained with QuickGELU (True), GELU (False), or unknown (None)


def read_weights(path: Path) -> WeightFile:
    """The weights in `path`.

    Raises InputError with the file's name if it cannot be read, contains more than tensors, or no weights.
    """
    refuse_other_kinds(path)
    state = unwrapped(_read(path), path)
    for key, value in state.items():
        if not (isinstance(value, Tensor) or (key in _OPENAI_KEYS and type(value) is int)):
            raise InputError(f"{path} holds no state dict: {key[:80]!r} is not a tensor")
    numbers = {
        key: value if isinstance(value, Tensor) else torch.tensor(value) for key, value in state.items()
    }
    check_sizes(numbers, path)
    tensors = in_float32(numbers)
    weights = {
        key: value
        for key, value in tensors.items()
        if key not in _OPENAI_KEYS and not key.startswith(_FARL_HEAD)
    }
    if is_transformers(weights):
        return WeightFile(from_transformers(weights, path), _activation_beside(path))
    return WeightFile(weights, True if len(weights) < len(tensors) else None)


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors" or is_safetensors(path):
            return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path} cannot be read as weights: {reason[:200]}") from None
    return read_tensor_file(path)


def _activation_beside(path: Path) -> bool | None:
    """Whether transformers' config.json beside the weights sets QuickGELU; None if there is no such file.

    A CLIP's config contains `hidden_act` only if it is not QuickGELU.
    """
    try:
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        if config["model_type"] != "clip":
            return None
        acts = {
            config.get(tower, {}).get("hidden_act", "quick_gelu")
            for tower in ("vision_config", "text_config")
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return True if acts == {"quick_gelu"} else False if acts == {"gelu"} else None


def fit(model: nn.Module, tensors: Mapping[str, Tensor], source: str, name: str) -> None:
    """Load exactly `tensors` into `model`. Raises InputError with the first mismatch."""
    expected = model.state_dict()
    for key, value in expected.items():
        if key not in tensors:
            kind = kind_of(tensors)
            says = f"\nThe file holds {kind}" if kind else ""
            raise InputError(f"{source} does not fit {name}: it has no {key}{says}")
        if tensors[key].shape != value.shape:
            there, here = tuple(tensors[key].shape), tuple(value.shape)
            raise InputError(
                f"{source} does not fit {name}: {key} is {there} in the file and {here} in {name}"
            )
    for key in tensors:
        if key not in expected:
            raise InputError(f"{source} does not fit {name}: {name} has no {key[:120]}")
    model.load_state_dict(dict(tensors))


def in_open_clip_names(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` of any supported project under the names of `model`, a class of open_clip."""
    named: dict[str, Tensor] = convert_state_dict(model, dict(tensors))
    if "positional_embedding" in named and not hasattr(model, "positional_embedding"):
        named = convert_to_custom_text_state_dict(named)  # older files of models with a separate text tower
    for scalar in ("logit_scale", "logit_bias"):  # some releases store them as vectors
        if scalar in named and getattr(model, scalar, None) is not None:
            named[scalar] = named[scalar].reshape(getattr(model, scalar).shape)
    return named


def download(name: str, tag: str, record: Mapping[str, Any]) -> Path:
    """The file of a pretrained tag, from the local cache (without network access) or downloaded.

    `record` is open_clip's entry for the tag. Raises InputError if it is not cached and cannot be downloaded.
    One request checks this first, because the hub's client would retry for most of a minute.
    """
    repository, candidates = hub_cache.on_the_hub(record, _USUAL_NAMES)
    try:
        if path := cached(record):
            return path
        if repository:
            hub_cache.reach(repository, candidates[0])
        return Path(download_pretrained(dict(record)))
    except Exception as error:  # noqa: BLE001 - the hub's client lets through the errors of whichever HTTP library
        reason = str(error).partition("\n")[0][:160] or type(error).__name__
        original = record.get("url", "").rpartition("/")[2]
        raise InputError(
            f"the weights {tag!r} of {name} are not on this machine and cannot be downloaded: {reason}\n"
            f"Bring {original or 'the file'} from a machine with a network and give it: --weights FILE "
            "(or test without it: --weights random)"
        ) from None


def cached(record: Mapping[str, Any]) -> Path | None:
    """The cached file of a pretrained tag, by open_clip's entry `record`. Sends no request."""
    return hub_cache.cached(record, _USUAL_NAMES)
