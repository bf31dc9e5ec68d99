"""The demo CLIP computed by open_clip alone, and small videos and clips of drawn faces to compare with."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import open_clip
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.synthetic.drawn_faces import clip_frames, clip_track, plan_clips

FOLDER = Path(__file__).parents[1] / "dfer_model" / "synthetic" / "demo_clip"
Frames = list[npt.NDArray[np.uint8]]


@cache
def model() -> tuple[torch.nn.Module, dict]:
    """open_clip's model with the weights of the demo CLIP, and its configuration."""
    config = json.loads((FOLDER / "config.json").read_text())
    made = open_clip.model.CLIP(**config["model_cfg"]).eval()
    tensors = load_file(FOLDER / "model.safetensors")
    table = torch.zeros(49408, config["model_cfg"]["text_cfg"]["width"])
    table[tensors.pop("token_embedding.rows")] = tensors.pop("token_embedding.values").float()
    made.load_state_dict({**tensors, "token_embedding.weight": table}, strict=False)
    return made, config


@torch.inference_mode()
def image_features(frames: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
    """The features (frames, 128) of 64 x 64 frames, as the tower gives them."""
    made, config = model()
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))
    return made.encode_image((pixels - mean) / std)


@torch.inference_mode()
def text_features(texts: Sequence[str]) -> Tensor:
    """The features (texts, 128), unit norm."""
    made, _ = model()
    return normalize(made.encode_text(open_clip.tokenize(list(texts))), dim=-1)


def zero_shot(frames: Sequence[npt.NDArray[np.uint8]], texts: Sequence[str]) -> list[float]:
    """The probability of each text: softmax of 100 cos(mean frame feature, text)."""
    video = normalize(image_features(frames).mean(dim=0), dim=-1)
    return (100 * text_features(texts) @ video).softmax(dim=0).tolist()


def sampled(count: int, frames: int = 16) -> list[int]:
    """The frames that a test samples: int(t/2 + t i), t = count / frames."""
    tick = count / frames
    return [int(tick / 2 + tick * number) for number in range(frames)]


@cache
def drawn(number: int = 0) -> tuple[str, Frames]:
    """The class and the first 20 frames, 64 x 64, of a drawn clip that has more."""
    planned = [each for each in plan_clips(55, 1) if len(clip_track(each, 1).units) > 20]
    clip = planned[number]
    return clip.class_name, list(islice(clip_frames(clip, 1, 64), 20))


def lossless(path: Path, frames: Frames, rate: int = 10) -> Path:
    """A video of the frames without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def pack(out: Path, class_names: Sequence[str], clips: int = 3) -> PackedClips:
    """So many drawn clips of 20 frames, packed without loss, dealt out to two folds."""
    rows = []
    for number in range(clips):
        name, frames = drawn(number)
        rows.append(
            {
                "clip_id": f"clip-{number}",
                "class_name": name,
                "fold": number % 2 + 1,
                "source": "test",
                "frames": [_png(each) for each in frames],
            }
        )
    return write_packed(rows, class_names, out, {"dataset": "some"})


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
