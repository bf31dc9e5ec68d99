"""The temporal model: frame features in, one video feature out (DFER-CLIP, arXiv 2308.13382, section 3.2).

    z_0 = [f_cls; f_1; ...; f_T] + E_pos,    z_l' = z_{l-1} + MSA(LN(z_{l-1})),    z_l = z_l' + MLP(LN(z_l'))

and the video feature is the class token of the last layer, without a final norm, as in the released code.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

HEADS = 8
HEAD_WIDTH = 64
MLP_WIDTH = 1024


class Attention(nn.Module):
    """Multi-head self-attention with 8 heads of 64 for any width; no bias in q, k, v; no dropout."""

    def __init__(self, width: int):
        super().__init__()
        inner = HEADS * HEAD_WIDTH
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.out = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(clips, tokens, width) -> the same shape."""
        q, k, v = self._heads(x)
        heads = F.scaled_dot_product_attention(q, k, v)  # softmax(q k^T / sqrt(64)) v
        mixed: Tensor = self.out(heads.transpose(1, 2).flatten(2))  # (clips, tokens, width)
        return mixed

    def shares(self, x: Tensor) -> Tensor:
        """softmax(q k^T / sqrt(64)): (clips, tokens, width) -> (clips, 8, tokens, tokens), rows sum to 1."""
        q, k, _ = self._heads(x)
        shares: Tensor = (q @ k.transpose(-2, -1) / HEAD_WIDTH**0.5).softmax(dim=-1)
        return shares

    def _heads(self, x: Tensor) -> Tensor:
        """q, k and v of each head: (3, clips, 8, tokens, 64)."""
        heads: Tensor = self.qkv(x).unflatten(-1, (3, HEADS, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        return heads


class Layer(nn.Module):
    """A pre-norm encoder layer: attention, then an MLP with the tanh form of GELU."""

    def __init__(self, width: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_WIDTH), nn.GELU(approximate="tanh"), nn.Linear(MLP_WIDTH, width)
        )

    def forward(self, z: Tensor) -> Tensor:
        """(clips, tokens, width) -> the same shape."""
        z = z + self.attention(self.attention_norm(z))
        mixed: Tensor = self.mlp(self.mlp_norm(z))
        return z + mixed


class TemporalModel(nn.Module):
    """Class token and `frames` + 1 position embeddings, all from N(0, 1), and `depth` layers."""

    def __init__(self, width: int, frames: int, depth: int):
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(width))
        self.positions = nn.Parameter(torch.randn(frames + 1, width))
        self.layers = nn.Sequential(*(Layer(width) for _ in range(depth)))

    def forward(self, frame_features: Tensor) -> Tensor:
        """(clips, T, width) -> (clips, width)."""
        video: Tensor = self.layers(self._tokens(frame_features))[:, 0]
        return video

    def attention(self, frame_features: Tensor) -> Tensor:
        """Attention of the class token in the last layer: (clips, T, width) -> (clips, T + 1).

        The mean over heads. The first entry is the class token itself, the others are the frames; they sum to
        1. With more than one layer, the value at a frame's position already mixes in other frames.
        """
        z = self.layers[:-1](self._tokens(frame_features))
        last = cast(Layer, self.layers[-1])
        shares: Tensor = last.attention.shares(last.attention_norm(z))  # (clips, 8, T + 1, T + 1)
        return shares.mean(dim=1)[:, 0]

    def _tokens(self, frame_features: Tensor) -> Tensor:
        """z_0: (clips, T, width) -> (clips, T + 1, width)."""
        token = self.class_token.expand(frame_features.shape[0], 1, -1)  # len() is constant in an export
        return torch.cat([token, frame_features], dim=1) + self.positions
