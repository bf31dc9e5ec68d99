"""CLIP's transformers in bfloat16 (open_clip's blocks as under torch.autocast, but faster), or in float32.

Autocast rounds all weights, trained or frozen, in every call, may take a slow path for frozen weights on a
CPU, and computes all tokens of the last block although only one is used. Here trained weights stay float32
and are rounded once per change. Norms, sums and activations are rounded as under autocast. Attention runs in
float32 on a CPU, where torch's bfloat16 backward pass is several times slower. The last block computes only
the token that is used. Other kinds of towers run under autocast.

With `fast_fp32` the same blocks run in float32 instead of open_clip's own; results are equal up to rounding.
With `compile` they are compiled by torch, in either format.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from open_clip.transformer import (
    LayerNorm,
    LayerNormFp32,
    QuickGELU,
    ResidualAttentionBlock,
    VisionTransformer,
)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .compiled import OFF, run_compiled

# QuickGELU(x) = x * sigmoid(1.702 x) = silu(1.702 x) / 1.702, and torch has silu in one pass each way.
_QUICK = 1.702


def block_format(device: torch.device, fast_fp32: bool) -> torch.dtype | None:
    """The number format in which towers run by `block`; None if they run by open_clip's code.

    bfloat16 under the setting `precision=bf16`, float32 with `fast_fp32`; None while the model is exported,
    and for the meta device.
    """
    if torch.compiler.is_exporting() or device.type == "meta":
        return None
    if torch.is_autocast_enabled(device.type):
        return torch.bfloat16 if torch.get_autocast_dtype(device.type) is torch.bfloat16 else None
    return torch.float32 if fast_fp32 else None


class BlockWeights(NamedTuple):
    """The weights of a block for `block`; the factor of QuickGELU is folded into the layers around it."""

    norm_1: tuple[Tensor, Tensor]
    qkv: tuple[Tensor, Tensor]
    out: tuple[Tensor, Tensor]
    norm_2: tuple[Tensor, Tensor]
    up: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]


class Form(NamedTuple):
    """The configuration that all blocks of a transformer share."""

    heads: int
    epsilon: float
    quick: bool  # QuickGELU instead of GELU


def block(
    x: Tensor, weights: BlockWeights, form: Form, mask: Tensor | None, read: Tensor | int | None
) -> Tensor:
    """A pre-norm block: (batch, tokens, width) -> the same shape, or with `read` (batch, 1, width).

    `read` is the position of the one token per row to compute, (batch,) or the same for all rows; `mask`
    (tokens, tokens) is added to the attention scores.
    """
    width = x.shape[-1]
    h = F.layer_norm(x, (width,), *weights.norm_1, form.epsilon)
    if read is None:
        q, k, v = _heads(F.linear(h, *weights.qkv), 3, form)  # (batch, heads, tokens, width / heads) each
    else:
        matrix, bias = weights.qkv
        (q,) = _heads(F.linear(_token(h, read), matrix[:width], bias[:width])[:, None], 1, form)
        k, v = _heads(F.linear(h, matrix[width:], bias[width:]), 2, form)
        x = _token(x, read)[:, None]
        mask = None if mask is None else mask[read].view(-1, 1, 1, mask.shape[-1])  # of each row, or of all
    attended = _attention(q, k, v, mask).transpose(1, 2).flatten(2)
    x = x + F.linear(attended, *weights.out)
    h = F.linear(F.layer_norm(x, (width,), *weights.norm_2, form.epsilon), *weights.up)
    if not form.quick:
        return x + F.linear(F.gelu(h), *weights.down)
    return torch.add(x, F.linear(F.silu(h), *weights.down), alpha=1 / _QUICK)


def _token(x: Tensor, read: Tensor | int) -> Tensor:
    """(batch, tokens, width) -> (batch, width); a slice if the position is the same for all rows."""
    return x[:, read] if isinstance(read, int) else x[torch.arange(x.shape[0], device=x.device), read]


def _heads(joined: Tensor, parts: int, form: Form) -> tuple[Tensor, ...]:
    """(batch, tokens, parts * width) -> `parts` views (batch, heads, tokens, width / heads).

    The backward pass of `unbind` on this dimension writes all gradients directly in the layout of `joined`.
    """
    batch, tokens, _ = joined.shape
    parted = joined.view(batch, tokens, parts, form.heads, -1).unbind(2)
    return tuple(part.transpose(1, 2) for part in parted)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    if q.device.type == "cpu":
        mask = None if mask is None else mask.float()
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask).to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Blocks:
    """The blocks of an open_clip transformer. Not a module: the transformer still owns the weights.

    Copies of frozen weights are cached until the weights change. `fast_fp32` as in `block_format`; `backend`
    is the setting `compile`, for which blocks run in float32 too.
    """

    def __init__(self, transformer: nn.Module, *, fast_fp32: bool = False, backend: str = OFF) -> None:
        self.transformer: Any = transformer
        self.fast_fp32, self.backend = fast_fp32 or backend != OFF, backend
        self._rounded: list[BlockWeights] = []
        self._rounded_from: list[Any] = []

    def fit(self) -> bool:
        """Whether all blocks are open_clip's standard ones, without additions."""
        return all(map(_usual, getattr(self.transformer, "resblocks", [None])))

    def format(self, device: torch.device) -> torch.dtype | None:
        """As `block_format`; None also for blocks that do not fit."""
        dtype = block_format(device, self.fast_fp32)
        return dtype if dtype is not None and self.fit() else None

    def __call__(self, x: Tensor, read: Tensor | int, mask: Tensor | None = None) -> Tensor:
        """(batch, tokens, width) -> (batch, width) in the same format, the token at `read` (`block`)."""
        first = self.transformer.resblocks[0]
        form = Form(first.attn.num_heads, first.ln_1.eps, isinstance(first.mlp.gelu, QuickGELU))
        *others, last = self.weights(x.dtype)
        for weights in others:
            x = self._one(x, weights, form, mask, None)
        return self._one(x, last, form, mask, read)[:, 0]

    def _one(self, *given: Any) -> Tensor:
        if self.transformer.grad_checkpointing and torch.is_grad_enabled():
            again: Tensor = checkpoint(
                run_compiled, block, self.backend, *given, use_reentrant=False, preserve_rng_state=False
            )
            return again
        return run_compiled(block, self.backend, *given)

    def weights(self, dtype: torch.dtype = torch.bfloat16) -> list[BlockWeights]:
        """The current weights of every block, with a graph to the float32 weights if these are trained."""
        parameters = list(self.transformer.parameters())
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
            return [block_weights(each, dtype) for each in self.transformer.resblocks]
        # An in-place change increments the version; a move to another device changes the address.
        now = [dtype, *((each.device, each.data_ptr(), each._version) for each in parameters)]
        if now != self._rounded_from:
            # Not inference tensors: the copies of a text tower are used in later graphs too.
            with torch.inference_mode(False), torch.no_grad():
                self._rounded = [block_weights(each, dtype) for each in self.transformer.resblocks]
            self._rounded_from = now
        return self._rounded


def _usual(of_block: Any) -> bool:
    """Whether `block` computes the same as this open_clip block."""
    if type(of_block) is not ResidualAttentionBlock:
        return False
    attention, (up, activation, down) = of_block.attn, of_block.mlp
    return (
        type(attention) is nn.MultiheadAttention
        and attention.in_proj_bias is not None
        and type(up) is type(down) is nn.Linear
        and (isinstance(activation, QuickGELU) or type(activation) is nn.GELU)
        and type(of_block.ln_1) in (LayerNorm, LayerNormFp32)
        and isinstance(of_block.ls_1, nn.Identity)
    )


def block_weights(of_block: Any, dtype: torch.dtype = torch.bfloat16) -> BlockWeights:
    """The weights of an open_clip block in the form that `block` takes."""
    attention, mlp = of_block.attn, of_block.mlp
    weights = [
        *(of_block.ln_1.weight, of_block.ln_1.bias),
        *(attention.in_proj_weight, attention.in_proj_bias),
        *(attention.out_proj.weight, attention.out_proj.bias),
        *(of_block.ln_2.weight, of_block.ln_2.bias),
        *(mlp.c_fc.weight, mlp.c_fc.bias),
        *(mlp.c_proj.weight, mlp.c_proj.bias),
    ]
    if isinstance(mlp.gelu, QuickGELU):
        vectors = torch._foreach_mul([weights[place] for place in _FOLDED], _QUICK)
        for place, vector in zip(_FOLDED, vectors, strict=True):
            weights[place] = vector
    if dtype != attention.in_proj_weight.dtype:
        weights = _Rounded.apply(dtype, *weights)
    return BlockWeights(*zip(weights[::2], weights[1::2], strict=True))


_FOLDED = (6, 7, 9, 11)  # in `block_weights`: the second norm, and the biases of the two layers of the MLP


class _Rounded(torch.autograd.Function):
    """Tensors in another number format: `.to` of each, in one kernel for all instead of one for each."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.formats = [weight.dtype for weight in weights]
        made = [torch.empty_like(weight, dtype=dtype) for weight in weights]
        torch._foreach_copy_(made, weights)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(
            *(each for each, trained in zip(made, ctx.needs_input_grad[1:], strict=True) if not trained)
        )
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [each for each in gradients if each is not None]
        formats = [dtype for dtype, each in zip(ctx.formats, gradients, strict=True) if each is not None]
        made = [torch.empty_like(each, dtype=dtype) for each, dtype in zip(given, formats, strict=True)]
        torch._foreach_copy_(made, given)
        computed = iter(made)
        return None, *(None if each is None else next(computed) for each in gradients)


class ImageTower:
    """An image tower; runs by `block` if a setting asks for it and the tower is a supported transformer.

    Not a module: the tower still owns the weights. `fast_fp32` and `backend` as in `Blocks`.
    """

    def __init__(self, tower: nn.Module, *, fast_fp32: bool = False, backend: str = OFF) -> None:
        self.tower: Any = tower
        self.blocks = Blocks(getattr(tower, "transformer", tower), fast_fp32=fast_fp32, backend=backend)

    def fit(self) -> bool:
        """Whether the tower is open_clip's transformer and its output is the class token."""
        return (
            isinstance(self.tower, VisionTransformer)
            and self.tower.attn_pool is None
            and self.tower.pool_type == "tok"
            and not self.tower.output_tokens
            and isinstance(self.tower.patch_dropout, nn.Identity)
            and self.blocks.fit()
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised images (batch, 3, H, W) -> features (batch, width)."""
        tower, dtype = self.tower, self.blocks.format(images.device)
        if dtype is None or not self.fit():
            features: Tensor = tower(images)
            return features
        with torch.autocast(images.device.type, enabled=False):
            x = self._patches(images.to(dtype))  # (batch, patches, tower width)
            token = tower.class_embedding.to(dtype).expand(x.shape[0], 1, -1)
            x = torch.cat([token, x], dim=1) + tower.positional_embedding.to(dtype)
            x = _normed(tower.ln_pre, x)
            x = _normed(tower.ln_post, self.blocks(x, 0))  # the class token
            return x if tower.proj is None else x @ tower.proj.to(dtype)

    def _patches(self, images: Tensor) -> Tensor:
        """The first convolution (stride equal to kernel size) as a matrix product over patches."""
        kernel = self.tower.conv1.weight  # (tower width, 3, size, size)
        batch, colours, height, width = images.shape
        tall, wide = kernel.shape[2:]
        patches = images.reshape(batch, colours, height // tall, tall, width // wide, wide)
        flat = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (batch, patches, 3 * size * size)
        return F.linear(flat, kernel.to(images.dtype).flatten(1))


def _normed(norm: nn.Module, x: Tensor) -> Tensor:
    if isinstance(norm, nn.Identity):
        return x
    made: Any = norm
    return F.layer_norm(x, x.shape[-1:], made.weight.to(x.dtype), made.bias.to(x.dtype), made.eps)


def text_features(tower: Any, blocks: Blocks, prompts: Tensor, ends: Tensor, dtype: torch.dtype) -> Tensor:
    """`TextTower.forward` of `tower` in the format `dtype`; `blocks` are the tower's."""
    length = prompts.shape[1]
    with torch.autocast(prompts.device.type, enabled=False):
        x = (prompts + tower.positional_embedding[:length]).to(dtype)
        x = _normed(tower.ln_final, blocks(x, ends, tower.attn_mask[:length, :length].to(dtype)))
        projection = tower.text_projection
        if isinstance(projection, nn.Linear):
            bias = None if projection.bias is None else projection.bias.to(dtype)
            return F.linear(x, projection.weight.to(dtype), bias)
        return x if projection is None else x @ projection.to(dtype)
