"""A list of coloured shapes on a head, and their projection to pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from PIL import ImageDraw

from .people import Colour, View


def mix(a: Colour, b: Colour, amount: float) -> Colour:
    """The linear mix of two colours: `a` at amount 0, `b` at amount 1."""
    t = min(max(amount, 0.0), 1.0)
    return (int(a[0] + (b[0] - a[0]) * t), int(a[1] + (b[1] - a[1]) * t), int(a[2] + (b[2] - a[2]) * t))


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """Points (24, 2) of an ellipse."""
    return _CIRCLE * (rx, ry) + (x, y)


def band(xs: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The polygon (2n, 2) between two curves over the same `xs` (n,)."""
    return np.concatenate([np.stack([xs, upper], 1), np.stack([xs, lower], 1)[::-1]])


_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


@dataclass
class Sketch:
    """Shapes in the order in which they are painted.

    Coordinates are (x right, y down) on a head seen from the front whose face is two units high. A shape on
    the face turns with the head as if drawn on an ellipsoid; a flat one (outline, hair, neck) stays put.
    """

    points: list[np.ndarray] = field(default_factory=list)
    styles: list[tuple[Colour, float]] = field(default_factory=list)  # colour, line width; 0 fills a polygon
    flat: list[bool] = field(default_factory=list)

    def fill(self, points: np.ndarray, colour: Colour, *, flat: bool = False) -> None:
        """Add a filled polygon, (n, 2)."""
        self._add(points, colour, 0.0, flat)

    def line(self, points: np.ndarray, colour: Colour, width: float, *, flat: bool = False) -> None:
        """Add an open line, (n, 2), `width` in half face heights."""
        self._add(points, colour, width, flat)

    def _add(self, points: np.ndarray, colour: Colour, width: float, flat: bool) -> None:
        self.points.append(points)
        self.styles.append((colour, width))
        self.flat.append(flat)

    def paint(self, draw: ImageDraw.ImageDraw, view: View, size: int) -> None:
        """Project every shape as `view` sees it and paint it onto a square of `size` pixels."""
        counts = [len(p) for p in self.points]
        flat = np.repeat(self.flat, counts)
        pixels = project(np.concatenate(self.points), flat, view, size)
        unit = view.scale * size / 2
        start = 0
        for count, (colour, width) in zip(counts, self.styles, strict=True):
            coordinates = pixels[start : start + count].ravel().tolist()
            start += count
            if width == 0.0:
                draw.polygon(coordinates, fill=colour)
            else:
                draw.line(coordinates, fill=colour, width=max(1, round(width * unit)), joint="curve")


def project(points: np.ndarray, flat: np.ndarray, view: View, size: int) -> np.ndarray:
    """Points (n, 2) of the head to pixels (n, 2): turn by yaw and pitch, roll, scale, shift."""
    x, y = points[:, 0], points[:, 1]
    z = 0.75 * np.sqrt(np.clip(1.0 - x * x - (y / 1.25) ** 2, 0.0, None))
    z[flat] = 0.0
    turned_x = x * math.cos(view.yaw) + z * math.sin(view.yaw)
    turned_y = y * math.cos(view.pitch) - z * math.sin(view.pitch)
    c, s = math.cos(view.roll), math.sin(view.roll)
    unit, centre = view.scale * size / 2, size / 2
    return np.stack(
        [
            centre + view.x * centre + unit * (c * turned_x - s * turned_y),
            centre + view.y * centre + unit * (s * turned_x + c * turned_y),
        ],
        axis=1,
    )
