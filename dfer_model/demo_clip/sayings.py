"""What can be said about a drawn face: many phrasings of each action unit, for the captions of the demo CLIP.

The patterns are in `sayings.yaml`: `{raised|lifted} {brows|eyebrows}` stands for all its combinations. No
pattern names an expression, and no phrase is one of `HELD_OUT`; README.md says how near some come.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..yaml_loader import load_yaml

HELD_OUT: frozenset[str] = frozenset(
    {
        "a smiling mouth", "raised cheeks", "wrinkled eyes", "arched eyebrows",
        "tears", "a downward turned mouth", "drooping upper eyelids", "a wrinkled forehead",
        "relaxed facial muscles", "a straight mouth", "a smooth forehead", "unremarkable eyebrows",
        "furrowed eyebrows", "narrow eyes", "tightened lips", "flared nostrils",
        "widened eyes", "an open mouth", "raised eyebrows", "a frozen expression",
        "a wrinkled nose", "lowered eyebrows", "a tightened mouth",
        "parted lips", "a furrowed brow", "a retracted chin",
        "one side of its mouth raised", "one eyebrow lower and one raised", "narrowed eyes", "a raised chin",
        "a tensed forehead", "tightly pressed lips", "pupil dilation", "tensed facial muscles",
        "drooping eyebrows", "a downward gaze", "a downturned mouth", "lacking expression", "a sighing face",
    }
)  # fmt: skip
"""The descriptors of the paper's appendix A, by which the demo CLIP is judged; no phrase is one of them."""

_BROWS = ("inner_brow_raise", "outer_brow_raise", "brow_lower", "brow_droop", "brow_split")
_FOREHEAD = ("forehead_wrinkle", "forehead_tense", "brow_lower")
_EYES = ("lid_raise", "lid_tighten", "lid_droop", "cheek_raise", "gaze_down", "gaze_aside")
_MOUTH = (
    "lip_corner_pull", "one_sided_smile", "lip_corner_depress", "upper_lip_raise", "lips_part", "jaw_drop",
    "sigh", "lip_press", "lip_tighten", "lip_stretch", "chin_raise",
)  # fmt: skip
_ELSEWHERE = (
    "nose_wrinkle", "nostril_flare", "head_up", "head_down", "chin_retract", "muscle_tense", "tears",
    "pupil_dilate",
)  # fmt: skip
REGIONS: dict[str, tuple[str, ...]] = {
    "brows": _BROWS,
    "forehead": _FOREHEAD,
    "eyes": _EYES,
    "mouth": _MOUTH,
    "all": tuple(dict.fromkeys((*_BROWS, *_FOREHEAD, *_EYES, *_MOUTH, *_ELSEWHERE))),
}
"""The units that move in each region of the face; a region is at rest when none of them does."""


@dataclass(frozen=True)
class Saying:
    """Phrasings that are true of a face whose `needs` are all seen and whose `lacks` are all at rest."""

    needs: tuple[str, ...]
    lacks: tuple[str, ...]
    phrases: tuple[str, ...]


def expand(pattern: str) -> list[str]:
    """All phrases of a pattern: `{a|b} c` is "a c" and "b c"; an empty alternative leaves no double space."""
    parts = [part.split("|") for part in re.split(r"[{}]", pattern)]
    return [" ".join("".join(choice).split()) for choice in itertools.product(*parts)]


@cache
def sayings() -> tuple[Saying, ...]:
    """Every saying with its phrases, those of `HELD_OUT` left out."""
    text = Path(__file__).with_name("sayings.yaml").read_text(encoding="utf-8")
    return tuple(
        Saying(
            needs=tuple(entry.get("needs", ())),
            lacks=REGIONS[entry["rests"]] if "rests" in entry else (),
            phrases=tuple(
                phrase
                for pattern in entry["patterns"]
                for phrase in expand(pattern)
                if phrase not in HELD_OUT
            ),
        )
        for entry in load_yaml(text)
    )
