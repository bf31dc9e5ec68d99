"""Train the demo language model: `python -m dfer_model.synthetic.demo_lm.train_demo_lm --out DIR`.

It learns the next token of generated answers (`answers.py`) to the questions of the shipped templates.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from .answers import TEMPLATE_SHARES, Corpus
from .model import DemoLM, LMConfig
from .tokens import ASSISTANT, END, USER, mark_id, word_tokenizer

REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True)
class Recipe:
    """The training configuration; the shipped model was trained with the defaults."""

    steps: int = 2000
    batch: int = 16
    lr: float = 3e-3
    warmup: int = 50
    weight_decay: float = 0.05
    seed: int = 1


def batch_of(
    corpus: Corpus, tokenizer: Tokenizer, template: str, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Token ids (batch, positions) of questions and answers, and which tokens belong to an answer."""
    rows, starts = [], []
    user, assistant, end = (mark_id(tokenizer, mark) for mark in (USER, ASSISTANT, END))
    for _ in range(size):
        question, answer = (tokenizer.encode(text).ids for text in corpus.pair(template, rng))
        rows.append([user, *question, assistant, *answer, end])
        starts.append(len(question) + 2)
    length = max(len(row) for row in rows)
    tokens = torch.full((size, length), end)
    is_answer = torch.zeros((size, length), dtype=torch.bool)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        tokens[i, : len(row)] = torch.tensor(row)
        is_answer[i, start : len(row)] = True
    return tokens, is_answer


def answer_loss(model: DemoLM, tokens: Tensor, is_answer: Tensor) -> Tensor:
    """Cross-entropy of the answers' tokens in nats per token, given all tokens before each."""
    features = model.features(tokens[:, :-1])[is_answer[:, 1:]]
    return functional.cross_entropy(model.logits(features), tokens[:, 1:][is_answer[:, 1:]])


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))


def train(corpus: Corpus, tokenizer: Tokenizer, recipe: Recipe) -> DemoLM:
    """The trained model."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng((recipe.seed, 1))
    model = DemoLM(LMConfig(tokenizer.get_vocab_size()))
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.lr, (0.9, 0.98), weight_decay=recipe.weight_decay
    )
    names, shares = list(TEMPLATE_SHARES), list(TEMPLATE_SHARES.values())
    start, losses = time.monotonic(), []
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        template = str(rng.choice(names, p=shares))
        # Longer questions come in smaller batches, so that steps take a similar time.
        size = recipe.batch if template == "paper" else recipe.batch * 3 // 8
        loss = answer_loss(model, *batch_of(corpus, tokenizer, template, size, rng))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 25 == 24:
            mean = sum(losses[-25:]) / 25
            _report(f"step {step + 1} of {recipe.steps}: loss {mean:.3f}, {time.monotonic() - start:.0f} s")
    return model.eval()


def save(model: DemoLM, config: LMConfig, tokenizer: Tokenizer, folder: Path) -> None:
    """Write `model.safetensors` in half precision, its sizes in the metadata, and `tokenizer.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"config": json.dumps(asdict(config))})
    tokenizer.save(str(folder / "tokenizer.json"))


def tokenizer_of(corpus: Corpus, seed: int = 1, pairs: int = 400) -> Tokenizer:
    """A tokenizer with the words of many questions and answers of every template."""
    rng = np.random.default_rng((seed, 2))
    texts = [text for name in TEMPLATE_SHARES for _ in range(pairs) for text in corpus.pair(name, rng)]
    return word_tokenizer(texts)


def _report(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this program."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(description="Train the demo language model on generated answers.")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for model.safetensors and tokenizer.json"
    )
    parser.add_argument(
        "--prompts", type=Path, default=REPOSITORY / "prompts", help="folder of the templates"
    )
    facs = REPOSITORY / "dfer_prompts" / "generation" / "facs.yaml"
    parser.add_argument("--facs", type=Path, default=facs, help="the FACS table")
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--batch", type=int, default=recipe.batch)
    parser.add_argument("--lr", type=float, default=recipe.lr)
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--threads", type=int, default=2)
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    torch.set_num_threads(given.pop("threads"))
    out, corpus = given.pop("out"), Corpus(given.pop("prompts"), given.pop("facs"))
    tokenizer = tokenizer_of(corpus)
    _report(f"{tokenizer.get_vocab_size()} words")
    model = train(corpus, tokenizer, Recipe(**given))
    save(model, LMConfig(tokenizer.get_vocab_size()), tokenizer, out)


if __name__ == "__main__":
    main()
