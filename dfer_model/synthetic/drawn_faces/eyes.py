"""Brows, lids, gaze, pupils, tears and glasses of a drawn face.

The mouth and the chin of a drawn face.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .head import LINE, crease
from .people import Colour, Identity
from .sketch import Sketch, band, ellipse, mix

_DARK: Colour = (30, 18, 16)
_T = np.linspace(-1, 1, 11)
_ARCH = 1 - _T * _T


def draw_brows(sketch: Sketch, who: Identity, units: Mapping[str, float], side_up: int) -> None:
    """Draw both brows; with brow_split the one on `side_up` is raised, the other lowered."""
    up, out, low, droop = (
        units[n] for n in ("inner_brow_raise", "outer_brow_raise", "brow_lower", "brow_droop")
    )
    for side in (-1, 1):
        shift = units["brow_split"] * (-0.16 if side == side_up else 0.11)
        inner = who.brow_y - 0.16 * up - 0.03 * out + 0.13 * low - 0.02 * droop + shift
        middle = who.brow_y - 0.025 - 0.08 * up - 0.13 * out + 0.10 * low + 0.05 * droop + shift
        outer = who.brow_y + who.brow_slant - 0.12 * out + 0.03 * low + 0.19 * droop + 0.8 * shift
        x0 = 0.13 - 0.06 * low
        centre = np.array([(x0, inner), (0.23, (inner + 2 * middle) / 3), (0.36, middle), (0.54, outer)]) * (
            side,
            1,
        )
        thick = np.array([1.0, 1.05, 0.9, 0.35])[:, None] * np.array([(0.0, who.brow_thickness)])
        sketch.fill(np.concatenate([centre - thick, (centre + thick)[::-1]]), mix(who.hair, _DARK, 0.45))


def draw_eyes(sketch: Sketch, who: Identity, units: Mapping[str, float], side: int, blink: float) -> None:
    """Draw both eyes, with a gaze aside to `side`; `blink` 1 closes them."""
    wide, tight, droop = units["lid_raise"], units["lid_tighten"], units["lid_droop"]
    down, cheek = units["gaze_down"], units["cheek_raise"]
    open_lid = (
        (1 + 0.65 * wide) * (1 - 0.62 * tight) * (1 - 0.62 * droop) * (1 - 0.30 * down) * (1 - 0.25 * cheek)
    )
    upper = who.eye_height * open_lid * (1 - 0.95 * blink)
    lower = (
        who.eye_height * 0.75 * (1 + 0.25 * wide) * (1 - 0.6 * tight) * (1 - 0.6 * cheek) * (1 - 0.8 * blink)
    )
    for eye in (-1, 1):
        x, y = eye * who.eye_spacing, who.eye_y
        xs = x + _T * who.eye_width
        sag = 0.06 * droop * np.maximum(_T * eye, 0)  # the outer corner hangs
        top, bottom = y - upper * _ARCH + sag, y + lower * _ARCH + sag
        _lid(sketch, who, xs, y - who.eye_height * 1.15 * _ARCH, top, max(droop, 0.7 * down))
        sketch.fill(
            np.concatenate([np.stack([xs, top], 1), np.stack([xs, bottom], 1)[::-1]]), (246, 246, 244)
        )
        gaze = (x + 0.09 * side * units["gaze_aside"], y + 0.02 + 0.10 * down)
        for radius, colour in (
            (0.118, who.iris),
            (0.042 + 0.050 * units["pupil_dilate"], (12, 10, 12)),
        ):
            disc = ellipse(gaze[0], gaze[1], radius, radius)
            disc[:, 0] = np.clip(disc[:, 0], xs[0], xs[-1])
            at = np.interp(disc[:, 0], xs, top), np.interp(disc[:, 0], xs, bottom)
            disc[:, 1] = np.clip(disc[:, 1], at[0], np.maximum(at[0], at[1]))
            sketch.fill(disc, colour)
        sketch.line(np.stack([xs, top], 1), _DARK, 0.045)
        sketch.line(np.stack([xs, bottom], 1), mix(who.skin, _DARK, 0.4), 0.025)
        if tight > 0.05:
            bag = np.stack([xs[2:-2], y + lower * _ARCH[2:-2] + 0.075], 1)
            sketch.line(bag, crease(who.skin, 0.8 * tight), LINE)


def _lid(
    sketch: Sketch, who: Identity, xs: np.ndarray, fold: np.ndarray, top: np.ndarray, heavy: float
) -> None:
    """The visible upper lid between its fold and its edge, if it droops."""
    if heavy > 0.05:
        sketch.fill(band(xs, fold, np.maximum(top, fold)), mix(who.skin, (120, 70, 80), 0.5 * heavy))
        sketch.line(np.stack([xs, fold], 1), crease(who.skin, 0.7 * heavy), LINE)


def draw_tears(sketch: Sketch, who: Identity, amount: float) -> None:
    """Draw tears of both eyes, with a length by `amount`."""
    if amount < 0.05:
        return
    length = 0.14 + 0.40 * amount
    for side in (-1, 1):
        x, y = side * (who.eye_spacing + 0.02), who.eye_y + 0.13
        run = np.array([(x - 0.02, y), (x + 0.02, y), (x + 0.055, y + length), (x - 0.055, y + length)])
        colour = mix(who.skin, (120, 200, 255), 0.55 + 0.45 * amount)
        sketch.fill(run, colour)
        sketch.fill(ellipse(x, y + length, 0.06, 0.065), colour)
        sketch.line(np.array([(x - 0.015, y + 0.05), (x - 0.02, y + length)]), (238, 250, 255), 0.025)


def draw_glasses(sketch: Sketch, who: Identity) -> None:
    """Draw glasses, if the person wears them."""
    if not who.glasses:
        return
    for side in (-1, 1):
        ring = ellipse(side * who.eye_spacing, who.eye_y + 0.02, who.eye_width + 0.06, who.eye_height + 0.09)
        sketch.line(np.concatenate([ring, ring[:2]]), (40, 40, 48), 0.03)
    sketch.line(np.array([(-0.10, who.eye_y), (0.10, who.eye_y)]), (40, 40, 48), 0.03)


_MOUTH_DARK: Colour = (52, 14, 18)
_TEETH: Colour = (246, 244, 236)
_MOUTH_T = np.linspace(-1, 1, 17)
_Q = _MOUTH_T * _MOUTH_T
_ROUND = np.sqrt(1 - _Q)


def _curves(
    who: Identity, units: Mapping[str, float], side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Horizontal positions, the edges of the opening (upper, lower), and the thickness of the lips."""
    pull, depress, one = units["lip_corner_pull"], units["lip_corner_depress"], units["one_sided_smile"]
    tight, press, sigh = units["lip_tighten"], units["lip_press"], units["sigh"]
    part, jaw, lift = units["lips_part"], units["jaw_drop"], units["upper_lip_raise"]
    width = (
        who.mouth_width
        * (1 + 0.28 * pull + 0.42 * units["lip_stretch"])
        * (1 - 0.36 * tight)
        * (1 - 0.52 * sigh)
    )
    corner = -0.17 * pull + 0.17 * depress
    corners = np.where(_MOUTH_T * side > 0, corner - 0.21 * one, corner)
    xs = _MOUTH_T * width * np.where(_MOUTH_T * side > 0, 1 + 0.25 * one, 1.0)
    middle = who.mouth_y + 0.05 * pull - 0.05 * depress - 0.05 * units["chin_raise"]
    line = middle + corners * _Q
    upper = line - (0.03 * part + 0.03 * jaw + 0.10 * lift + 0.05 * sigh) * _ROUND
    lower = line + (0.09 * part + 0.28 * jaw + 0.01 * lift + 0.09 * sigh) * _ROUND
    thickness = who.lip_thickness * (1 - 0.85 * press) * (1 - 0.5 * tight) * (1 + 0.25 * sigh)
    return xs, upper, lower, thickness


def draw_mouth(sketch: Sketch, who: Identity, units: Mapping[str, float], side: int) -> None:
    """Draw lips, opening and teeth; `side` is that of a one-sided smile."""
    xs, upper, lower, thickness = _curves(who, units, side)
    taper = 1 - _Q * _Q
    bow = 1 - 0.35 * np.exp(-((_MOUTH_T / 0.18) ** 2))
    sketch.fill(band(xs, upper - thickness * taper * bow, lower + thickness * 1.15 * taper), who.lips)
    gap = float((lower - upper).max())
    if gap > 0.025:
        sketch.fill(band(xs, upper, lower), _MOUTH_DARK)
        teeth = min(0.075, 0.6 * gap) * (1 - min(1.0, 1.5 * units["sigh"]))
        if teeth > 0.02:
            edge = np.minimum(upper + teeth, lower)
            sketch.fill(band(xs, upper, edge), _TEETH)
    else:
        sketch.line(np.stack([xs, (upper + lower) / 2], 1), mix(who.lips, _MOUTH_DARK, 0.75), 0.04)
    _creases(sketch, who, units, (xs, upper, lower), side)
    if who.moustache:
        edge = (upper - thickness - 0.01)[3:-3]
        sketch.fill(band(xs[3:-3], edge - 0.07, edge), who.hair)


def _creases(
    sketch: Sketch,
    who: Identity,
    units: Mapping[str, float],
    curves: tuple[np.ndarray, np.ndarray, np.ndarray],
    side: int,
) -> None:
    """The creases around the mouth from pressing, tightening, stretching and pulling."""
    xs, upper, lower = curves
    ends = ((-1, xs[0], (upper[0] + lower[0]) / 2), (1, xs[-1], (upper[-1] + lower[-1]) / 2))
    for end, x, y in ends:
        for unit, shape in (
            ("lip_corner_depress", [(0.03, 0.01), (0.08, 0.08), (0.07, 0.18)]),
            ("lip_press", [(0.02, -0.08), (0.07, 0.0), (0.02, 0.08)]),
            ("lip_stretch", [(0.10, -0.11), (0.13, 0.0), (0.10, 0.13)]),
        ):
            if units[unit] > 0.05:
                sketch.line(
                    np.array(shape) * (end, 1) + np.array((x, y)), crease(who.skin, units[unit]), LINE
                )
        one = units["one_sided_smile"]
        if one > 0.05 and end == side:
            for bend in (
                [(0.05, -0.09), (0.11, -0.02), (0.09, 0.08)],
                [(0.13, -0.12), (0.19, -0.02), (0.16, 0.09)],
            ):
                sketch.line(np.array(bend) * (end, 1) + (x, y), crease(who.skin, one), LINE)
    tight = units["lip_tighten"]
    if tight > 0.05:
        top, bottom = float(upper[8]), float(lower[8])
        for x in (-0.13, -0.045, 0.045, 0.13):
            sketch.line(np.array([(x, top - 0.07), (x * 1.25, top - 0.12)]), crease(who.skin, tight), LINE)
            sketch.line(
                np.array([(x, bottom + 0.08), (x * 1.25, bottom + 0.13)]), crease(who.skin, tight), LINE
            )


def draw_chin(sketch: Sketch, who: Identity, units: Mapping[str, float]) -> None:
    """Draw the chin, with dimples if it is raised."""
    chin = units["chin_raise"]
    if chin > 0.05:
        y = who.mouth_y + 0.24
        for x in (-0.11, -0.035, 0.035, 0.11):
            sketch.fill(ellipse(x, y + 2.0 * x * x, 0.024, 0.03), crease(who.skin, 0.8 * chin))
        t = np.linspace(-1, 1, 7)
        sketch.line(np.stack([t * 0.15, y - 0.07 + 0.05 * t * t], 1), crease(who.skin, chin), LINE)
    else:
        t = np.linspace(-1, 1, 5)
        y = who.mouth_y + 0.22 + 0.24 * units["jaw_drop"]
        sketch.line(np.stack([t * 0.09, y + 0.02 * t * t], 1), mix(who.skin, _MOUTH_DARK, 0.15), LINE)
