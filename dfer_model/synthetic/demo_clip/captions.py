"""Training data of the demo CLIP: faces with random action units, and true captions of them.

Neither uses expression classes. The units of a face are sampled at random; a unit may add one that usually
moves with it (pairs such as inner and outer brow raiser), and never one that cannot be visible with it (a lip
cannot be pressed in an open mouth). Captions have many phrasings of each action unit.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dfer_model.synthetic.drawn_faces.face import render
from dfer_model.synthetic.drawn_faces.people import draw_identity, draw_view
from dfer_model.synthetic.drawn_faces.units import UNIT_INDEX, UNITS

from ...yaml_loader import load_yaml

SEEN = 0.20  # a caption may name a unit from this amount
AT_REST = 0.08  # a caption may call a unit absent up to this amount

_PAIRS: tuple[tuple[str, str], ...] = (
    ("inner_brow_raise", "outer_brow_raise"),
    ("inner_brow_raise", "forehead_wrinkle"),
    ("inner_brow_raise", "brow_lower"),
    ("cheek_raise", "lip_corner_pull"),
    ("lid_tighten", "brow_lower"),
    ("lid_tighten", "cheek_raise"),
    ("lid_raise", "outer_brow_raise"),
    ("nose_wrinkle", "upper_lip_raise"),
    ("nose_wrinkle", "lid_tighten"),
    ("lips_part", "jaw_drop"),
    ("lips_part", "lip_stretch"),
    ("lip_corner_depress", "chin_raise"),
    ("lip_corner_depress", "lid_droop"),
    ("lip_tighten", "chin_raise"),
    ("lip_tighten", "lid_tighten"),
    ("muscle_tense", "lip_press"),
    ("head_down", "gaze_down"),
    ("nostril_flare", "nose_wrinkle"),
    ("tears", "lid_droop"),
)
_NEVER_TOGETHER: tuple[tuple[str, ...], ...] = (
    ("lip_press", "lips_part", "sigh"),
    ("lip_press", "jaw_drop", "sigh"),
    ("lip_press", "upper_lip_raise"),
    ("lip_corner_pull", "lip_corner_depress", "one_sided_smile", "sigh"),
    ("lip_corner_pull", "lip_tighten"),
    ("lip_stretch", "lip_tighten", "sigh"),
    ("lid_raise", "lid_tighten", "lid_droop"),
    ("head_up", "head_down"),
    ("gaze_down", "gaze_aside"),
    ("brow_split", "brow_droop", "brow_lower"),
    ("brow_split", "inner_brow_raise"),
    ("brow_split", "outer_brow_raise"),
    ("brow_droop", "outer_brow_raise"),
)
_TRAINING = 0x7472616E  # first word of the seeds of training people; tests and datasets use others
_PARTNER_PROBABILITY = 0.25
_REST_PROBABILITY = 0.08
_COUNT_PROBABILITIES = (0.12, 0.20, 0.26, 0.22, 0.13, 0.07)  # of 1..6 units named in a caption
_PREFIXES = (
    "a face with ", "a person with ", "a photo of a face with ", "a drawing of a face with ", "someone with ",
    "the face shows ", "this face has ", "facial features: ", "showing ", "it includes ",
)  # fmt: skip


def _exclusions() -> np.ndarray:
    """Units that cannot be visible together: (units, units) bool."""
    excluded = np.zeros((len(UNITS), len(UNITS)), dtype=bool)
    for group in _NEVER_TOGETHER:
        rows = [UNIT_INDEX[name] for name in group]
        excluded[np.ix_(rows, rows)] = True
    np.fill_diagonal(excluded, False)
    return excluded


_EXCLUDED = _exclusions()
_PARTNERS = [
    [UNIT_INDEX[b] for a, b in _PAIRS if a == name] + [UNIT_INDEX[a] for a, b in _PAIRS if b == name]
    for name in UNITS
]


def random_units(rng: np.random.Generator) -> np.ndarray:
    """The units of a training face, (units,) float32 in 0..1: none, or some at random in random amounts."""
    units = np.zeros(len(UNITS), dtype=np.float32)
    if rng.random() < _REST_PROBABILITY:
        return units
    drawn = list(rng.permutation(len(UNITS))[: rng.integers(1, 7)])
    overall = rng.uniform(0.35, 1.0)
    while drawn:
        unit = int(drawn.pop(0))
        if (units[_EXCLUDED[unit]] > 0).any():
            continue
        units[unit] = overall * rng.uniform(0.5, 1.0)
        partners = _PARTNERS[unit]
        if partners and rng.random() < _PARTNER_PROBABILITY:
            drawn.append(partners[rng.integers(len(partners))])
    return units


def training_face(seed: int, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Face `index` of a training set, each a new person: image (size, size, 3) uint8, and its units."""
    rng = np.random.default_rng((_TRAINING, seed, index))
    who, units, view = draw_identity(rng), random_units(rng), draw_view(rng)
    return render(who, units, view, size, rng), units


class Captioner:
    """Captions for units, and the truth of captions for faces."""

    def __init__(self) -> None:
        self.sayings: tuple[Saying, ...] = sayings()
        self.needs = np.array([[u in s.needs for u in UNITS] for s in self.sayings])  # (sayings, units)
        self.lacks = np.array([[u in s.lacks for u in UNITS] for s in self.sayings])

    def true_of(self, units: np.ndarray) -> np.ndarray:
        """Which sayings are true of which faces: (faces, units) -> (faces, sayings) bool."""
        hidden, moved = (units < SEEN).astype(np.int32), (units > AT_REST).astype(np.int32)
        true: np.ndarray = (hidden @ self.needs.T + moved @ self.lacks.T) == 0
        return true

    def caption(self, units: np.ndarray, rng: np.random.Generator) -> tuple[str, list[int]]:
        """A caption of 1 to 6 sayings true of a face, and the indices of these sayings.

        A face without true sayings (everything moves a little) has the caption "a face".
        """
        true = np.flatnonzero(self.true_of(units[None])[0])
        if len(true) == 0:
            return "a face", []
        # Visible units are named more often than absent ones.
        weight = np.where(self.needs[true].any(axis=1), 1.0, 0.35)
        count = min(len(true), 1 + int(rng.choice(6, p=_COUNT_PROBABILITIES)))
        chosen = rng.choice(true, size=count, replace=False, p=weight / weight.sum())
        words = [self.sayings[i].phrases[rng.integers(len(self.sayings[i].phrases))] for i in chosen]
        if count < 4 and rng.random() < 0.15:  # a second phrasing of the same saying
            words.append(self.sayings[chosen[0]].phrases[rng.integers(len(self.sayings[chosen[0]].phrases))])
        return _sentence(words, rng), [int(i) for i in chosen]

    def contradictions(self, captions: list[list[int]], units: np.ndarray) -> np.ndarray:
        """Which captions are not true of which faces with these `units`: (faces, captions) bool."""
        untrue = ~self.true_of(units)  # (faces, sayings)
        named = np.zeros((len(captions), len(self.sayings)), dtype=np.int32)
        for row, caption in enumerate(captions):
            named[row, caption] = 1
        contradicted: np.ndarray = (untrue.astype(np.int32) @ named.T) > 0
        return contradicted


def _sentence(phrases: list[str], rng: np.random.Generator) -> str:
    style = rng.random()
    if len(phrases) == 1:
        body = phrases[0]
    elif len(phrases) == 2 or style < 0.55:
        body = ", ".join(phrases[:-1]) + (" and " if len(phrases) == 2 else ", and ") + phrases[-1]
    elif style < 0.8:
        body = ", ".join(phrases)
    else:
        body = " and ".join(phrases) if len(phrases) < 4 else "; ".join(phrases)
    prefix = _PREFIXES[rng.integers(len(_PREFIXES))] if rng.random() < 0.3 else ""
    return prefix + body + ("." if rng.random() < 0.6 else "")


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
"""The descriptors of the paper's appendix A, used to test the demo CLIP; they are never part of captions."""

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
"""The units that move in each region of the face; a region is at rest if none of them does."""


@dataclass(frozen=True)
class Saying:
    """Phrasings that are true of a face whose `needs` are all visible and whose `lacks` are all at rest."""

    needs: tuple[str, ...]
    lacks: tuple[str, ...]
    phrases: tuple[str, ...]


def expand(pattern: str) -> list[str]:
    """All phrases of a pattern: `{a|b} c` is "a c" and "b c"; an empty alternative leaves no double space."""
    parts = [part.split("|") for part in re.split(r"[{}]", pattern)]
    return [" ".join("".join(choice).split()) for choice in itertools.product(*parts)]


@cache
def sayings() -> tuple[Saying, ...]:
    """Every saying with its phrases, without those of `HELD_OUT`."""
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
