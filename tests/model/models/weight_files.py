"""Writers of weight files in every format that CLIPs are distributed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import convert_weights_to_fp16
from safetensors.torch import save_file
from torch import Tensor, nn


def outputs(model: Any) -> tuple[Tensor, Tensor]:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.encode_image(images), model.encode_text(open_clip.tokenize(["tears.", "raised cheeks."]))


def openai_numbers() -> dict[str, Tensor]:
    return {
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }


def openai_archive(model: nn.Module, path: Path) -> None:
    """A traced TorchScript archive with partly float16 weights, as OpenAI released them."""
    convert_weights_to_fp16(model)
    for name, number in openai_numbers().items():
        model.__dict__.pop(name, None)
        model.register_buffer(name, number)
    images, text = torch.ones(1, 3, 32, 32).half(), torch.zeros(1, 77, dtype=torch.int32)
    inputs = {"encode_image": (images,), "encode_text": (text,)}
    torch.jit.trace_module(model, inputs, check_trace=False).save(str(path))


def openai_state_dict(model: nn.Module, path: Path) -> None:
    convert_weights_to_fp16(model)
    torch.save({**model.state_dict(), **openai_numbers()}, path)


def wrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As a model inside DistributedDataParallel names its tensors."""
    return {f"module.{name}": tensor for name, tensor in state.items()}


def farl_checkpoint(model: nn.Module, path: Path) -> None:
    """The names in FaRL's released checkpoints: OpenAI's, and those of a head for masked patches."""
    head = {
        "mask_token": torch.ones(64),
        "lm_transformer.resblocks.0.attn.in_proj_weight": torch.ones(192, 64),
        "ln_lm.weight": torch.ones(64),
        "lm_head.weight": torch.ones(8192, 64),
    }
    state = {**model.state_dict(), **{f"visual.{name}": tensor for name, tensor in head.items()}}
    torch.save({"state_dict": state}, path)


def open_clip_checkpoint(model: nn.Module, path: Path) -> None:
    state = wrapped(model.state_dict())
    torch.save({"epoch": 3, "name": "x", "state_dict": state, "optimizer": {"step": 1}}, path)


def in_transformers_names(model: nn.Module) -> dict[str, Tensor]:
    """The weights as transformers' CLIPModel names them, written down from its documentation."""
    ours = model.state_dict()
    names = {
        "logit_scale": "logit_scale",
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
    }
    for kind in ("weight", "bias"):
        names[f"vision_model.pre_layrnorm.{kind}"] = f"visual.ln_pre.{kind}"
        names[f"vision_model.post_layernorm.{kind}"] = f"visual.ln_post.{kind}"
        names[f"text_model.final_layer_norm.{kind}"] = f"ln_final.{kind}"
    theirs = {name: ours[own] for name, own in names.items()}
    theirs["visual_projection.weight"] = ours["visual.proj"].T.contiguous()
    theirs["text_projection.weight"] = ours["text_projection"].T.contiguous()
    theirs["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    parts = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
             "self_attn.out_proj": "attn.out_proj"}  # fmt: skip
    for tower, own in (("vision", "visual.transformer"), ("text", "transformer")):
        for layer in range(2):
            block, layers = f"{own}.resblocks.{layer}", f"{tower}_model.encoder.layers.{layer}"
            for kind in ("weight", "bias"):
                for part, name in parts.items():
                    theirs[f"{layers}.{part}.{kind}"] = ours[f"{block}.{name}.{kind}"]
                chunks = ours[f"{block}.attn.in_proj_{kind}"].chunk(3)
                for part, chunk in zip("qkv", chunks, strict=True):
                    theirs[f"{layers}.self_attn.{part}_proj.{kind}"] = chunk.clone()
    return theirs


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


class Settings:
    """An object of a training script, which stands beside the weights."""

    def __init__(self) -> None:
        self.lr = 1e-5


def lightning(model: nn.Module, path: Path) -> None:
    state = prefixed("model.", model.state_dict())
    torch.save({"state_dict": state, "hyper_parameters": Settings(), "epoch": 3}, path)


FORMATS: dict[str, Callable[[Any, Path], None]] = {
    "archive.pt": openai_archive,
    "state.pt": openai_state_dict,
    "plain.bin": lambda model, path: torch.save(model.state_dict(), path),
    "epoch_3.pt": open_clip_checkpoint,
    "model.safetensors": lambda model, path: save_file(model.state_dict(), path),
    "wrapped.bin": lambda model, path: torch.save(wrapped(model.state_dict()), path),
    "wrapped.safetensors": lambda model, path: save_file(wrapped(model.state_dict()), path),
    "half.safetensors": lambda model, path: save_file(model.half().state_dict(), path),
    "wrapped_openai.pt": lambda model, path: torch.save(
        wrapped({**model.state_dict(), **openai_numbers()}), path
    ),
    "old.pt": lambda model, path: torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False),
    "FaRL-ep16.pth": farl_checkpoint,
    "lightning.ckpt": lightning,
    "compiled.pt": lambda model, path: torch.save(
        {"model": prefixed("_orig_mod.module.", model.state_dict()), "args": Settings()}, path
    ),
    "nested.pt": lambda model, path: torch.save({"model": {"state_dict": model.state_dict()}}, path),
    "transformers.safetensors": lambda model, path: save_file(in_transformers_names(model), path),
    "pytorch_model.bin": lambda model, path: torch.save(in_transformers_names(model), path),
    "safetensors.bin": lambda model, path: save_file(model.state_dict(), path),
}
