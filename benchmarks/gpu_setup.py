"""Clips and settings of gpu_check.py: drawn clips, CLIP with random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import open_clip
import torch

from dfer_model.config import Settings
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.runs import ClassTexts, RunSpec
from dfer_model.synthetic.drawn_faces.dataset import draw_dataset
from dfer_model.training.setup import Training

Figures = dict[str, Any]
SMALL = "gpu-check-small"
CLASSES = ("happiness", "sadness", "anger", "surprise", "fear", "disgust", "neutral")
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    "quick_gelu": True,
}


@dataclass(frozen=True)
class Setup:
    """The device, and the packed clips and settings that all checks use."""

    device: torch.device
    folder: Path
    small: bool
    settings: Settings

    @property
    def clips(self) -> PackedClips:
        """The packed clips."""
        return PackedClips.open(self.folder / "packed")

    def spec(self, seed: int = 1, **changed: Any) -> RunSpec:
        """A run on the clips."""
        clips = self.clips
        names = tuple(clips.class_names)
        texts = ClassTexts("drawn", "ab" * 32, names, tuple((f"a face of {name}.",) for name in names))
        settings = Settings.model_validate(self.settings.model_dump() | changed)
        return RunSpec(settings, texts, clips.path, clips.fingerprint, 1, seed)

    def training(self, device: torch.device | None = None, **changed: Any) -> Any:
        """A Training of such a run, by default on the device."""
        folder = Path(mkdtemp(dir=self.folder))
        return Training(self.spec(**changed), self.clips, folder, device or self.device)


def drawn_setup(device: torch.device, folder: Path, *, small: bool) -> Setup:
    """Draw and pack the clips; on a CPU the number of frames and clips is small too."""
    size, names, copies, frames = (32, CLASSES[:2], 1, 2) if small else (224, CLASSES, 24, 16)
    drawn = draw_dataset(folder / "drawn", clips=5 * len(names), image_size=size, class_names=names)

    def rows() -> Iterator[dict[str, Any]]:
        for copy in range(copies):
            for index, clip_id in enumerate(drawn.clip_ids):
                count = min(int(drawn.num_frames[index]), frames + 4)
                yield {
                    "clip_id": f"{clip_id}-{copy}",
                    "class_name": drawn.class_name_of(index),
                    "fold": int(drawn.folds[index]),
                    "source": "drawn",
                    "frames": drawn.encoded_frames(index, range(count)),
                }

    write_packed(rows(), names, folder / "packed", {"dataset": "drawn"})
    return stored_setup(device, folder, small=small)


def stored_setup(device: torch.device, folder: Path, *, small: bool) -> Setup:
    """The setup whose clips are in `folder`."""
    settings: dict[str, Any] = {"clip": "ViT-B-32-quickgelu", "weights": "random", "epochs": 2}
    settings["precision"] = "bf16" if device.type == "cuda" else "fp32"
    if small:
        (folder / f"{SMALL}.json").write_text(json.dumps(TINY))
        open_clip.add_model_config(folder / f"{SMALL}.json")
        settings |= {"clip": SMALL, "frames": 2, "batch_size": 4, "workers": 0, "contexts": 2}
    return Setup(device, folder, small, Settings.model_validate(settings))
