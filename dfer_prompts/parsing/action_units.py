"""Names of FACS action units and muscles, which do not describe an appearance."""

from __future__ import annotations

import re

CODE = re.compile(
    r"\b(?:AUs?|action units?)\s?\d{1,2}[A-E]?(?:\s*(?:[+,&/]|and)\s*(?:AU\s?)?\d{1,2}[A-E]?\b)*",
    re.IGNORECASE,
)
_PLACE = (
    r"(?:inner|outer|and|upper|lower|middle|lips?|lid|brow|eyebrow|cheek|chin|nose|nasolabial|furrow|corner|"
    r"jaw)"
)
_AGENT = (  # "brow lowerer" is always the name of a unit
    r"raisers?|lowerer|tightener|wrinkler|puller|depressor|deepener|puckerer|stretcher|funneler|pressor|"
    r"compressor|puffer|dimpler"
)
_MOVEMENT = (
    r"part|drop|stretch|suck|droop|thrust|pucker|sideways"  # "jaw drop" is a unit name only beside its code
)
_UNIT_NAME = re.compile(rf"(?:{_PLACE}\s+)*(?:{_AGENT})", re.IGNORECASE)
_UNIT_NAME_BY_CODE = re.compile(
    rf"(?:{_PLACE}\s+)*(?:{_AGENT})|(?:(?:{_PLACE}|mouth|tongue|head)\s+)+(?:{_MOVEMENT})", re.IGNORECASE
)
_MUSCLE = (
    r"(?:frontalis|corrugator(?:\s+supercilii)?|orbicularis(?:\s+(?:oculi|oris))?|zygomatic(?:us)?\s+(?:major|minor)"
    r"|zygomaticus|levator(?:\s+(?:labii|palpebrae|anguli|superioris|oris|alaeque|nasi))+"
    r"|depressor(?:\s+(?:anguli|labii|supercilii|septi|oris|inferioris|nasi))+|mentalis|risorius|buccinator"
    r"|platysma|masseter|procerus|nasalis|triangularis|temporalis|caninus)"
)
_MUSCLES = re.compile(
    r"(?:,?\s*\b(?:(?:caused|driven|produced|created|controlled)\s+)?"
    r"(?:by|via|through|using|from|due to)\s+)?"
    r"\b(?:(?:the\s+)?(?:contraction|action|activation|activity|engagement)\s+(?:of|in)\s+)?"
    rf"(?:the\s+)?(?:(?:medial|lateral|inner|outer)\s+)?{_MUSCLE}"
    rf"(?:\s*(?:,|and|&|/)\s*(?:the\s+)?{_MUSCLE})*"
    r"(?:\s+(?:muscles?|contracts?|contraction|activation|activity))*\b",
    re.IGNORECASE,
)
_ANY_MUSCLE = re.compile(rf"\b{_MUSCLE}\b", re.IGNORECASE)
_REMARK = re.compile(
    r"(?:facial )?(?:muscles?|muscle groups?|action units?|aus?|facs|codes?)"
    r"(?: (?:involved|used|codes?|names?))?(?:\(s\))?",
    re.IGNORECASE,
)


def is_unit_name(text: str, *, beside_code: bool = False) -> bool:
    """Whether the text is only the name of an action unit: "Brow Lowerer", or "Jaw Drop" beside its code."""
    pattern = _UNIT_NAME_BY_CODE if beside_code else _UNIT_NAME
    return bool(pattern.fullmatch(" ".join(re.sub(r"[^\w\s]", " ", text).split())))


def is_remark(label: str) -> bool:
    """Whether a label announces a code or a muscle: "Muscles involved", "FACS"."""
    return bool(_REMARK.fullmatch(label.strip()))


def names_muscle(text: str) -> bool:
    """Whether the text contains the Latin name of a muscle."""
    return bool(_ANY_MUSCLE.search(text))


def without_muscles(text: str) -> str:
    """ "lips pressed by the orbicularis oris" -> "lips pressed"."""
    return _MUSCLES.sub("", text).strip(" \t,;:–—-")
