"""DFER-CLIP as its authors released it, written down once more from the paper in plain torch.

A state dict under the released names with random values, what the model of such a state dict computes, and a
file as its training script saves it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from . import tiny

State = dict[str, Tensor]


def tokens(texts: Sequence[str], contexts: int) -> Tensor:
    """(classes, 77): SOS, an `x` in each context's place, the text, EOS, zeros."""
    return SimpleTokenizer(context_length=77)([" ".join(["X"] * contexts) + " " + text for text in texts])


def random_state(
    texts: Sequence[str],
    *,
    contexts: int = 4,
    unified: bool = False,
    depth: int = 1,
    frames: int = 4,
    config: dict[str, Any] = tiny.CONFIG,
) -> State:
    """A checkpoint's tensors for one text per class; depth 0 has no temporal model."""
    torch.manual_seed(5)
    vision, text, embed = config["vision_cfg"], config["text_cfg"], config["embed_dim"]
    width, words, patch = vision["width"], text["width"], vision["patch_size"]
    patches = (vision["image_size"] // patch) ** 2
    image = {
        "class_embedding": torch.randn(width),
        "positional_embedding": torch.randn(patches + 1, width),
        "proj": torch.randn(width, embed),
        "conv1.weight": torch.randn(width, 3, patch, patch) / patch,
        **_norm("ln_pre", width),
        **_norm("ln_post", width),
        **_blocks(width, vision["layers"]),
    }
    reading = {
        "positional_embedding": torch.randn(77, words) / 10,
        "text_projection": torch.randn(words, embed),
        **_norm("ln_final", words),
        **_blocks(words, text["layers"]),
    }
    table = torch.randn(text["vocab_size"], words) / 10
    embedded = table[tokens(texts, contexts)]
    learner = {
        "ctx": torch.randn(*([] if unified else [len(texts)]), contexts, words) / 5,
        "token_prefix": embedded[:, :1],
        "token_suffix": embedded[:, 1 + contexts :],
    }
    parts = {
        "prompt_learner": learner,
        "text_encoder": reading,
        "image_encoder": image,
        "temporal_net": _temporal(embed, frames, depth) if depth else {},
        "clip_model_": {
            "logit_scale": torch.tensor(4.6),
            "token_embedding.weight": table,
            **{f"visual.{key}": value for key, value in image.items()},
            **reading,
        },
    }
    return {f"{part}.{key}": value for part, held in parts.items() for key, value in held.items()}


def _norm(name: str, width: int) -> State:
    return {f"{name}.weight": 1 + torch.randn(width) / 10, f"{name}.bias": torch.randn(width) / 10}


def _linear(name: str, wide: int, width: int) -> State:
    return {f"{name}.weight": torch.randn(wide, width) / width**0.5, f"{name}.bias": torch.randn(wide) / 10}


def _blocks(width: int, layers: int) -> State:
    state: State = {}
    for number in range(layers):
        block = {
            "attn.in_proj_weight": torch.randn(3 * width, width) / width**0.5,
            "attn.in_proj_bias": torch.randn(3 * width) / 10,
            **_linear("attn.out_proj", width, width),
            **_norm("ln_1", width),
            **_linear("mlp.c_fc", 4 * width, width),
            **_linear("mlp.c_proj", width, 4 * width),
            **_norm("ln_2", width),
        }
        state |= {f"transformer.resblocks.{number}.{key}": value for key, value in block.items()}
    return state


def _temporal(width: int, frames: int, depth: int) -> State:
    state = {"cls_token": torch.randn(1, 1, width), "pos_embedding": torch.randn(1, frames + 1, width)}
    for number in range(depth):
        layer = {
            **_norm("0.fn.norm", width),
            "0.fn.fn.to_qkv.weight": torch.randn(3 * 512, width) / width**0.5,
            **_linear("0.fn.fn.to_out.0", width, 512),
            **_norm("1.fn.norm", width),
            **_linear("1.fn.fn.net.0", 1024, width),
            **_linear("1.fn.fn.net.3", width, 1024),
        }
        state |= {f"temporal_transformer.layers.{number}.{key}": value for key, value in layer.items()}
    return state


def logits(
    state: State,
    pixels: Tensor,
    texts: Sequence[str],
    position: str = "end",
    config: dict[str, Any] = tiny.CONFIG,
) -> Tensor:
    """Logits (clips, classes) of the released model for pixels in 0..1, (clips, T, 3, H, W)."""
    clips, frames = pixels.shape[:2]
    heads = config["vision_cfg"]["width"] // config["vision_cfg"].get("head_width", 64)
    seen = _image(state, pixels.flatten(0, 1), heads).view(clips, frames, -1)
    video = _over_time(state, seen) if "temporal_net.cls_token" in state else seen.mean(dim=1)
    words = _text(state, texts, position, config["text_cfg"]["heads"])
    video, words = (each / each.norm(dim=-1, keepdim=True) for each in (video, words))
    return video @ words.T / 0.01


def _layer_norm(state: State, key: str, x: Tensor) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    scaled = centred / torch.sqrt(centred.pow(2).mean(dim=-1, keepdim=True) + 1e-5)
    return scaled * state[f"{key}.weight"] + state[f"{key}.bias"]


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | float = 0.0) -> Tensor:
    q, k, v = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def _tower(state: State, part: str, x: Tensor, heads: int, mask: Tensor | float = 0.0) -> Tensor:
    number = 0
    while f"{part}.transformer.resblocks.{number}.ln_1.weight" in state:
        key = f"{part}.transformer.resblocks.{number}"
        normed = _layer_norm(state, f"{key}.ln_1", x)
        qkv = normed @ state[f"{key}.attn.in_proj_weight"].T + state[f"{key}.attn.in_proj_bias"]
        x = x + _apply(state, f"{key}.attn.out_proj", _attention(*qkv.chunk(3, -1), heads, mask))
        hidden = _apply(state, f"{key}.mlp.c_fc", _layer_norm(state, f"{key}.ln_2", x))
        x = x + _apply(state, f"{key}.mlp.c_proj", hidden * torch.sigmoid(1.702 * hidden))  # QuickGELU
        number += 1
    return x


def _apply(state: State, key: str, x: Tensor) -> Tensor:
    return x @ state[f"{key}.weight"].T + state[f"{key}.bias"]


def _image(state: State, pixels: Tensor, heads: int) -> Tensor:
    kernel = state["image_encoder.conv1.weight"]
    x = F.conv2d(pixels, kernel, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)
    first = state["image_encoder.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([first, x], dim=1) + state["image_encoder.positional_embedding"]
    x = _tower(state, "image_encoder", _layer_norm(state, "image_encoder.ln_pre", x), heads)
    return _layer_norm(state, "image_encoder.ln_post", x[:, 0]) @ state["image_encoder.proj"]


def _over_time(state: State, x: Tensor) -> Tensor:
    z = torch.cat([state["temporal_net.cls_token"].expand(len(x), 1, -1), x], dim=1)
    z = z + state["temporal_net.pos_embedding"]
    number = 0
    while f"temporal_net.temporal_transformer.layers.{number}.0.fn.norm.weight" in state:
        key = f"temporal_net.temporal_transformer.layers.{number}"
        qkv = _layer_norm(state, f"{key}.0.fn.norm", z) @ state[f"{key}.0.fn.fn.to_qkv.weight"].T
        z = z + _apply(state, f"{key}.0.fn.fn.to_out.0", _attention(*qkv.chunk(3, -1), 8))
        h = _apply(state, f"{key}.1.fn.fn.net.0", _layer_norm(state, f"{key}.1.fn.norm", z))
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        z = z + _apply(state, f"{key}.1.fn.fn.net.3", h)
        number += 1
    return z[:, 0]


def _text(state: State, texts: Sequence[str], position: str, heads: int) -> Tensor:
    learner = {key: state[f"prompt_learner.{key}"] for key in ("ctx", "token_prefix", "token_suffix")}
    contexts, ends = learner["ctx"], []
    contexts = contexts if contexts.ndim == 3 else contexts.expand(len(texts), -1, -1)
    count = contexts.shape[1]
    before = {"end": count, "middle": count // 2, "front": 0}[position]
    prompts = []
    for row, ids in enumerate(tokens(texts, count)):
        end = int(ids.argmax())
        long = end - 1 - count
        first, text = learner["token_prefix"][row], learner["token_suffix"][row]
        prompts.append(
            torch.cat([first, contexts[row, :before], text[:long], contexts[row, before:], text[long:]])
        )
        ends.append(end)
    x = torch.stack(prompts) + state["text_encoder.positional_embedding"]
    mask = torch.full((77, 77), -math.inf).triu(1)
    x = _layer_norm(state, "text_encoder.ln_final", _tower(state, "text_encoder", x, heads, mask))
    return x[torch.arange(len(x)), torch.tensor(ends)] @ state["text_encoder.text_projection"]


def save(path: Path, state: State, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Path:
    """The file as the training script writes it, an object of the script's own class among the rest."""
    recorder_class = type("RecorderMeter", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "RecorderMeter", recorder_class, raising=False)
    recorder = recorder_class()
    recorder.epoch_losses = np.zeros((50, 2), dtype=np.float32)
    recorder.total_epoch, recorder.best = 50, np.float64(41.27)
    content = {
        "epoch": 37,
        "state_dict": {f"module.{key}": value for key, value in state.items()},
        "best_acc": torch.tensor(41.27),
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 1e-5}]},
        "recorder": recorder,
    }
    torch.save(content, path, **options)
    return path
