"""A training small enough for a test: a registered CLIP of two layers, clips of coloured noise, two folds."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
from PIL import Image

from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.runs import ClassTexts, RunSpec

NAME = "tiny-vit-for-tests"
CONFIG: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
    "quick_gelu": True,
}
CLASSES = ("happiness", "sadness", "fear")
COLOURS = {"happiness": (220, 60, 40), "sadness": (40, 60, 220), "fear": (60, 220, 60)}
TEXTS = ClassTexts(
    "v1@2",
    "ab" * 32,
    CLASSES,
    (("a smiling mouth and raised cheeks.",), ("tears and a frown.", "sad eyes."), ("parted lips.",)),
)


def register(layers: int = 2) -> str:
    """Register the tiny CLIP with open_clip, with `layers` in each tower, and return its name."""
    name = NAME if layers == 2 else f"{NAME}-{layers}"
    if name not in open_clip.list_models():
        towers = {tower: {**CONFIG[tower], "layers": layers} for tower in ("vision_cfg", "text_cfg")}
        folder = Path(tempfile.mkdtemp())
        (folder / f"{name}.json").write_text(json.dumps(CONFIG | towers))
        open_clip.add_model_config(folder)
    return name


def png(colour: tuple[int, int, int], rng: np.random.Generator, size: int = 40) -> bytes:
    """A square of one colour with noise."""
    pixels = np.clip(np.array(colour) + rng.normal(0, 30, (size, size, 3)), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def rows(per_class: int = 4, classes: tuple[str, ...] = CLASSES, folds: int = 2) -> Iterator[dict[str, Any]]:
    """`per_class` clips of each class with 3 to 9 frames, assigned to the folds in turn."""
    rng = np.random.default_rng(0)
    for name in classes:
        for number in range(per_class):
            frames = [png(COLOURS.get(name, (99, 99, 99)), rng) for _ in range(int(rng.integers(3, 10)))]
            yield {
                "clip_id": f"{name}-{number}",
                "class_name": name,
                "fold": number % folds + 1 if folds else 0,
                "source": "test",
                "frames": frames,
            }


def pack(out: Path, *, classes: tuple[str, ...] = CLASSES, name: str = "tiny", **options: Any) -> PackedClips:
    """The clips of `rows`, packed."""
    return write_packed(rows(classes=classes, **options), classes, out, {"dataset": name})


def settings(**changed: Any) -> Settings:
    """Fast settings on the tiny CLIP."""
    base = {
        "clip": register(),
        "weights": "random",
        "frames": 4,
        "contexts": 2,
        "epochs": 2,
        "batch_size": 4,
        "milestones": (2,),
        "workers": 0,
    }
    return Settings.model_validate(base | changed)


def without_digests(folder: Path) -> None:
    """Remove the file digests of a finished run; runs of version 0.1.0 have none."""
    path = folder / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    del result["sha256"]
    path.write_text(json.dumps(result), encoding="utf-8")


def spec(clips: PackedClips, fold: int = 1, seed: int = 1, **changed: Any) -> RunSpec:
    """One run on `clips`."""
    return RunSpec(settings(**changed), TEXTS, clips.path, clips.fingerprint, fold, seed)
