"""Train the demo CLIP: `python -m dfer_model.synthetic.demo_clip.train_demo_clip --out DIR`.

A small open_clip model (CLIP, arXiv 2103.00020) learns to match drawn faces with captions of their action
units. An auxiliary loss trains a linear map from the features of each tower to the action units; the maps are
not stored. Two captions of a batch may be true of one face; such a pair is not a negative of the contrastive
loss.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dfer_model.models.clip import Clip, clip_from_config, save_demo_clip
from dfer_model.synthetic.drawn_faces.units import CLASS_NAMES, UNITS

from .captions import Captioner, training_face

MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
    "quick_gelu": False,
}
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Recipe:
    """The training configuration; the shipped demo CLIP was trained with the defaults."""

    images: int = 40_000
    steps: int = 1_300
    batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 100
    auxiliary: float = 1.0  # weight of the action unit loss beside the contrastive one
    contexts: int = 8  # random vectors before some captions, as DFER-CLIP puts learnable ones
    seed: int = 1


def draw_faces(recipe: Recipe, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """The training set, for any `workers`: images (n, size, size, 3) uint8, units (n, units) float32."""
    size = int(MODEL["vision_cfg"]["image_size"])
    images = np.empty((recipe.images, size, size, 3), dtype=np.uint8)
    units = np.empty((recipe.images, len(UNITS)), dtype=np.float32)
    with ProcessPoolExecutor(workers) as pool:
        drawn = pool.map(partial(training_face, recipe.seed, size=size), range(recipe.images), chunksize=500)
        for i, (image, amounts) in enumerate(drawn):
            images[i], units[i] = image, amounts
    return images, units


def to_tensor(images: np.ndarray) -> Tensor:
    """Images (n, h, w, 3) uint8 as input of the image tower, (n, 3, h, w) float32."""
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float().div_(255)
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return pixels.sub_(mean).div_(std)


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror the whole batch or not, shift it by up to 3 pixels, zoom it by up to 8%."""
    if rng.random() < 0.5:
        images = images.flip(3)
    zoom, dx, dy = rng.uniform(0.94, 1.08), rng.uniform(-0.09, 0.09), rng.uniform(-0.09, 0.09)
    theta = torch.tensor([[zoom, 0.0, dx], [0.0, zoom, dy]]).expand(len(images), 2, 3)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved.contiguous(memory_format=torch.channels_last)


def encode_captions(model: Any, tokens: Tensor, contexts: Tensor | None = None, chunks: int = 4) -> Tensor:
    """The result of open_clip's `encode_text` for `tokens` (captions, positions): (captions, width).

    The tower is causal and its output is at the end of text, so padding has no effect: captions of similar
    length are encoded together, padded to the longest of them. `contexts` (contexts, text width) are inserted
    between start and text.
    """
    order = tokens.argmax(dim=1).argsort()
    features = torch.cat([_encode_captions(model, tokens[rows], contexts) for rows in order.chunk(chunks)])
    return features[order.argsort()]


def _encode_captions(model: Any, tokens: Tensor, contexts: Tensor | None) -> Tensor:
    ends = tokens.argmax(dim=1)
    x = model.token_embedding(tokens[:, : int(ends.max()) + 1])  # (captions, positions, text width)
    if contexts is not None:
        x = torch.cat([x[:, :1], contexts.expand(len(x), -1, -1), x[:, 1:]], dim=1)
        ends = ends + len(contexts)
    length = x.shape[1]
    x = model.transformer(
        x + model.positional_embedding[:length], attn_mask=model.attn_mask[:length, :length]
    )
    features: Tensor = model.ln_final(x)[torch.arange(len(x)), ends] @ model.text_projection
    return features


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, untrue: Tensor) -> Tensor:
    """CLIP's symmetric loss on unit features; `untrue` (images, texts) marks the negative pairs."""
    own = torch.eye(len(images), dtype=torch.bool)
    logits = (scale * images @ texts.T).masked_fill(~(untrue | own), -math.inf)
    targets = torch.arange(len(images))
    return (functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)) / 2


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    return (
        recipe.lr
        * 0.5
        * (1 + math.cos(math.pi * (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)))
    )


def train(recipe: Recipe, faces: tuple[np.ndarray, np.ndarray]) -> tuple[Clip, set[int]]:
    """Train on the result of `draw_faces`: the CLIP in eval mode, and the token ids used."""
    clip = clip_from_config("demo", "random", MODEL, mean=MEAN, std=STD, seed=recipe.seed)
    model: Any = clip.model.train()
    model.visual.to(memory_format=torch.channels_last)
    torch.manual_seed(recipe.seed)
    image_head, text_head = (nn.Linear(clip.embed_dim, len(UNITS)) for _ in range(2))
    parameters = [*model.parameters(), *image_head.parameters(), *text_head.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.lr,
        betas=(0.9, 0.98),
        fused=True,
    )
    captioner, rng = Captioner(), np.random.default_rng((recipe.seed, 2**32))
    used = {clip.tokenizer.sot_token_id, clip.tokenizer.eot_token_id}
    images, units = faces
    start = time.monotonic()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        chosen = rng.choice(len(images), recipe.batch, replace=False)
        amounts = units[chosen]
        captions = [captioner.caption(row, rng) for row in amounts]
        sayings = [names for _, names in captions]
        tokens = clip.tokenizer([text for text, _ in captions])
        used.update(tokens.unique().tolist())
        contexts = torch.randn(recipe.contexts, clip.text_width) * 0.02 if rng.random() < 0.3 else None
        image_features = model.encode_image(augment(to_tensor(images[chosen]), rng))
        text_features = encode_captions(model, tokens, contexts)
        contrast = contrastive_loss(
            functional.normalize(image_features, dim=-1),
            functional.normalize(text_features, dim=-1),
            model.logit_scale.exp(),
            torch.from_numpy(captioner.contradictions(sayings, amounts)),
        )
        named = torch.tensor(
            np.array([captioner.needs[names].any(axis=0) for names in sayings]), dtype=torch.float32
        )
        auxiliary = _unit_loss(image_head(image_features), torch.from_numpy(amounts))
        auxiliary = auxiliary + _unit_loss(text_head(text_features), named)
        loss = contrast + recipe.auxiliary * auxiliary
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0.0, math.log(100.0))
        if step % 50 == 49:
            _print_line(
                f"step {step + 1} of {recipe.steps}: contrastive {contrast.item():.3f}, "
                f"units {auxiliary.item():.3f}, {time.monotonic() - start:.0f} s"
            )
    model.eval()
    return clip, {int(i) for i in used if i != 0}


def _unit_loss(logits: Tensor, amounts: Tensor) -> Tensor:
    """Binary cross-entropy over units, summed, so that its scale is that of the contrastive loss."""
    return functional.binary_cross_entropy_with_logits(logits, amounts, reduction="none").sum(dim=1).mean()


def save(clip: Clip, folder: Path, used: set[int]) -> None:
    """Write the CLIP in half precision, which does not change the figures of the README."""
    names = {i for name in CLASS_NAMES for i in clip.tokenizer.encode(name)}
    half = replace(clip, model=copy.deepcopy(clip.model).half())
    save_demo_clip(half, folder, sorted(used | names))


def _print_line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main() -> None:
    """The command line of this program."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(description="Train the demo CLIP on drawn faces.")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for config.json and model.safetensors"
    )
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--images", type=int, default=recipe.images)
    parser.add_argument("--batch", type=int, default=recipe.batch)
    parser.add_argument("--lr", type=float, default=recipe.lr)
    parser.add_argument("--auxiliary", type=float, default=recipe.auxiliary)
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch, and processes that draw")
    given = vars(parser.parse_args())
    out, threads = given.pop("out"), given.pop("threads")
    torch.set_num_threads(threads)
    recipe = Recipe(**given)
    start = time.monotonic()
    faces = draw_faces(recipe, threads)
    _print_line(f"drew {recipe.images} faces in {time.monotonic() - start:.0f} s")
    clip, used = train(recipe, faces)
    save(clip, out, used)


if __name__ == "__main__":
    main()
