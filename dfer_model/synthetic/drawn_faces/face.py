"""Rendering a person with action units and a view to an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from . import eyes, head
from .people import Identity, View
from .sketch import Sketch, ellipse, mix
from .units import UNITS

_SUPERSAMPLING = 2


def sketch_face(who: Identity, units: Mapping[str, float], view: View) -> Sketch:
    """The shapes of a face, back to front."""
    sketch = Sketch()
    head.draw_behind(sketch, who, units)
    head.draw_head(sketch, who, units)
    head.draw_forehead(sketch, who, units)
    head.draw_marks(sketch, who)
    head.draw_cheeks(sketch, who, units, blow=units["sigh"])
    head.draw_nose(sketch, who, units)
    eyes.draw_mouth(sketch, who, units, view.side)
    eyes.draw_chin(sketch, who, units)
    eyes.draw_eyes(sketch, who, units, view.side, view.blink)
    eyes.draw_tears(sketch, who, units["tears"])
    head.draw_hair(sketch, who)
    eyes.draw_brows(sketch, who, units, view.side)
    eyes.draw_glasses(sketch, who)
    _draw_occluder(sketch, view)
    return sketch


def render(
    who: Identity, units: np.ndarray, view: View, size: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """The face as an image, (size, size, 3) uint8.

    `units` is (units,) in 0..1 in the order of `UNITS`. `rng` draws the camera noise; None for no noise.
    """
    amounts = dict(zip(UNITS, np.clip(units, 0, 1).tolist(), strict=True))
    pitch = view.pitch + 0.34 * amounts["head_up"] - 0.34 * amounts["head_down"]
    posed = replace(view, pitch=pitch)
    big = size * _SUPERSAMPLING
    image = Image.new("RGB", (big, big), view.background)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, big * 0.6, big, big), fill=mix(view.background, (20, 20, 20), 0.25))
    sketch_face(who, amounts, posed).paint(draw, posed, big)
    return _expose(np.asarray(image.reduce(_SUPERSAMPLING), dtype=np.float32), view, rng)


def _expose(pixels: np.ndarray, view: View, rng: np.random.Generator | None) -> np.ndarray:
    """Light from one side, exposure, colour temperature and noise."""
    across = np.linspace(-1, 1, pixels.shape[1], dtype=np.float32)
    light = view.exposure * (1 + view.light_x * across[None, :] + view.light_y * across[:, None])
    tint = np.array([1 + view.warmth, 1, 1 - view.warmth], dtype=np.float32)
    lit = pixels * light[:, :, None] * tint
    if rng is not None and view.noise > 0:
        lit += rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(view.noise)
    return np.clip(lit, 0, 255).astype(np.uint8)


def _draw_occluder(sketch: Sketch, view: View) -> None:
    """Draw an occluder: a hand, a bar, or the edge of an object."""
    x, y = view.occluder_x, view.occluder_y
    if view.occluder == "hand":
        sketch.fill(ellipse(x, y + 0.25, 0.28, 0.30), (190, 140, 110), flat=True)
        for i in range(4):
            sketch.fill(ellipse(x - 0.2 + 0.13 * i, y - 0.05, 0.065, 0.24), (190, 140, 110), flat=True)
    elif view.occluder == "bar":
        sketch.fill(
            np.array([(x - 0.09, -1.5), (x + 0.09, -1.5), (x + 0.14, 1.6), (x - 0.04, 1.6)]),
            (60, 56, 60),
            flat=True,
        )
    elif view.occluder == "corner":
        edge = 1.0 if x > 0 else -1.0
        corner = np.array([(edge * 1.5, y - 0.5), (edge * 0.25, 1.5), (edge * 1.5, 1.5)])
        sketch.fill(corner, (84, 92, 76), flat=True)
