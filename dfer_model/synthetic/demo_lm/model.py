"""The demo language model: a causal transformer (GPT-2's layers without biases, arXiv 2005.14165) in torch.

Training uses this module; `sampler.py` computes the same function with numpy, which starts faster than torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class LMConfig:
    """Sizes of the model."""

    vocabulary: int
    positions: int = 512  # longest question and answer together, in tokens
    width: int = 128
    layers: int = 4
    heads: int = 4


class Layer(nn.Module):
    """Pre-norm causal attention, then a pre-norm MLP of four times the width."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output for `x` (batch, positions, width)."""
        batch, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, positions, width / heads)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        hidden = functional.gelu(self.up(self.mlp_norm(x)), approximate="tanh")
        output: Tensor = x + self.down(hidden)
        return output


class DemoLM(nn.Module):
    """Token and position embeddings, layers, and logits from the token embeddings."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, bias=False)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.04)

    def features(self, tokens: Tensor) -> Tensor:
        """The last layer's normalized output (batch, positions, width) for token ids (batch, positions)."""
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for layer in self.layers:
            x = layer(x)
        normalized: Tensor = self.norm(x)
        return normalized

    def logits(self, features: Tensor) -> Tensor:
        """The logits of the next token (..., vocabulary) for features (..., width)."""
        return features @ self.tokens.weight.T

    def forward(self, tokens: Tensor) -> Tensor:
        """The logits (batch, positions, vocabulary) for token ids (batch, positions)."""
        return self.logits(self.features(tokens))
