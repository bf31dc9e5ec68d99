"""One item of an answer -> the descriptors in it: labels, facial regions, explanations, tidy wording."""

from __future__ import annotations

import re

LONGEST = 120  # characters; CLIP reads 77 tokens of a whole description, so a longer descriptor is prose

_PARTS = (
    r"eyes?|eyebrows?|brows?|eyelids?|lids?|eyelash(?:es)?|lash(?:es)?|pupils?|iris|irises|sclera|mouth|lips?|"
    r"teeth|tooth|tongue|jaws?|jawline|chin|cheeks?|cheekbones?|dimples?|nose|nostrils?|forehead|faces?|facial|"
    r"head|neck|throat|skin|muscles?|temples?|ears?|shoulders?"
)
_SIGNS = (
    r"gaze|stare|glare|look|squint|smiles?|grin|frown|sneer|smirk|pout|grimace|tears?|wrinkles?|creases?|lines?|"
    r"furrows?|crow's|expression|complexion|blush|sweat|dimpling|dilation|posture|blinking"
)
_AROUND = (  # words that may stand beside a region in a label without making a feature of it
    r"the|his|her|their|and|or|of|region|area|position|movement|shape|appearance|contact|overall|upper|lower|"
    r"inner|outer|middle|other|muscle|expression|line|corners"
)
_STATES = (  # what a part of the face can be, beside participles
    r"open|wide|narrow|closed|shut|tight|tense|loose|soft|hard|blank|dull|watery|teary|moist|downward|upward|"
    r"droopy|puffy|glassy|shiny|straight|flat|still|neutral|dark|bright|low|high|lower|thin|firm|red|pale|agape|ajar|slack|smooth|"
    r"\w+ed|\w+ing|\w+wn"
)
_SIDES = ("upper", "lower", "inner", "outer", "and", "or")
_PLURALS = {name: f"{name}s" for name in ("eye", "eyebrow", "brow", "lip", "cheek", "nostril", "eyelid")}

_FACE_WORD = re.compile(rf"\b(?:{_PARTS}|{_SIGNS})\b", re.IGNORECASE)
_REGION_WORD = re.compile(rf"(?:{_PARTS}|{_AROUND})", re.IGNORECASE)
_PART_WORD = re.compile(_PARTS, re.IGNORECASE)
_STATE = re.compile(rf"(?:{_STATES})", re.IGNORECASE)
_PREPOSITION = re.compile(
    r"\b(?:in|into|at|of|above|below|under|with|between|by|to|from|around|over)\b", re.IGNORECASE
)
_LABEL = re.compile(r"^([^:]{1,60}?)(?:\s*:|\s+[-–—=])\s+(\S.*)$")
_TALK = re.compile(
    r"\b(?:is|are|was|were|may|might|can|could|will|would|often|tends?|you|your|i|we|it|they|this|these|that|when|"
    r"while|if|because|although|someone|people|person)\b",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"^(?:(?:the|their|his|her|its|both|a|an)\s+)?((?:[\w'-]+\s+){0,2}?(?:PARTS))\s+"
    r"(?:(?:is|are|may|might|can|could|will|often|usually|typically|sometimes|visibly|be|become|becomes|appear|"
    r"appears)\s+)+(\S.*)$".replace("PARTS", _PARTS),
    re.IGNORECASE,
)
_EXPLANATION = re.compile(
    r"(?:,?\s+(?:which|indicating|suggesting|conveying|signal+ing|reflecting|expressing|as if)\b"
    r"|,\s+(?:often|sometimes|usually|typically|possibly|perhaps|especially|particularly|creating|giving|showing|"
    r"making|forming|resulting|leading|causing|producing|revealing|due|because|so|like|may|can)\b).*$",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\([^()]*\)|\[\d+\]")
_EMPHASIS = re.compile(r"[*`~]+|(?<!\w)_+|_+(?!\w)")
_UNWANTED = re.compile(r"[^\w\s,.;:'%/&+!?°-]|[_\d]{5,}|_")
_CONJUNCTION = re.compile(r"^(?:and|or|as well as|plus)\s+", re.IGNORECASE)


def names_face(text: str) -> bool:
    """Whether a part of the face, or a sign on it such as tears, is named."""
    return bool(_FACE_WORD.search(text))


def talks(text: str) -> bool:
    """Whether the words are a sentence about faces rather than the name of a feature."""
    return bool(_TALK.search(text))


def without_emphasis(text: str) -> str:
    """The text without Markdown's bold, italics and code marks."""
    return _EMPHASIS.sub("", text)


def region(label: str) -> str | None:
    """The facial region that is all a label or heading names: "Eye Position:" -> "eyes"; otherwise None."""
    words = re.sub(r"[/&,]", " and ", without_emphasis(label).strip(" :.")).lower().split()
    if not words or len(words) > 6 or not all(_REGION_WORD.fullmatch(word) for word in words):
        return None
    kept = [word for word in words if word in _SIDES or (_PART_WORD.fullmatch(word) and word != "facial")]
    if not any(map(_PART_WORD.fullmatch, kept)):
        return None
    qualified = any(word in _SIDES[:4] for word in kept)  # "lower lip" is one lip, "lip position" is of both
    return _CONJUNCTION.sub("", " ".join(kept if qualified else [_PLURALS.get(word, word) for word in kept]))


def from_item(text: str, under: str | None = None) -> list[str]:
    """The descriptors of one list item; `under` is the facial region whose heading it stands below.

    A label is the feature when a sentence explains it ("Furrowed brow: The eyebrows are drawn together.");
    a label that only names a region gives way to the text after it ("Eyes: narrowed" is "eyes narrowed").
    """
    text = _ASIDE.sub(" ", without_emphasis(text)).strip()
    labelled = _LABEL.match(text)
    if labelled is None:
        return _features(text.rstrip(": "), under)
    label, value = labelled.groups()
    named = region(label)
    if named is not None:
        return _features(value, named)
    if names_face(label) or _explains(value):
        return tidy(label)
    return _features(value, under)


def from_list(sentence: str) -> list[str]:
    """The descriptors of a sentence that lists them: "a smiling mouth, raised cheeks, and arched brows."."""
    listed = _ASIDE.sub(" ", without_emphasis(sentence)).strip()
    parts = [
        part.strip()
        for part in re.split(r"[;,]|\s[–—]\s", _EXPLANATION.sub("", _glue(listed)))
        if part.strip()
    ]
    if len(parts) == 1:
        sides = re.split(r"\s+and\s+", parts[0])
        parts = sides if len(sides) == 2 and all(map(names_face, sides)) else parts
    found = []
    for part in _join_adjectives(parts):
        phrase = _without_subject(_CONJUNCTION.sub("", part))
        sensible = names_face(phrase) or 2 <= len(phrase.split()) <= 4 or _STATE.fullmatch(phrase)
        if sensible and not talks(phrase):
            found += tidy(phrase)
    return found


def tidy(text: str) -> list[str]:
    """The descriptor without markup, control characters and closing punctuation; none if nothing is left."""
    printable = "".join(char if char.isprintable() else " " for char in text.replace("’", "'"))
    words = " ".join(_UNWANTED.sub(" ", printable).split())
    words = re.sub(r"\s+([,.;:])", r"\1", words).strip(" ,.;:!?'-/&+")
    if len(words) > LONGEST or sum(char.isalpha() for char in words) < 2:
        return []
    first = words.split()[0]
    return [words[0].lower() + words[1:] if first[1:] == first[1:].lower() else words]


def _features(text: str, under: str | None) -> list[str]:
    text = _EXPLANATION.sub("", _glue(text))
    parts = [_CONJUNCTION.sub("", part.strip()) for part in re.split(r"[;,]", text) if part.strip()]
    if under is None and not all(map(names_face, parts)):
        parts = [text]
    return [
        descriptor
        for part in parts
        for descriptor in tidy(_with_region(_without_subject(part.strip()), under))
    ]


def _with_region(phrase: str, under: str | None) -> str:
    """Below "Eyes", "wide open" says what the eyes are, and "intense stare" stands for itself."""
    words = phrase.lower().split()
    if under is None or not words or names_face(_PREPOSITION.split(phrase)[0]):
        return phrase
    described = next((word for word in words if not word.endswith("ly")), words[0]).strip(",")
    incomplete = _STATE.fullmatch(described) or described in ("corners", "edges", "sides")
    return f"{under} {phrase[0].lower()}{phrase[1:]}" if incomplete else phrase


def _without_subject(phrase: str) -> str:
    """ "The eyes are often narrowed" -> "eyes narrowed"."""
    sentence = _SUBJECT.match(phrase)
    return " ".join(sentence.groups()) if sentence else phrase


def _join_adjectives(parts: list[str]) -> list[str]:
    """ "wide", "staring eyes" are one feature whose adjectives a comma parts."""
    joined: list[str] = []
    waiting = ""
    for index, part in enumerate(parts):
        lonely = " " not in part and not names_face(part) and index < len(parts) - 1
        if lonely and _STATE.fullmatch(part):
            waiting += f"{part}, "
        else:
            joined.append(waiting + part)
            waiting = ""
    return joined


def _glue(text: str) -> str:
    """Clauses that belong to the words before them: ", with teeth visible", "lips that are pressed"."""
    return re.sub(r"\s+(?:that|which) (?:is|are)\s", " ", re.sub(r",\s+with\s", " with ", text))


def _explains(text: str) -> bool:
    return talks(text) or (text.endswith(".") and len(text.split()) > 5)
