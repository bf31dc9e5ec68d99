"""A clip over time: an expression that comes, stays and goes, on a head that moves and blinks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .people import View, draw_view
from .units import UNIT_INDEX, UNITS, expression_units

FRAMES = (8, 80)
"""The shortest and the longest clip."""
INTENSITY = (0.25, 1.0)
"""How much of an expression is shown at its apex, from hard to see to full."""


@dataclass(frozen=True)
class Track:
    """What is true of each frame of a clip."""

    units: np.ndarray  # (frames, units) float32 in 0..1
    views: tuple[View, ...]
    intensity: float
    apex: int  # the frame in the middle of the apex


def draw_track(class_name: str, rng: np.random.Generator, intensity: float | None = None) -> Track:
    """A random performance of `class_name`, of random length and, unless given, random intensity.

    Lengths are log-uniform, as short clips are commoner in film than long ones.
    Raises KeyError for a class that has no drawing.
    """
    n = int(np.exp(rng.uniform(np.log(FRAMES[0]), np.log(FRAMES[1] + 1))))
    strength = float(rng.uniform(*INTENSITY)) if intensity is None else intensity
    peak = expression_units(class_name, rng) * strength
    if class_name != "neutral" and peak[UNIT_INDEX["gaze_down"]] == 0 and rng.random() < 0.12:
        peak[UNIT_INDEX["gaze_aside"]] = rng.uniform(0.3, 0.7)  # looks that belong to no expression
    rise, fall = rng.uniform(0.02, 0.30), rng.uniform(0.70, 0.98)
    onset, offset = rng.uniform(0.10, 0.22), rng.uniform(0.10, 0.22)
    rest = rng.uniform(0.0, 0.35)  # how much of it is there before and after
    delay = rng.uniform(-0.04, 0.04, size=len(UNITS))  # no two units move as one
    time = np.linspace(0, 1, n)[:, None] + delay
    envelope = _ramp((time - rise) / onset) * (1 - _ramp((time - fall) / offset))
    units = np.clip(peak * (rest + (1 - rest) * envelope), 0, 1).astype(np.float32)
    apex = round((n - 1) * min(1.0, (rise + onset + fall) / 2))
    return Track(units=units, views=_views(n, rng), intensity=strength, apex=apex)


def _ramp(x: np.ndarray) -> np.ndarray:
    """0 before 0, 1 after 1, smooth between."""
    t = np.clip(x, 0.0, 1.0)
    smooth: np.ndarray = t * t * (3 - 2 * t)
    return smooth


def _views(n: int, rng: np.random.Generator) -> tuple[View, ...]:
    """One person before one camera: the head sways, the eyes blink, the light stays."""
    base = draw_view(rng)
    sway = rng.normal(0, 1, size=(5, 1)) * np.array([[0.06], [0.025], [0.03], [0.02], [0.015]])
    phase, speed = rng.uniform(0, 2 * np.pi, size=(5, 1)), rng.uniform(0.3, 1.6, size=(5, 1))
    yaw, pitch, roll, x, y = sway * np.sin(phase + 2 * np.pi * speed * np.linspace(0, 1, n))
    closed = np.zeros(n)
    for start in rng.integers(0, n, size=rng.poisson(n / 40)):
        closed[start : start + 2] = 1.0
    return tuple(
        replace(
            base,
            yaw=base.yaw + float(yaw[i]),
            pitch=base.pitch + float(pitch[i]),
            roll=base.roll + float(roll[i]),
            x=base.x + float(x[i]),
            y=base.y + float(y[i]),
            blink=float(closed[i]),
        )
        for i in range(n)
    )
