"""Head, hair, forehead, cheeks, nose and neck of a drawn face."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .people import Colour, Identity
from .sketch import Sketch, ellipse, mix

LINE = 0.035  # width of a wrinkle
_DARK: Colour = (40, 22, 18)
_ANGLES = np.linspace(0, 2 * np.pi, 40, endpoint=False)


def crease(skin: Colour, strength: float) -> Colour:
    """The colour of a wrinkle of that strength."""
    return mix(skin, _DARK, 0.75 * strength)


def draw_behind(sketch: Sketch, who: Identity, units: Mapping[str, float]) -> None:
    """Draw long hair, shoulders and neck, with tensed neck muscles."""
    if who.hair_style == "long":
        sketch.fill(ellipse(0, 0.15, who.face_width + 0.24, 1.22), who.hair, flat=True)
    if who.hair_style == "bun":
        sketch.fill(ellipse(0, -1.12, 0.32, 0.25), who.hair, flat=True)
    shadow = mix(who.skin, _DARK, 0.22)
    neck = np.array([(-0.36, 0.6), (0.36, 0.6), (0.42, 1.35), (-0.42, 1.35)])
    sketch.fill(neck, shadow, flat=True)
    shirt = mix(who.iris, (60, 60, 90), 0.5)
    sketch.fill(np.array([(-1.2, 1.4), (-0.5, 1.18), (0.5, 1.18), (1.2, 1.4)]), shirt, flat=True)
    tense = units["muscle_tense"]
    if tense > 0.05:
        for x in (-0.24, -0.1, 0.1, 0.24):
            sketch.line(
                np.array([(x, 0.9), (x * 1.3, 1.25)]), mix(shadow, _DARK, 0.8 * tense), LINE * 1.3, flat=True
            )


def draw_head(sketch: Sketch, who: Identity, units: Mapping[str, float]) -> None:
    """Draw ears and the outline of the face, longer with a dropped jaw, shorter with a retracted chin."""
    for side in (-1, 1):
        sketch.fill(ellipse(side * who.face_width, 0.02, 0.12, 0.2), mix(who.skin, _DARK, 0.15), flat=True)
    chin = who.chin + 0.14 * units["jaw_drop"] - 0.14 * units["chin_retract"]
    s, c = np.sin(_ANGLES), np.cos(_ANGLES)
    # Below the eyes the width changes from that of the cheeks to that of the jaw.
    width = who.face_width + (who.jaw_width - who.face_width) * 0.55 * np.maximum(s, 0) ** 1.5
    outline = np.stack([c * width, np.where(s > 0, s * chin, s)], axis=1)
    if units["head_up"] > 0.05:
        under = outline + np.array((0, 0.10 * units["head_up"]))
        sketch.fill(under, mix(who.skin, _DARK, 0.38), flat=True)
    sketch.fill(outline, who.skin, flat=True)
    retract = units["chin_retract"]
    if retract > 0.05:
        for lift, wide in ((0.02, 0.36), (0.11, 0.28)):
            t = np.linspace(-1, 1, 7)
            arc = np.stack([t * wide, chin - lift - 0.10 * t * t], axis=1)
            sketch.line(arc, crease(who.skin, retract), LINE * 1.2, flat=True)


def draw_hair(sketch: Sketch, who: Identity) -> None:
    """The hair over the forehead."""
    if who.hair_style == "bald":
        return
    low = {"short": -0.72, "long": -0.66, "bun": -0.74, "fringe": -0.58}[who.hair_style]
    t = np.linspace(-1, 1, 13)
    cap = np.stack([t * (who.face_width + 0.05), -1.10 + 0.55 * np.abs(t) ** 3], axis=1)
    edge = np.stack([t[::-1] * (who.face_width + 0.01), low + 0.30 * np.abs(t[::-1]) ** 4], axis=1)
    sketch.fill(np.concatenate([cap, edge]), who.hair, flat=True)


def draw_forehead(sketch: Sketch, who: Identity, units: Mapping[str, float]) -> None:
    """Wrinkles across, the knots of tension, and the furrow between the brows."""
    across = max(units["forehead_wrinkle"], who.old_lines * 0.6)
    t = np.linspace(-1, 1, 9)
    if across > 0.05:
        for y in (-0.66, -0.58, -0.50):
            wave = np.stack([t * 0.38, y + 0.02 * np.cos(6 * t)], axis=1)
            sketch.line(wave, crease(who.skin, across), LINE)
    tense = units["forehead_tense"]
    if tense > 0.05:
        for side in (-1, 1):
            bulge = mix(who.skin, (255, 250, 240), 0.5 * tense)
            sketch.fill(ellipse(side * 0.20, -0.54, 0.10, 0.09), bulge)
            for x in (0.10, 0.31):
                knot = np.array([(x, -0.66), (x - 0.035, -0.56), (x + 0.02, -0.46)]) * (side, 1)
                sketch.line(knot, crease(who.skin, tense), LINE)
    furrow = max(units["brow_lower"], 0.6 * units["nose_wrinkle"])
    if furrow > 0.05:
        for side in (-1, 1):
            sketch.line(
                np.array([(0.05, -0.42), (0.06, -0.20)]) * (side, 1), crease(who.skin, furrow), LINE * 1.2
            )


def draw_cheeks(sketch: Sketch, who: Identity, units: Mapping[str, float], blow: float) -> None:
    """Raised cheeks, crow's feet, folds from nose to mouth, clenched jaw muscles, blown cheeks."""
    raised, fold = units["cheek_raise"], max(units["lip_corner_pull"], units["upper_lip_raise"])
    y = who.eye_y
    for side in (-1, 1):
        if raised > 0.05:
            cheek = ellipse(side * 0.42, 0.22 - 0.05 * raised, 0.17, 0.12)
            sketch.fill(cheek, mix(who.skin, (236, 110, 100), 0.42 * raised))
            outer = who.eye_spacing + who.eye_width
            for dy in (-0.08, 0.0, 0.08):
                feet = np.array([(outer + 0.03, y + 0.3 * dy), (outer + 0.15, y + 1.5 * dy)]) * (side, 1)
                sketch.line(feet, crease(who.skin, raised), LINE)
        if fold > 0.05:
            line = np.array([(0.17, 0.24), (0.30, 0.36), (who.mouth_width + 0.09, 0.50)]) * (side, 1)
            sketch.line(line, crease(who.skin, 0.6 * fold), LINE)
        if blow > 0.05:
            sketch.fill(ellipse(side * 0.44, 0.42, 0.13, 0.14), mix(who.skin, (255, 235, 225), 0.5 * blow))
            sketch.line(ellipse(side * 0.44, 0.42, 0.13, 0.14)[:13], crease(who.skin, 0.45 * blow), LINE)
        tense = units["muscle_tense"]
        if tense > 0.05:
            for x in (0.46, 0.56):
                jaw = np.array([(x, 0.34), (x - 0.03, 0.48), (x - 0.10, 0.62)]) * (side, 1)
                sketch.line(jaw, crease(who.skin, tense), LINE)


def draw_nose(sketch: Sketch, who: Identity, units: Mapping[str, float]) -> None:
    """Draw the nose, shorter and with creases if wrinkled, and the nostrils."""
    wrinkle, flare = units["nose_wrinkle"], units["nostril_flare"]
    tip = who.eye_y + 0.08 + who.nose_length - 0.05 * wrinkle
    half = who.nose_width * (1 + 0.35 * flare + 0.15 * wrinkle)
    shade = mix(who.skin, _DARK, 0.30)
    sketch.line(
        np.array([(0.03, who.eye_y + 0.06), (half * 0.6, tip - 0.05)]), mix(who.skin, _DARK, 0.2), LINE
    )
    sketch.line(
        np.array(
            [(-half, tip - 0.03), (-half * 0.6, tip + 0.02), (half * 0.6, tip + 0.02), (half, tip - 0.03)]
        ),
        shade,
        LINE,
    )
    for side in (-1, 1):
        nostril = ellipse(side * half * 0.62, tip, 0.026 + 0.035 * flare, 0.018 + 0.03 * flare)
        sketch.fill(nostril, mix(who.skin, _DARK, 0.65 + 0.35 * flare))
        if flare > 0.05:
            wing = np.array([(half * 0.8, tip - 0.10), (half * 1.25, tip - 0.05), (half * 1.15, tip + 0.03)])
            sketch.line(wing * (side, 1), crease(who.skin, flare), LINE)
        if wrinkle > 0.05:
            alar = np.array([(half * 0.7, tip - 0.16), (half * 1.5, tip - 0.06), (half * 1.9, tip + 0.08)])
            sketch.line(alar * (side, 1), crease(who.skin, 0.8 * wrinkle), LINE)
    if wrinkle > 0.05:
        for y in (0.0, 0.075, 0.15):
            bridge = np.array(
                [(-0.10, who.eye_y + y + 0.03), (0, who.eye_y + y - 0.01), (0.10, who.eye_y + y + 0.03)]
            )
            sketch.line(bridge, crease(who.skin, wrinkle), LINE)


def draw_marks(sketch: Sketch, who: Identity) -> None:
    """Draw freckles, at positions fixed per person."""
    spots = np.random.default_rng(who.freckles + who.skin[0] * 256 + who.skin[1])
    for _ in range(who.freckles):
        x, y = spots.uniform(-0.5, 0.5), spots.uniform(0.08, 0.32)
        sketch.fill(ellipse(x, y, 0.018, 0.018)[::4], mix(who.skin, (110, 50, 20), 0.4))
