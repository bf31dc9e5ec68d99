"""Changes to an image tower before training: LoRA and gradient checkpointing.

LoRA (Hu et al., arXiv 2106.09685) freezes the weight W of a linear layer and learns W + B A. A (rank, in) is
drawn at random and B (out, rank) starts at 0, so the model is unchanged at first. peft's implementation is
applied to every linear layer of a vision transformer's blocks: attention (q, k, v, output) and MLP.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from dfer_model.config import ModelSettings
from dfer_model.errors import InputError

from .dfer_clip import VideoClassifier

ADAPTED = ["q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj"]


def adapt(model: VideoClassifier, settings: ModelSettings) -> None:
    """Apply `lora_rank` and `gradient_checkpointing` to `model`'s image tower, in place.

    A is drawn from torch's current random state. Raises InputError for a tower that is not a vision
    transformer of open_clip's standard blocks, for LoRA in a frozen tower, and if peft is not installed.
    """
    if settings.gradient_checkpointing:
        _vision_transformer(model, settings, "gradient_checkpointing=true").set_grad_checkpointing(True)
    if settings.lora_rank:
        lora = f"lora_rank={settings.lora_rank}"
        tower = _vision_transformer(model, settings, lora)
        if not model.trains_image:
            raise InputError(
                f"setting {lora} contradicts lr_image=0, which freezes the image tower\n"
                "Give LoRA a rate, such as --set lr_image=1e-4, or leave lora_rank=0"
            )
        add_lora(tower, settings.lora_rank)


def _vision_transformer(model: VideoClassifier, settings: ModelSettings, option: str) -> VisionTransformer:
    tower: Any = model.image_tower
    if isinstance(tower, VisionTransformer) and all(
        isinstance(block, ResidualAttentionBlock) for block in tower.transformer.resblocks
    ):
        return tower
    raise InputError(
        f"setting {option} needs open_clip's vision transformer, but the image tower of {settings.clip} is "
        f"not one\nSet clip=ViT-B-32-quickgelu or another ViT, or leave {option.split('=')[0]} off"
    )


def add_lora(tower: VisionTransformer, rank: int) -> None:
    """Freeze `tower` and add trainable A and B to every linear layer of its blocks (alpha = rank).

    Raises InputError if peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError(
            f"setting lora_rank={rank} needs peft, which is not installed\npip install 'dfer-prompts[lora]'"
        ) from error
    tower.requires_grad_(False)
    for block in tower.transformer.resblocks:
        block.attn = SplitAttention(block.attn)
    config = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=ADAPTED)
    inject_adapter_in_model(config, tower.transformer)


class SplitAttention(nn.Module):
    """The self-attention of an nn.MultiheadAttention as four linear layers, to which LoRA can be added.

    peft's own LoRA for nn.MultiheadAttention adds its update to the frozen weights and subtracts it again in
    every call, so rounding errors would accumulate in them.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = attention.num_heads
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        self.q_proj, self.k_proj, self.v_proj = map(_linear, weights, biases)
        self.out_proj = _linear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        need_weights: bool = False,  # noqa: ARG002 - as nn.MultiheadAttention is called
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """(batch, length, width) -> the same shape, and no weights, as nn.MultiheadAttention's."""
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (batch, heads, length, width / heads)
            for layer, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A frozen linear layer with these values."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")  # draws no random numbers
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer
