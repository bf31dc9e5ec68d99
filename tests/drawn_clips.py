"""Clips of drawn faces with known action units, and a model that measures the images it receives."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.synthetic.drawn_faces import UNIT_INDEX, UNITS, View, draw_identity, render

from .prompts.endpoint import Reply, completion

Pixels = np.ndarray

SIZE = 64
FRAMES = 5
# What each class shows at its apex: an open mouth, wide open eyes, both or neither.
SHOWN: Mapping[str, Mapping[str, float]] = {
    "surprise": {"jaw_drop": 0.9, "lips_part": 0.9, "lid_raise": 0.9},
    "anger": {"brow_lower": 0.9, "lip_press": 0.9, "lid_tighten": 0.9},
    "disgust": {"jaw_drop": 0.9, "lips_part": 0.9, "lid_tighten": 0.9, "brow_lower": 0.9},
}
DESCRIBED = {
    "surprise": {"an open mouth", "wide open eyes"},
    "anger": {"a closed mouth", "narrowed eyes"},
    "disgust": {"an open mouth", "narrowed eyes"},
}


def face(person: int, units: Mapping[str, float], seed: int) -> Pixels:
    """A frontal face (SIZE, SIZE, 3) with these action units."""
    amounts = np.zeros(len(UNITS))
    for name, amount in units.items():
        amounts[UNIT_INDEX[name]] = amount
    who = draw_identity(np.random.default_rng((1, 1, person)))
    return render(who, amounts, View(), SIZE, np.random.default_rng(seed))


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def rows() -> Iterator[dict[str, Any]]:
    """Two clips of each class in each of the folds 2 and 3; in fold 1, eight that no decoder reads."""
    for label, (name, units) in enumerate(SHOWN.items()):
        for number in range(8):
            unreadable = {"clip_id": f"test/{name}{number}", "fold": 1, "frames": [b"no image"]}
            yield {**unreadable, "class_name": name, "source": "test"}
        for number in range(4):
            frames = [png(face(number, units, 10 * number + frame)) for frame in range(FRAMES)]
            yield {
                "clip_id": f"clip/{label}{number}",
                "class_name": name,
                "fold": 2 + number % 2,
                "source": "drawn",
                "frames": frames,
            }


def pack(out: Path) -> PackedClips:
    """The clips of `rows`, packed as the dataset "faces"."""
    return write_packed(rows(), list(SHOWN), out, {"dataset": "faces"})


def images_of(body: dict[str, Any]) -> list[bytes]:
    """The bytes of the images in a request, in their order."""
    (message,) = body["messages"]
    _, *parts = message["content"]
    assert {part["type"] for part in parts} == {"image_url"}
    uris = [part["image_url"]["url"] for part in parts]
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in uris)
    return [base64.b64decode(uri.partition(",")[2], validate=True) for uri in uris]


def text_of(body: dict[str, Any]) -> str:
    """The text of a request."""
    text: str = body["messages"][0]["content"][0]["text"]
    return text


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image


def measured(jpeg: bytes) -> tuple[bool, bool]:
    """Whether the mouth is open (dark inside) and whether the eyes are wide (white visible)."""
    pixels = np.asarray(opened(jpeg).convert("RGB"), np.int64)
    mouth, eyes = pixels[40:54, 22:42], pixels[24:36, 14:50]
    return bool((mouth.max(-1) < 90).mean() > 0.15), bool((eyes.min(-1) > 190).mean() > 0.01)


def describing(body: dict[str, Any], earlier: int) -> Reply:
    """What most images of the prompt's first class show, in an order by the seed, and one wrong line."""
    first = re.search(r'images? (\d+).*one face, "(.*)"', text_of(body))
    named = rf', "{first[2]}"' if first else ""
    ranges = re.findall(rf"images (\d+) to (\d+): one face{named}", text_of(body))
    own = [number for start, end in ranges for number in range(int(start) - 1, int(end))]
    images = images_of(body)
    shown = np.array([measured(images[number]) for number in own]).mean(axis=0) > 0.5
    lines = [
        "an open mouth" if shown[0] else "a closed mouth",
        "wide open eyes" if shown[1] else "narrowed eyes",
    ]
    wrong = ("raised cheeks", "flared nostrils", "a wrinkled nose", "a raised chin")[body["seed"] % 4]
    ordered = [wrong, *lines] if body["seed"] % 2 else [*reversed(lines), wrong]
    return Reply(completion("Here is what the faces share:\n" + "\n".join(f"- {line}" for line in ordered)))
