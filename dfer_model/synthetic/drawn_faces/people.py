"""Identities, the view of one frame, and the track of a clip over time.

A track is the onset, apex and offset of an expression, with head motion and blinks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .units import UNIT_INDEX, UNITS, expression_units

Colour = tuple[int, int, int]

_SKINS: tuple[Colour, ...] = (
    (250, 222, 200),
    (240, 200, 170),
    (226, 178, 142),
    (200, 150, 112),
    (168, 118, 84),
    (132, 90, 64),
)
_HAIRS: tuple[Colour, ...] = (
    (28, 24, 24),
    (70, 46, 30),
    (120, 78, 42),
    (176, 128, 64),
    (150, 60, 36),
    (150, 150, 152),
)
# Light enough for visible pupils at 64 pixels.
_IRISES: tuple[Colour, ...] = (
    (140, 100, 56),
    (96, 150, 200),
    (104, 160, 110),
    (150, 160, 170),
    (160, 136, 70),
)
HAIR_STYLES: tuple[str, ...] = ("short", "long", "bald", "fringe", "bun")
OCCLUDERS: tuple[str, ...] = ("none", "hand", "bar", "corner")


@dataclass(frozen=True)
class Identity:
    """The constant properties of one person. Lengths are in half face heights."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    hair_style: str
    face_width: float
    jaw_width: float
    chin: float
    eye_spacing: float
    eye_width: float
    eye_height: float
    eye_y: float
    brow_y: float
    brow_thickness: float
    brow_slant: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_thickness: float
    glasses: bool
    moustache: bool
    freckles: int
    old_lines: float


def draw_identity(rng: np.random.Generator) -> Identity:
    """A random person."""

    def shade(colour: Colour, spread: float) -> Colour:
        r, g, b = (int(np.clip(c + rng.normal(0, spread), 8, 250)) for c in colour)
        return r, g, b

    skin = shade(_SKINS[rng.integers(len(_SKINS))], 7)
    lips = (min(250, int(skin[0] * 0.86) + 18), int(skin[1] * 0.60), int(skin[2] * 0.62))
    return Identity(
        skin=skin,
        hair=shade(_HAIRS[rng.integers(len(_HAIRS))], 8),
        iris=shade(_IRISES[rng.integers(len(_IRISES))], 8),
        lips=shade(lips, 8),
        hair_style=HAIR_STYLES[rng.integers(len(HAIR_STYLES))],
        face_width=rng.uniform(0.72, 0.86),
        jaw_width=rng.uniform(0.46, 0.64),
        chin=rng.uniform(0.92, 1.04),
        eye_spacing=rng.uniform(0.32, 0.38),
        eye_width=rng.uniform(0.19, 0.23),
        eye_height=rng.uniform(0.115, 0.14),
        eye_y=rng.uniform(-0.14, -0.07),
        brow_y=rng.uniform(-0.38, -0.33),
        brow_thickness=rng.uniform(0.035, 0.065),
        brow_slant=rng.uniform(-0.02, 0.02),
        nose_length=rng.uniform(0.24, 0.32),
        nose_width=rng.uniform(0.10, 0.14),
        mouth_y=rng.uniform(0.50, 0.57),
        mouth_width=rng.uniform(0.25, 0.31),
        lip_thickness=rng.uniform(0.055, 0.09),
        glasses=bool(rng.random() < 0.12),
        moustache=bool(rng.random() < 0.08),
        freckles=int(rng.integers(4, 12)) if rng.random() < 0.15 else 0,
        old_lines=float(rng.uniform(0.0, 0.25)) if rng.random() < 0.3 else 0.0,
    )


@dataclass(frozen=True)
class View:
    """The view of one frame: pose (radians), position (half image sizes), light, occluder."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 0.80
    x: float = 0.0
    y: float = 0.03
    exposure: float = 1.0
    light_x: float = 0.0
    light_y: float = 0.0
    warmth: float = 0.0
    noise: float = 0.0
    background: Colour = (120, 140, 160)
    occluder: str = "none"
    occluder_x: float = 0.0
    occluder_y: float = 0.0
    side: int = 1
    blink: float = 0.0


def draw_view(rng: np.random.Generator) -> View:
    """A random view: mostly frontal, sometimes rotated, dark, noisy or partly occluded."""
    r, g, b = (int(c) for c in rng.integers(30, 226, size=3))
    return View(
        yaw=float(np.clip(rng.normal(0, 0.16), -0.4, 0.4)),
        pitch=float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)),
        roll=float(np.clip(rng.normal(0, 0.09), -0.25, 0.25)),
        scale=rng.uniform(0.74, 0.86),
        x=rng.uniform(-0.06, 0.06),
        y=rng.uniform(-0.02, 0.08),
        exposure=rng.uniform(0.72, 1.12),
        light_x=rng.uniform(-0.28, 0.28),
        light_y=rng.uniform(-0.15, 0.10),
        warmth=rng.uniform(-0.07, 0.07),
        noise=rng.uniform(0.0, 9.0),
        background=(r, g, b),
        occluder=str(rng.choice(OCCLUDERS, p=(0.88, 0.04, 0.04, 0.04))),
        occluder_x=rng.uniform(-0.9, 0.9),
        occluder_y=rng.uniform(0.1, 0.9),
        side=int(rng.choice((-1, 1))),
    )


FRAMES = (8, 80)
"""The shortest and the longest clip."""
INTENSITY = (0.25, 1.0)
"""The range of the intensity of an expression at its apex."""


@dataclass(frozen=True)
class Track:
    """The ground truth of each frame of a clip."""

    units: np.ndarray  # (frames, units) float32 in 0..1
    views: tuple[View, ...]
    intensity: float
    apex: int  # the frame in the middle of the apex


def draw_track(class_name: str, rng: np.random.Generator, intensity: float | None = None) -> Track:
    """A random performance of `class_name`, of random length and, unless given, random intensity.

    Lengths are log-uniform, because short clips are more common in films.
    Raises KeyError for a class that cannot be drawn.
    """
    n = int(np.exp(rng.uniform(np.log(FRAMES[0]), np.log(FRAMES[1] + 1))))
    strength = float(rng.uniform(*INTENSITY)) if intensity is None else intensity
    peak = expression_units(class_name, rng) * strength
    if class_name != "neutral" and peak[UNIT_INDEX["gaze_down"]] == 0 and rng.random() < 0.12:
        peak[UNIT_INDEX["gaze_aside"]] = rng.uniform(0.3, 0.7)  # gaze independent of the expression
    rise, fall = rng.uniform(0.02, 0.30), rng.uniform(0.70, 0.98)
    onset, offset = rng.uniform(0.10, 0.22), rng.uniform(0.10, 0.22)
    rest = rng.uniform(0.0, 0.35)  # share of the intensity before onset and after offset
    delay = rng.uniform(-0.04, 0.04, size=len(UNITS))  # units move with different delays
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
    """The views of a clip: head motion, blinks, constant light."""
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
