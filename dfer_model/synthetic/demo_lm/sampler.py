"""The demo language model in numpy: the function of `model.py` with a key-value cache, and sampling.

numpy starts within a fraction of a second, torch takes several.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import safe_open
from tokenizers import Tokenizer

from .tokens import ASSISTANT, END, MARKS, USER, mark_id

FOLDER = Path(__file__).parent
EPSILON = 1e-5  # of torch's LayerNorm


@dataclass(frozen=True)
class Completion:
    """A sampled answer, why it ended, and its length in tokens."""

    text: str
    finish_reason: Literal["stop", "length"]
    tokens: int


class Sampler:
    """Samples answers from the weights and the tokenizer in `folder`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        with safe_open(folder / "model.safetensors", "np") as file:
            config = json.loads(file.metadata()["config"])
            self._weights = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        self.positions: int = config["positions"]
        self._layers: int = config["layers"]
        self._heads: int = config["heads"]

    def question(self, messages: list[str]) -> list[int]:
        """Token ids of a question; of a long one the beginning, to leave room for an answer."""
        words = self.tokenizer.encode("\n".join(messages).strip()).ids[: self.positions // 2]
        return [mark_id(self.tokenizer, USER), *words, mark_id(self.tokenizer, ASSISTANT)]

    def sample(
        self, question: list[int], *, temperature: float, top_p: float, max_tokens: int, seed: int
    ) -> Completion:
        """An answer; the same arguments give the same answer.

        `temperature` 0 takes the most probable token. `top_p` keeps the most probable tokens whose
        probabilities sum to at least `top_p`.
        """
        rng = np.random.default_rng(seed)
        end = mark_id(self.tokenizer, END)
        cache = _Cache(self._layers)
        features = self._features(question, cache)
        answer: list[int] = []
        for _ in range(min(max_tokens, self.positions - len(question))):
            token = _draw(self._logits(features), temperature, top_p, rng)
            if token == end:
                return Completion(self._text(answer), "stop", len(answer))
            answer.append(token)
            if len(question) + len(answer) < self.positions:
                features = self._features([token], cache)
        return Completion(self._text(answer), "length", len(answer))

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Logits (vocabulary,) of the token after `tokens`."""
        return self._logits(self._features(tokens, _Cache(self._layers)))

    def _text(self, tokens: list[int]) -> str:
        return "".join(self.tokenizer.id_to_token(token) or "" for token in tokens if token >= len(MARKS))

    def _features(self, tokens: list[int], cache: _Cache) -> np.ndarray:
        """The last position's features (width,) after `tokens`, which follow those in the cache."""
        w, done = self._weights, cache.length
        x = w["tokens.weight"][tokens] + w["positions.weight"][done : done + len(tokens)]  # (new, width)
        for i in range(self._layers):
            name = f"layers.{i}."
            qkv = _norm(x, w[f"{name}attention_norm.weight"]) @ w[f"{name}qkv.weight"].T
            query, key, value = qkv.reshape(len(tokens), 3, self._heads, -1).transpose(1, 2, 0, 3)
            key, value = cache.extend(i, key, value)  # (heads, all, width / heads)
            scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
            if len(tokens) > 1:
                scores += np.triu(np.full(scores.shape[1:], -np.inf, np.float32), 1 + done)
            mixed = (_softmax(scores) @ value).transpose(1, 0, 2).reshape(x.shape)
            x = x + mixed @ w[f"{name}out.weight"].T
            hidden = _gelu(_norm(x, w[f"{name}mlp_norm.weight"]) @ w[f"{name}up.weight"].T)
            x = x + hidden @ w[f"{name}down.weight"].T
        last: np.ndarray = _norm(x[-1:], w["norm.weight"])[0]
        return last

    def _logits(self, features: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._weights["tokens.weight"] @ features
        return logits


class _Cache:
    """Keys and values of all earlier positions, per layer."""

    def __init__(self, layers: int) -> None:
        self._kept: list[tuple[np.ndarray, np.ndarray] | None] = [None] * layers

    @property
    def length(self) -> int:
        first = self._kept[0]
        return 0 if first is None else first[0].shape[1]

    def extend(self, layer: int, key: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if (stored := self._kept[layer]) is not None:
            key, value = np.concatenate([stored[0], key], axis=1), np.concatenate([stored[1], value], axis=1)
        self._kept[layer] = (key, value)
        return key, value


def _draw(logits: np.ndarray, temperature: float, top_p: float, rng: np.random.Generator) -> int:
    logits = logits.astype(np.float64)
    logits[0] = -np.inf  # UNKNOWN is never an answer
    if temperature <= 0:
        return int(logits.argmax())
    shares = _softmax(logits / temperature)
    order = np.argsort(-shares, kind="stable")
    count = int(np.searchsorted(np.cumsum(shares[order]), top_p)) + 1
    chosen = order[:count]
    return int(rng.choice(chosen, p=shares[chosen] / shares[chosen].sum()))


def _norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    normalized: np.ndarray = centred / np.sqrt(variance + EPSILON) * weight
    return normalized


def _softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: np.ndarray = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def _gelu(x: np.ndarray) -> np.ndarray:
    """GELU in its tanh approximation (arXiv 1606.08415)."""
    activated: np.ndarray = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return activated
