"""The mouth and the chin of a drawn face."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .head import LINE, crease
from .people import Colour, Identity
from .sketch import Sketch, band, ellipse, mix

_DARK: Colour = (52, 14, 18)
_TEETH: Colour = (246, 244, 236)
_T = np.linspace(-1, 1, 17)
_Q = _T * _T
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
    corners = np.where(_T * side > 0, corner - 0.21 * one, corner)
    xs = _T * width * np.where(_T * side > 0, 1 + 0.25 * one, 1.0)
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
    bow = 1 - 0.35 * np.exp(-((_T / 0.18) ** 2))
    sketch.fill(band(xs, upper - thickness * taper * bow, lower + thickness * 1.15 * taper), who.lips)
    gap = float((lower - upper).max())
    if gap > 0.025:
        sketch.fill(band(xs, upper, lower), _DARK)
        teeth = min(0.075, 0.6 * gap) * (1 - min(1.0, 1.5 * units["sigh"]))
        if teeth > 0.02:
            edge = np.minimum(upper + teeth, lower)
            sketch.fill(band(xs, upper, edge), _TEETH)
    else:
        sketch.line(np.stack([xs, (upper + lower) / 2], 1), mix(who.lips, _DARK, 0.75), 0.04)
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
        sketch.line(np.stack([t * 0.09, y + 0.02 * t * t], 1), mix(who.skin, _DARK, 0.15), LINE)
