"""Action units of a drawn face, and which of them make up each expression.

A unit is one visible movement with an amount from 0 (at rest) to 1 (as far as it goes). Where the Facial
Action Coding System (FACS) has a number for it, the number stands beside it (Ekman et al., 2002). The
others are things that descriptions of expressions need too: tears, a drooping outer brow, a sigh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNITS: tuple[str, ...] = (
    "inner_brow_raise",  # AU1
    "outer_brow_raise",  # AU2
    "brow_lower",  # AU4, with the furrow between the brows
    "brow_droop",  # the outer ends hang
    "brow_split",  # AU2 on one side, AU4 on the other
    "forehead_wrinkle",  # lines across the forehead
    "forehead_tense",  # knotted skin above the brows
    "lid_raise",  # AU5
    "cheek_raise",  # AU6, with the wrinkles beside the eyes
    "lid_tighten",  # AU7
    "lid_droop",  # AU43, partly closed
    "pupil_dilate",
    "gaze_down",  # AU64
    "gaze_aside",  # AU61 or AU62
    "nose_wrinkle",  # AU9
    "nostril_flare",  # AU38
    "upper_lip_raise",  # AU10
    "lip_corner_pull",  # AU12
    "one_sided_smile",  # AU12 and AU14 on one side
    "lip_corner_depress",  # AU15
    "chin_raise",  # AU17
    "lip_stretch",  # AU20
    "lip_tighten",  # AU23
    "lip_press",  # AU24
    "lips_part",  # AU25
    "jaw_drop",  # AU26
    "sigh",  # AU33: breath blown out through rounded lips
    "head_up",  # AU53
    "head_down",  # AU54
    "chin_retract",  # AU58: the chin drawn back
    "muscle_tense",  # AU21 and clenched jaw muscles
    "tears",
)
UNIT_INDEX: dict[str, int] = {name: i for i, name in enumerate(UNITS)}

CLASS_NAMES: tuple[str, ...] = (
    "happiness",
    "sadness",
    "neutral",
    "anger",
    "surprise",
    "disgust",
    "fear",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
)
"""The eleven classes of MAFW in its label order; the first seven are those of DFEW and FERV39k."""


@dataclass(frozen=True)
class Part:
    """A unit's part in an expression: how often it takes part, and its amount at full intensity."""

    probability: float
    low: float
    high: float


def _parts(**units: tuple[float, float, float]) -> dict[str, Part]:
    return {name: Part(*values) for name, values in units.items()}


# Every feature that appendix A of the DFER-CLIP paper names for a class is here with a probability of 0.9 or
# more, so that its sentences are true of the faces; the rarer units come from the FACS prototypes.
EXPRESSIONS: dict[str, dict[str, Part]] = {
    "happiness": _parts(
        lip_corner_pull=(1.0, 0.75, 1.0),
        cheek_raise=(1.0, 0.7, 1.0),
        outer_brow_raise=(0.9, 0.4, 0.7),
        lips_part=(0.5, 0.4, 0.9),
    ),
    "sadness": _parts(
        tears=(0.9, 0.6, 1.0),
        lip_corner_depress=(1.0, 0.6, 1.0),
        lid_droop=(1.0, 0.6, 1.0),
        forehead_wrinkle=(0.9, 0.5, 1.0),
        inner_brow_raise=(0.9, 0.5, 1.0),
        chin_raise=(0.3, 0.3, 0.7),
    ),
    "neutral": {},
    "anger": _parts(
        brow_lower=(1.0, 0.7, 1.0),
        lid_tighten=(1.0, 0.6, 1.0),
        lip_tighten=(1.0, 0.6, 1.0),
        nostril_flare=(0.95, 0.6, 1.0),
        chin_raise=(0.15, 0.3, 0.6),
    ),
    "surprise": _parts(
        lid_raise=(1.0, 0.7, 1.0),
        jaw_drop=(1.0, 0.6, 1.0),
        lips_part=(1.0, 0.5, 1.0),
        inner_brow_raise=(1.0, 0.7, 1.0),
        outer_brow_raise=(1.0, 0.7, 1.0),
    ),
    "disgust": _parts(
        nose_wrinkle=(1.0, 0.7, 1.0),
        brow_lower=(1.0, 0.5, 0.8),
        lip_tighten=(0.95, 0.5, 0.8),
        lid_tighten=(1.0, 0.5, 0.9),
        upper_lip_raise=(0.5, 0.4, 0.8),
        lip_corner_depress=(0.3, 0.3, 0.6),
    ),
    "fear": _parts(
        inner_brow_raise=(1.0, 0.7, 1.0),
        outer_brow_raise=(1.0, 0.6, 0.9),
        brow_lower=(1.0, 0.5, 0.8),
        lips_part=(1.0, 0.6, 1.0),
        chin_retract=(0.95, 0.6, 1.0),
        lid_raise=(0.8, 0.4, 0.9),
        lip_stretch=(0.7, 0.4, 0.9),
    ),
    "contempt": _parts(
        one_sided_smile=(1.0, 0.7, 1.0),
        brow_split=(1.0, 0.6, 1.0),
        lid_tighten=(0.95, 0.4, 0.8),
        head_up=(0.95, 0.6, 1.0),
    ),
    "anxiety": _parts(
        forehead_tense=(1.0, 0.6, 1.0),
        lip_press=(1.0, 0.7, 1.0),
        pupil_dilate=(0.95, 0.7, 1.0),
        muscle_tense=(0.95, 0.6, 1.0),
        inner_brow_raise=(0.2, 0.3, 0.5),
    ),
    "helplessness": _parts(
        brow_droop=(1.0, 0.6, 1.0),
        gaze_down=(1.0, 0.7, 1.0),
        lip_corner_depress=(1.0, 0.5, 0.9),
        head_down=(0.3, 0.3, 0.8),
    ),
    "disappointment": _parts(
        lip_corner_depress=(1.0, 0.6, 1.0),
        brow_lower=(1.0, 0.4, 0.8),
        lid_tighten=(1.0, 0.5, 0.9),
        sigh=(0.95, 0.7, 1.0),
        head_down=(0.25, 0.3, 0.8),
    ),
}


def expression_units(class_name: str, rng: np.random.Generator) -> np.ndarray:
    """Random units of `class_name` at its apex and full intensity: (units,) float32 in 0..1.

    Raises KeyError for a class that cannot be drawn; `CLASS_NAMES` lists those that can.
    """
    units = np.zeros(len(UNITS), dtype=np.float32)
    for name, part in EXPRESSIONS[class_name].items():
        taken, amount = rng.random(), rng.uniform(part.low, part.high)
        if taken < part.probability:
            units[UNIT_INDEX[name]] = amount
    return units
