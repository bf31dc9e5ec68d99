"""CLIP's weights: found, read without running anything that a file holds, and fitted.

Three kinds of file are read: safetensors; what `torch.save` wrote of a state dict, plain or under
`state_dict`; and the TorchScript archives that OpenAI released. `torch.jit.load` would compile, and may run,
the code inside such an archive, so only its tensors are read, by torch's own weights-only reader.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import torch
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.pretrained import download_pretrained
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dfer_model.classifiers import hub_cache
from dfer_model.errors import InputError

# What OpenAI's files say beside the weights; open_clip's files have none of these.
_OPENAI_KEYS = ("input_resolution", "context_length", "vocab_size")
# What open_clip calls files of weights on the hub.
_USUAL_NAMES = (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
# FaRL (arXiv 2112.03109) is a CLIP of OpenAI's code; its files keep the head that restored masked patches.
_FARL_HEAD = ("visual.mask_token", "visual.lm_transformer.", "visual.ln_lm.", "visual.lm_head.")


class WeightFile(NamedTuple):
    """The tensors of one file, floating ones in float32, and whether it is of OpenAI's code (QuickGELU)."""

    tensors: dict[str, Tensor]
    openai: bool


class _Inert:
    """Stands for every module class in a TorchScript archive: it holds attributes and has no behaviour."""


def read_weights(path: Path) -> WeightFile:
    """The weights in `path`.

    Raises InputError, naming the file, where it cannot be read, holds more than tensors, or no weights.
    """
    try:
        content = _read(path)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise InputError(
                f"{path} is no file of weights: its contents are none that torch wrote"
            ) from None
        raise InputError(
            f"{path} holds Python objects beside its tensors, and those are never loaded\n"
            "Save its state dict alone, or convert it to safetensors, and give that file"
        ) from None
    except (
        OSError,
        EOFError,
        AttributeError,
        IndexError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
        SafetensorError,
        zipfile.BadZipFile,
    ) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path} cannot be read as CLIP weights: {reason[:200]}") from None
    tensors = _state_dict(content, path)
    weights = {
        key: value.float() if value.is_floating_point() else value
        for key, value in tensors.items()
        if key not in _OPENAI_KEYS and not key.startswith(_FARL_HEAD)
    }
    return WeightFile(weights, openai=len(weights) < len(tensors))


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                return _torchscript_tensors(archive)
    return torch.load(path, map_location="cpu", weights_only=True)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what was read: unwrapped, without a wrapper's `module.`, tensors only."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds no state dict: no tensors by name")
    for key, value in content.items():
        if not isinstance(key, str) or not (isinstance(value, Tensor) or key in _OPENAI_KEYS):
            raise InputError(f"{path} holds no state dict: {str(key)[:80]!r} is no tensor")
    wrapped = all(key.startswith("module.") for key in content)
    tensors = {key.removeprefix("module.") if wrapped else key: value for key, value in content.items()}
    return {
        key: value if isinstance(value, Tensor) else torch.tensor(value) for key, value in tensors.items()
    }


def _torchscript_tensors(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """The parameters and buffers of a TorchScript archive under the names that its modules give them.

    Its data is pickled as torch.save's is, but torch refuses to read it where `constants.pkl` marks it as
    TorchScript. A copy in memory without that mark and without the code is read with weights_only, in which
    every class of the archive (`__torch__...`) is the same inert one.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as target:
        for name in archive.namelist():
            if "/code/" not in name and not name.endswith("/constants.pkl"):
                target.writestr(name, archive.read(name))
    copy.seek(0)
    classes = [
        name
        for name in torch.serialization.get_unsafe_globals_in_checkpoint(copy)
        if name.startswith("__torch__.")
    ]
    copy.seek(0)
    with torch.serialization.safe_globals([(_Inert, name) for name in classes]):
        module = torch.load(copy, map_location="cpu", weights_only=True)
    return dict(_tensors_of(module, ""))


def _tensors_of(module: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(module, _Inert):
        return
    for name, value in vars(module).items():
        if isinstance(value, Tensor) and name != "attn_mask":  # the causal mask is no weight
            yield prefix + name, value
        else:
            yield from _tensors_of(value, f"{prefix}{name}.")


def fit(model: nn.Module, tensors: Mapping[str, Tensor], source: str, name: str) -> None:
    """Load `tensors`, all of them and no others, into `model`; InputError names the first misfit."""
    expected = model.state_dict()
    for key, value in expected.items():
        if key not in tensors:
            raise InputError(f"{source} does not fit {name}: it has no {key}")
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
    """`tensors` under the names that open_clip's class of `model` uses, whichever project they come from."""
    named: dict[str, Tensor] = convert_state_dict(model, dict(tensors))
    if "positional_embedding" in named and not hasattr(model, "positional_embedding"):
        named = convert_to_custom_text_state_dict(named)  # older files of models that now keep the text apart
    if "logit_scale" in named:  # some releases store the one number as a vector of one
        named["logit_scale"] = named["logit_scale"].reshape(model.state_dict()["logit_scale"].shape)
    return named


def download(name: str, tag: str, record: Mapping[str, Any]) -> Path:
    """The file of a pretrained tag: from the local cache, which needs no network, or else downloaded.

    `record` is open_clip's entry for the tag. Raises InputError in two lines where it is neither here nor to
    be had; one request finds that out, since the hub's client would go on trying for most of a minute.
    """
    repository, candidates = hub_cache.on_the_hub(record, _USUAL_NAMES)
    try:
        if path := cached(record):
            return path
        if repository:
            _reach(repository, candidates[0])
        return Path(download_pretrained(dict(record)))
    except Exception as error:  # noqa: BLE001 - the hub's client lets through the errors of whichever HTTP library
        reason = str(error).partition("\n")[0][:160] or type(error).__name__
        original = record.get("url", "").rpartition("/")[2]
        raise InputError(
            f"the weights {tag!r} of {name} are not on this machine and cannot be downloaded: {reason}\n"
            f"Bring {original or 'the file'} from a machine with a network and give it: --weights FILE "
            "(--weights random tries everything out without it)"
        ) from None


def cached(record: Mapping[str, Any]) -> Path | None:
    """The file of a pretrained tag in the hub's local cache; `record` is open_clip's entry. Asks nobody."""
    return hub_cache.cached(record, _USUAL_NAMES)


def _reach(repository: str, file_name: str) -> None:
    """One request to the hub: raises where no answer comes, be it `not found`."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    url = huggingface_hub.hf_hub_url(repository, file_name)
    with contextlib.suppress(huggingface_hub.errors.HfHubHTTPError):
        huggingface_hub.get_hf_file_metadata(url, timeout=10)
