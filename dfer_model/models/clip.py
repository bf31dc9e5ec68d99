"""CLIP's two towers (arXiv 2103.00020) from open_clip: by name, with weights from a tag, a file or a seed.

Supported is every model of open_clip whose text tower is open_clip's own, because learnable prompts (CoOp,
arXiv 2109.01134) need access to token embeddings: CLIP, MetaCLIP, EVA-02, PE-Core, MobileCLIP, CoCa (arXiv
2205.01917), SigLIP (arXiv 2303.15343) and SigLIP2. The small `demo` CLIP is part of the package.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from torch import Tensor, nn

from dfer_model.errors import InputError, did_you_mean
from dfer_model.io import replacing, write_atomically

from .clip_weights import WeightFile, download, fit, in_open_clip_names, read_weights
from .hub_tokenizer import HubTokenizer, Marks

DEMO_FOLDER = Path(__file__).parents[1] / "synthetic" / "demo_clip"
_TOKEN_TABLE = "token_embedding"  # noqa: S105 - the name of a tensor


@dataclass(frozen=True, eq=False)
class Clip:
    """A CLIP in float32 and eval mode, with its input format."""

    name: str  # open_clip's name, or `demo`
    weights: str  # the source of the weights, as given to load_clip
    model: nn.Module = field(repr=False)  # open_clip's CLIP, CustomTextCLIP or CoCa
    # open_clip's model configuration: embed_dim, vision_cfg, text_cfg, quick_gelu
    config: Mapping[str, Any] = field(repr=False)
    tokenizer: Any = field(repr=False)  # open_clip's SimpleTokenizer, or a HubTokenizer
    image_size: int  # pixels, both sides
    mean: tuple[float, float, float]  # of pixels in 0..1, per channel
    std: tuple[float, float, float]
    context_length: int  # positions of the text tower, start and end of text included, without a class token
    embed_dim: int  # output width of both towers
    text_width: int  # width of token embeddings and contexts


def load_clip(name: str = "ViT-B-32-quickgelu", weights: str | None = None, *, seed: int = 0) -> Clip:
    """The CLIP `name`, in float32 on the CPU; torch's random state does not change.

    `weights` is a pretrained tag of open_clip, a file in OpenAI's or open_clip's format, `random` (drawn from
    `seed`), or, for `demo` only, `shipped`. None means `openai`, for `demo` `shipped`.

    Raises InputError for an unknown name or tag, a text tower that cannot take prompts, a file that does not
    fit, and weights that are not on this machine and cannot be downloaded.
    """
    if name == "demo":
        return _load_demo(weights or "shipped", seed)
    name = name.replace("/", "-")  # OpenAI writes ViT-B/32
    weights = weights or "openai"
    config = _config(name)
    if weights == "random":
        return clip_from_config(name, weights, config, seed=seed)
    tag = get_pretrained_cfg(name, weights)
    if not tag and not Path(weights).is_file():
        raise _no_weights(name, weights)
    if tag and bool(tag.get("quick_gelu")) != bool(config.get("quick_gelu")):
        raise _wrong_gelu(name, f"the weights {weights!r}", bool(tag.get("quick_gelu")))
    path = download(name, weights, tag) if tag else Path(weights)
    pixels = tag or _common_pixels(name)
    clip = clip_from_config(name, weights, config, mean=pixels.get("mean"), std=pixels.get("std"))
    file = read_weights(path)
    if file.quick_gelu is not None and file.quick_gelu != bool(config.get("quick_gelu")):
        raise _wrong_gelu(name, str(path), file.quick_gelu)
    fit(clip.model, in_open_clip_names(clip.model, file.tensors), str(path), name)
    return clip


def _common_pixels(name: str) -> Mapping[str, Any]:
    """The mean and std that all pretrained tags of `name` share, for a file; empty if they differ."""
    records = [get_pretrained_cfg(name, tag) for tag in list_pretrained_tags_by_model(name)]
    pixels = {(tuple(record.get("mean") or ()), tuple(record.get("std") or ())) for record in records}
    if len(pixels) != 1:
        return {}
    ((mean, std),) = pixels
    return {"mean": mean, "std": std}


def clip_from_config(
    name: str,
    weights: str,
    config: Mapping[str, Any],
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    seed: int = 0,
) -> Clip:
    """A CLIP with random weights drawn from `seed`, built from open_clip's model configuration.

    `mean` and `std` default to OpenAI's. Raises InputError for a text tower that cannot take prompts.
    """
    _refuse_other_text_towers(name, config)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = _built(config).float().eval()
    size = model.visual.image_size
    context_length = int(text_part(model).context_length)
    return Clip(
        name=name,
        weights=weights,
        model=model,
        config=config,
        tokenizer=_tokenizer(name, config["text_cfg"], context_length),
        image_size=int(size[0] if isinstance(size, (tuple, list)) else size),
        mean=_three(mean or OPENAI_DATASET_MEAN),
        std=_three(std or OPENAI_DATASET_STD),
        context_length=context_length,
        embed_dim=int(config["embed_dim"]),
        text_width=int(text_part(model).token_embedding.weight.shape[1]),
    )


def _tokenizer(name: str, text: Mapping[str, Any], context_length: int) -> SimpleTokenizer | HubTokenizer:
    if text.get("hf_tokenizer_name"):
        return HubTokenizer(name, text, context_length)
    return _clip_tokenizer(context_length)


@cache
def _clip_tokenizer(context_length: int) -> SimpleTokenizer:
    """CLIP's tokenizer, shared by all models of this process because reading its vocabulary is slow."""
    return SimpleTokenizer(context_length=context_length)


def image_tower_size(name: str) -> int:
    """The number of parameters of a CLIP's image tower, without allocating them.

    Raises InputError for an unknown name.
    """
    if name == "demo":
        return sum(
            value.numel() for value in load_clip(name, "random").model.get_submodule("visual").parameters()
        )
    return _tower_size(json.dumps(_config(name.replace("/", "-"))))


@lru_cache(maxsize=8)
def _tower_size(config: str) -> int:
    with torch.device("meta"):
        tower = _built(json.loads(config)).get_submodule("visual")
    return sum(value.numel() for value in tower.parameters())


def _built(config: Mapping[str, Any]) -> Any:
    """open_clip's model for a configuration, with weights drawn from torch's current random state."""
    arguments: dict[str, Any] = deepcopy(dict(config))
    custom_text = arguments.pop("custom_text", False)
    if "timm_model_name" in arguments["vision_cfg"]:
        arguments["vision_cfg"]["timm_model_pretrained"] = False  # or timm would download them
    if "multimodal_cfg" in arguments:
        return open_clip.CoCa(**arguments)
    return (open_clip.CustomTextCLIP if custom_text else open_clip.CLIP)(**arguments)


def text_part(model: nn.Module) -> Any:
    """The module with the text tower: open_clip stores it in the model itself or in `.text` (custom_text)."""
    return getattr(model, "text", model)


def image_tower(clip: Clip) -> nn.Module:
    """A copy of the image tower: images (batch, 3, H, W) -> features (batch, embed width)."""
    tower: nn.Module = deepcopy(clip.model.get_submodule("visual"))
    if getattr(tower, "output_tokens", False):  # CoCa's returns the features of patches too
        setattr(tower, "output_tokens", False)  # noqa: B010 - a plain attribute that torch's types do not know
    return tower


def reads_padding(clip: Clip) -> bool:
    """Whether the text tower's output depends on the padding after a text or is at a class token after it."""
    part = text_part(clip.model)
    pooled_last = clip.config["text_cfg"].get("pool_type") == "last"
    return pooled_last or part.attn_mask is None or getattr(part, "cls_emb", None) is not None


def marks(clip: Clip) -> Marks:
    """The token ids before and after a text, and those of padding."""
    tokenizer = clip.tokenizer
    if isinstance(tokenizer, HubTokenizer):
        return tokenizer.marks
    return Marks((tokenizer.sot_token_id,), (tokenizer.eot_token_id,), 0)


def clip_identity(clip: Clip) -> str:
    """sha256 over names, types, shapes and values of all weights: equal for equal weights of any file."""
    digest = hashlib.sha256()
    for key, tensor in sorted(clip.model.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def token_ids(clip: Clip, text: str, *, owner: str, contexts: int = 0) -> list[int]:
    """The tokens of `text` without start and end of text; never truncated.

    Raises InputError with `owner` (the class), the number of tokens and the limit if start, `contexts`, text
    and end do not fit the text tower.
    """
    ids: list[int] = clip.tokenizer.encode(text)
    start, end, _ = marks(clip)
    room = clip.context_length - len(start) - len(end) - contexts
    if len(ids) > room:
        around = ", ".join(word for word, own in (("start", start), ("end", end)) if own)
        raise InputError(
            f"the description of {owner} has {len(ids)} tokens; with {around} and {contexts} contexts "
            f"{clip.name} has room for {max(room, 0)} of {clip.context_length}\n"
            "Use fewer or shorter descriptors, or fewer contexts"
        )
    return ids


def save_demo_clip(clip: Clip, folder: Path, used_tokens: Sequence[int]) -> None:
    """Write `clip` to `folder` as config.json and model.safetensors, with only the token rows in use.

    `used_tokens` are the token ids of all texts it was trained on; start and end of text are always stored.
    The other rows are zero after loading. Raises OSError if the folder cannot be written.
    """
    used = {*used_tokens, clip.tokenizer.sot_token_id, clip.tokenizer.eot_token_id}
    tensors = {key: value.contiguous() for key, value in clip.model.state_dict().items()}
    table = tensors.pop(f"{_TOKEN_TABLE}.weight")
    rows = torch.tensor(sorted(used), dtype=torch.int64)
    tensors[f"{_TOKEN_TABLE}.rows"] = rows
    tensors[f"{_TOKEN_TABLE}.values"] = table[rows.to(table.device)].contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "model.safetensors") as temporary:
        save_file(tensors, temporary)
    config = {"model_cfg": dict(clip.config), "mean": list(clip.mean), "std": list(clip.std)}
    write_atomically(folder / "config.json", json.dumps(config, indent=2) + "\n")


def load_demo_clip(folder: Path, weights: str = "shipped", *, seed: int = 0) -> Clip:
    """The CLIP that `save_demo_clip` wrote to `folder`; with `weights` `random`, only its architecture.

    Raises InputError if a file is missing or does not fit its configuration.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model_cfg, mean, std = config["model_cfg"], config["mean"], config["std"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"no demo CLIP in {folder}: config.json: {error}") from None
    clip = clip_from_config("demo", weights, model_cfg, mean=mean, std=std, seed=seed)
    if weights == "shipped":
        path = folder / "model.safetensors"
        fit(clip.model, _with_whole_table(clip.model, read_weights(path), path), str(path), "its config.json")
    return clip


def _load_demo(weights: str, seed: int) -> Clip:
    if weights not in ("shipped", "random"):
        raise InputError(
            f"the demo CLIP has the weights shipped or random, not {weights!r}; use --weights shipped"
        )
    return load_demo_clip(DEMO_FOLDER, weights, seed=seed)


def _with_whole_table(model: nn.Module, file: WeightFile, path: Path) -> dict[str, Tensor]:
    tensors = dict(file.tensors)
    rows, values = (tensors.pop(f"{_TOKEN_TABLE}.{part}", None) for part in ("rows", "values"))
    table = torch.zeros_like(text_part(model).token_embedding.weight)
    if rows is None or values is None or values.shape != (len(rows), table.shape[1]):
        raise InputError(f"{path} has no {_TOKEN_TABLE}.rows and .values that fit its config.json")
    if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(table):
        raise InputError(f"{path}: {_TOKEN_TABLE}.rows lie outside the vocabulary of {len(table)}")
    table[rows] = values
    return {**tensors, f"{_TOKEN_TABLE}.weight": table}


def _config(name: str) -> dict[str, Any]:
    """open_clip's configuration of a built-in model."""
    config: dict[str, Any] | None = None
    known = open_clip.list_models()
    if name in known:
        config = open_clip.get_model_config(name)
    if config is None:
        hint = did_you_mean(name, ["demo", *known], most=3)
        raise InputError(
            f"no CLIP {name!r}{hint}\nThere are demo and open_clip's {len(known)}, such as ViT-B-32-quickgelu"
        )
    return config


def _no_weights(name: str, weights: str) -> InputError:
    if Path(weights).suffix or "/" in weights:
        return InputError(f"no weight file {weights}")
    tags = ["random", *list_pretrained_tags_by_model(name)]
    hint = did_you_mean(weights, tags)
    return InputError(f"no weights {weights!r} of {name}{hint}\nThere are: {', '.join(tags)}, or name a file")


def _wrong_gelu(name: str, what: str, quick: bool) -> InputError:
    """A wrong activation silently gives wrong features, so it is an error and not a warning."""
    right, base = ("QuickGELU", "GELU")[:: 1 if quick else -1], name.removesuffix("-quickgelu")
    better = f"{base}-quickgelu" if quick else base
    known = better in open_clip.list_models()
    advice = f"Use --set clip={better}" if known else "Use a CLIP with that activation"
    return InputError(f"{what} were trained with {right[0]}, and {name} computes {right[1]}\n{advice}")


def _refuse_other_text_towers(name: str, config: Mapping[str, Any]) -> None:
    """Learnable prompts need a text tower that takes token embeddings and gives one vector."""
    text: Mapping[str, Any] = config["text_cfg"]
    pool = text.get("pool_type", "argmax")
    reasons = {
        "takes token ids only (a HuggingFace model), so contexts cannot be inserted": text.get(
            "hf_model_name"
        ),
        "gives a vector per token": pool == "none",
        "has its output at the largest token id, which marks the end in CLIP's own vocabulary only": (
            pool == "argmax" and text.get("hf_tokenizer_name")
        ),
        f"pools its output by {pool!r}": pool not in ("argmax", "eos", "last", "none"),
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(
                f"{name} cannot be used: its text tower {reason}\n"
                "Use one with open_clip's own text tower, such as ViT-B-32-quickgelu or ViT-B-16-SigLIP2"
            )


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
