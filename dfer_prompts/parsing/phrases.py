"""Extract the descriptors of one item: labels, facial regions, explanations, wording."""

from __future__ import annotations

import re
import unicodedata

from . import emotions, words
from . import words as facs
from .words import is_foreign, is_state, names_face, region, without_conjunction

LONGEST = 120  # characters; CLIP reads 77 tokens per description, so longer descriptors are prose

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"']|[^\x00-\x7f])")
_LABEL = re.compile(r"^([^:]{1,60}?)(?:\s*:|\s+[-–—=]\s|\s*(?:→|⇒|->|=>|-->))\s*(\S.*)$")
_NEXT_LABEL = re.compile(r"(?:[;,.]|\s[–—/|-])\s+(?=[^;,.:]{1,40}:\s)")
_TALK = re.compile(
    r"\b(?:is|are|was|were|may|might|can|could|will|would|often|tends?|you|your|i|we|it|they|has|have|had|this|these|that|when|"
    r"while|if|because|although|someone|people|person)\b",
    re.IGNORECASE,
)
_PHASE = re.compile(
    r"(?:(?:the|at|in|during)\s)*(?:early |late |initial |final )?"
    r"(?:onset|apex|offset|beginning|start|middle|peak|"
    r"end|ending|build-?up|rise|decay|fading|fade|release|phase|stage)(?: phase| stage)?(?: \d)?",
    re.IGNORECASE,
)
_CONTRAST = re.compile(
    r"^(?:vs\.?|versus|unlike|in contrast (?:to|with)|compared (?:to|with)|as opposed to|from)\b",
    re.IGNORECASE,
)
_CONTRAST_BEFORE = re.compile(
    r"^(?:unlike|in contrast (?:to|with)|compared (?:to|with)|as opposed to)\s[^,]{1,60}"
    r"(?:,\s+(?:where|which|whose|in which)\s[^,]{1,80})?,\s+",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r",\s+(?:unlike|in contrast (?:to|with)|compared (?:to|with)|as opposed to|whereas|different from)\b.*$"
    r"|\s+than (?:in|with|for) [\w ]{1,30}$",
    re.IGNORECASE,
)
_CIRCUMSTANCE = re.compile(
    r"^(?:(?P<when>as|when|while|once|after|if)|in|at|on|during|by|over|throughout|towards?|upon|before|with)"
    r"\s+(?P<clause>[^,;:]{1,60}),\s+(?=\S+\s+\S)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r",?\s+(?:(?:when|whenever|if|until|while|whereas)\s+|(?:as|once)\s+(?=(?:the|their|his|her|its|both)\s))",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^(?:(?:first|second|third|last|final|additional)(?:ly)?|fourth|fifth|sixth|next|then|also|in addition|"
    r"furthermore|moreover|meanwhile|(?:in the|at the|at its|during the)\s\w{1,12}),\s+"
    r"|^there (?:is|are)(?: also)?\s+",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"^(?:possibly|usually|sometimes|often|typically|perhaps|maybe|generally|frequently|occasionally|potentially)"
    r",?\s+(?=\S+\s+\S)",
    re.IGNORECASE,
)
_NOUNS = rf"{words.PARTS}|{words.SIGNS}|corners?|edges?|sides?|ends?|parts?|tips?|halves|half|bridge"
_SUBJECT = re.compile(
    r"^(?:(?:the|their|his|her|its|both|a|an)\s+)?"
    rf"((?:[\w'-]+\s+){{0,2}}?(?:{_NOUNS})"
    rf"(?:\s+of\s+(?:the|their|his|her)\s+(?:[\w'-]+\s+){{0,2}}?(?:{_NOUNS}))?)\s+"
    r"(?:(?:is|are|may|might|can|could|will|often|usually|typically|sometimes|visibly|be|become|becomes|appear|"
    r"appears)\s+)+(\S.*)$",
    re.IGNORECASE,
)
_DETERMINER = re.compile(r"^(?:the|their|his|her)\s+(?!(?:face|look|expression) of)(?=\S+\s)", re.IGNORECASE)
_BELONGS = re.compile(r",\s+(with|showing|revealing|exposing|baring|displaying|looking|but|yet)\s")
_RELATIVE = re.compile(r"\s+(?:that|which) (?:is|are)\s")
_EXPLANATION = re.compile(
    r"(?:,?\s+(?:which|so that|such that|indicating|suggesting|conveying|signal+ing|reflecting|expressing|"
    r"as if)\b"
    r"|,\s+(?:often|sometimes|usually|typically|possibly|perhaps|especially|particularly|creating|giving|"
    r"making|forming|resulting|leading|causing|producing|due|because|so|like|may|can)\b).*$",
    re.IGNORECASE,
)
_ASIDE = re.compile(  # brackets and braces not preceded by a colon are not a list
    r"\([^()]*\)|\([^()]*$|\[(?:AU)?\s?\d+\]"
    r"|(?<=[\w.,;'\")])\s*(?:\[[^\[\]]*(?:\]|$)|\{[^{}]*(?:\}|$))",
    re.IGNORECASE,
)
_CLASS_LABEL = re.compile(r"emotion|expression|class|category|label", re.IGNORECASE)
_MAY_BE_ASIDE = frozenset("()[]{}#/")
_BRACKET = re.compile(r"[\[\]{}]")
_COMMENT = re.compile(r"\s(?:#|//)\s.*$")
_MAY_EMPHASISE = frozenset("*`~_")
_EMPHASIS = re.compile(r"[*`~]+|(?<!\w)_+|_+(?!\w)")
_SPACE_BEFORE = re.compile(r"\s+([,.;:])")
_UNWANTED = re.compile(r"[^\w\s,.;:'%/&+!?°-]|[_\d]{5,}|_")
_ENDS_OPEN = re.compile(
    r"\b(?:a|an|the|and|or|with|of|into|between|his|her|their|its|is|are|that|which|from|for|as)$",
    re.IGNORECASE,
)
_LEFT_OVER = re.compile(r"[,;]\s+(?:and|or)$", re.IGNORECASE)
_OTHER_AND = re.compile(r"\s+(?:y|e|et|und|и)\s+", re.IGNORECASE)
_UNPLACED = re.compile(  # "wrinkles in the center": the heading has the region
    r"^(?:wrinkles|lines|creases|furrows|dimples)\s+(?:in|at|on|across|near|along)\s", re.IGNORECASE
)
_QUALIFIES = re.compile(r"\w+ly|upper|inner|outer|both|one|single|half|very|quite")
_PLACE = re.compile(r"corners?|edges?|sides?|ends?|tips?|halves", re.IGNORECASE)
_PART_END = re.compile(r"[;,]")
_LIST_SIGN = re.compile(r"[;,]|\s[–—/|]\s")


def is_phase(text: str) -> bool:
    """Whether the text is the name of a phase of an expression: "Onset", "At the apex"."""
    return bool(_PHASE.fullmatch(text.strip()))


def talks(text: str) -> bool:
    """Whether the text is a sentence about faces rather than the name of a feature."""
    return bool(_TALK.search(text))


def without_emphasis(text: str) -> str:
    """The text without Markdown bold, italics and code marks."""
    return _EMPHASIS.sub("", text) if _MAY_EMPHASISE.intersection(text) else text


def from_item(text: str, under: str | None = None, class_name: str | None = None) -> list[str]:
    """The descriptors of one list item; `under` is the facial region of the heading above it.

    A label is the feature if a sentence explains it ("Furrowed brow: The eyebrows are drawn together."). If
    the label only names a region or an action unit, the text after it is used ("Eyes: narrowed" gives "eyes
    narrowed"). Text about other classes than `class_name` is left out.
    """
    coded = bool(facs.CODE.search(text))
    text = _bare(text)
    if facs.names_muscle(text):
        text = facs.without_muscles(text)
        if not names_face(text):
            return []
    pieces = _NEXT_LABEL.split(text) if text.count(":") > 1 else [text]
    return [
        descriptor
        for piece in pieces
        for descriptor in _from_labelled(piece, under, coded=coded, class_name=class_name)
    ]


def only_names_unit(text: str) -> bool:
    """Whether an item has only codes and names of action units: "**AU4 (Brow Lowerer)**"."""
    named = facs.CODE.sub(" ", without_emphasis(text))
    coded = named != without_emphasis(text)
    name = " ".join(re.sub(r"[^\w\s]", " ", named).split())
    return (coded and not name) or facs.is_unit_name(name, beside_code=coded)


def is_labelled(text: str) -> bool:
    """Whether the text begins with a facial region or a phase as a label."""
    labelled = _LABEL.match(_bare(text))
    return bool(labelled and (region(labelled[1]) or is_phase(labelled[1])))


def from_list(sentence: str) -> list[str]:
    """The descriptors of a sentence that lists them: "a smiling mouth, raised cheeks, and arched brows."."""
    listed = "; ".join(_clauses(_EXPLANATION.sub("", _glue(_bare(sentence)))))
    if listed.count(" - ") > 1:  # one is a dash, several are bullets
        listed = listed.replace(" - ", "; ")
    parts = [part.strip() for part in _LIST_SIGN.split(listed) if part.strip()]
    parts = _parted(parts)
    listing = len(parts) > 2 and all(len(part.split()) < 6 and not talks(part) for part in parts)
    found = []
    for part in _join_adjectives(parts):
        phrase = _without_subject(without_conjunction(part))
        enough = names_face(phrase) or is_foreign(phrase) if len(parts) == 1 else _is_feature(phrase)
        if (listing or enough) and not talks(phrase):
            found += tidy(phrase)
    return found


def tidy(text: str) -> list[str]:
    """[descriptor] without markup, control characters and final punctuation; [] if nothing is left."""
    printable = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    cleaned = " ".join(_UNWANTED.sub(_marks_stay, printable).split())
    cleaned = _SPACE_BEFORE.sub(r"\1", cleaned).strip(" ,.;:!?'-/&+")
    letters = sum(map(str.isalpha, cleaned))
    if len(cleaned) > LONGEST or letters < (3 if cleaned.isascii() else 2) or _ENDS_OPEN.search(cleaned):
        return []
    return [_lower_case(cleaned)]


def _lower_case(text: str) -> str:
    """The first word in lower case, and all words of a text in title case; names and codes are unchanged."""
    first, _, rest = text.partition(" ")
    others = [word for word in rest.split() if len(word) > 3]
    if text.isupper() or (text[0].isupper() and others and all(word[0].isupper() for word in others)):
        return text.lower()
    return text[0].lower() + text[1:] if first[1:] == first[1:].lower() else text


def _marks_stay(found: re.Match[str]) -> str:
    """Keep vowel signs of Indic and Arabic scripts: not letters for a pattern, but part of the word."""
    return found[0] if unicodedata.category(found[0][0]).startswith("M") else " "


def _bare(text: str) -> str:
    text = without_emphasis(text)
    if _MAY_BE_ASIDE.intersection(text):
        text = _BRACKET.sub(" ", _ASIDE.sub(" ", _COMMENT.sub("", text)))
    text = text.replace(" -- ", " – ")
    text = facs.CODE.sub(" ", text).strip(" \t,;:–—-")
    text = _LEFT_OVER.sub("", text)
    text = _COMPARED.sub("", _CONTRAST_BEFORE.sub("", _OPENING.sub("", text)))
    return _HEDGE.sub("", emotions.without_opening(without_circumstance(text)))


def without_circumstance(text: str) -> str:
    """ "In surprise, the jaw drops" -> "the jaw drops"; "As the lips part, ..." is visible and unchanged."""
    circumstance = _CIRCUMSTANCE.match(text)
    if circumstance is None:
        return text
    clause, rest = circumstance["clause"], text[circumstance.end() :]
    if not words.names_part(clause):
        return rest if names_face(rest) else text
    return f"{clause}, {rest}" if circumstance["when"] else text


def _from_labelled(text: str, under: str | None, *, coded: bool, class_name: str | None) -> list[str]:
    labelled = _LABEL.match(text)
    if labelled is None:
        return _features(text.rstrip(": "), under)
    label, value = labelled[1].strip(), labelled[2]
    if _describes_no_feature(label, value, class_name):
        return []
    named = region(label)
    if named is not None:
        return _phrases_of(value, named)
    if facs.is_unit_name(label, beside_code=coded):
        if visible := [each for each in _phrases_of(value, under) if words.names_part(each)]:
            return visible
    elif not _is_feature_label(label, value):
        return _features(value, under)
    return tidy(_with_region(label, under))


def _is_feature_label(label: str, value: str) -> bool:
    """Whether the label is the feature and the value explains it."""
    if is_phase(label) or _CONTRAST.match(label):
        return False
    if names_face(label) and not words.is_title(label):
        return True
    return _explains(value) and (" " in label or not names_face(value))


def _describes_no_feature(label: str, value: str, class_name: str | None) -> bool:
    """Whether the label announces a code, muscle or other class, or the value is only a class name."""
    if facs.is_action_unit_remark(label) or (_CLASS_LABEL.fullmatch(label) and emotions.is_emotion(value)):
        return True
    return not words.names_part(label) and emotions.is_about_another(label, class_name)


def _phrases_of(value: str, under: str | None) -> list[str]:
    """The features of the value's first sentence, and of further sentences that name a part of the face."""
    sentences = [each for i, each in enumerate(SENTENCE_END.split(value)) if not i or names_face(each)]
    return [descriptor for sentence in sentences for descriptor in _features(sentence, under)]


def _features(text: str, under: str | None) -> list[str]:
    text = "; ".join(_clauses(_EXPLANATION.sub("", _glue(text))))
    parts = [without_conjunction(part.strip()) for part in _PART_END.split(text) if part.strip()]
    if under is None and not (all(map(names_face, parts)) or is_foreign(text)):
        parts = [text]
    parts = _parted(parts) if under is None else _with_adjectives(parts, under)
    return [
        descriptor
        for part in parts
        for descriptor in tidy(_with_region(_without_subject(part.strip()), under))
    ]


def _clauses(text: str) -> list[str]:
    """Split "the eyes narrow while the lids tense" into two clauses, and drop "when angry"."""
    first, *others = _CLAUSE.split(text)
    if not names_face(first):
        return [text]
    return [first, *(clause for clause in others if words.names_part(clause))]


def _parted(parts: list[str]) -> list[str]:
    """Split the last part if it has two features: "flared nostrils and clenched teeth"."""
    if not parts:
        return parts
    sides = _OTHER_AND.split(parts[-1])
    if len(parts) > 1 and len(sides) == 2 and all(" " in side and names_face(side) for side in sides):
        return [*parts[:-1], *sides]
    sides = re.split(r"\s+and\s+", parts[-1])
    if len(sides) == 2 and all(names_face(side) and _stands_alone(side) for side in sides):
        return [*parts[:-1], *sides]
    return parts


def _stands_alone(phrase: str) -> bool:
    spoken = phrase.lower().split()
    return spoken[0] in ("a", "an", "the") or (len(spoken) > 1 and any(map(is_state, spoken)))


def _is_feature(phrase: str) -> bool:
    return names_face(phrase) or 2 <= len(phrase.split()) <= 4 or is_state(phrase) or is_foreign(phrase)


def _with_region(phrase: str, under: str | None) -> str:
    """Add the heading's region if needed: below "Eyes" to "wide open", but not to "intense stare"."""
    spoken = phrase.lower().split()
    if under is None or not spoken:
        return phrase
    if names_face(_PREPOSITION.split(phrase)[0]):
        unplaced = _UNPLACED.match(phrase) and not words.names_part(_UNPLACED.sub("", phrase))
        return f"{under} {phrase[0].lower()}{phrase[1:]}" if unplaced else phrase
    if not words.in_english(under) or is_foreign(phrase):
        return f"{under}{'' if _writes_unspaced(under) else ' '}{phrase}"
    described = next((word for word in spoken if not _QUALIFIES.fullmatch(word)), spoken[0]).strip(",")
    complete = " of " not in phrase or not names_face(phrase)
    alone = len(spoken) == 1 and words.is_adjective(spoken[0])
    incomplete = alone or is_state(described) or (complete and bool(_PLACE.fullmatch(described)))
    return f"{under} {phrase[0].lower()}{phrase[1:]}" if incomplete else phrase


def _writes_unspaced(text: str) -> bool:
    return any("\u3040" <= char <= "\u9fff" for char in text)


def _without_subject(phrase: str) -> str:
    """ "The eyes are often narrowed" -> "eyes narrowed"; "the jaw drops" -> "jaw drops"."""
    sentence = _SUBJECT.match(phrase)
    return _DETERMINER.sub("", " ".join(sentence.groups()) if sentence else phrase)


def _join_adjectives(parts: list[str]) -> list[str]:
    """Join "wide", "staring eyes": one feature with adjectives separated by a comma."""
    joined: list[str] = []
    waiting = ""
    for index, part in enumerate(parts):
        lonely = " " not in part and not names_face(part) and index < len(parts) - 1
        if lonely and is_state(part):
            waiting += f"{part}, "
        else:
            joined.append(waiting + part)
            waiting = ""
    return joined


def _with_adjectives(parts: list[str], under: str) -> list[str]:
    """Join "Hard", "fixed stare" below "Eyes" to one feature; "Raised", "curved" below "Eyebrows" are two."""
    joined: list[str] = []
    for part in parts:
        spoken = part.split()
        described = len(spoken) > 1 and words.is_noun_of(spoken[-1].strip("."), under)
        if joined and described and not names_face(spoken[0]) and _is_lone_adjective(joined[-1]):
            joined[-1] += f", {part}"
        else:
            joined.append(part)
    return joined


def _is_lone_adjective(text: str) -> bool:
    *lonely, last = text.split(", ")
    return last.isascii() and last.replace("-", "").isalpha() and not names_face(text) and len(lonely) < 3


def _glue(text: str) -> str:
    """Attach clauses to the words before them: ", with teeth visible", "lips that are pressed"."""
    return _RELATIVE.sub(" ", _BELONGS.sub(r" \1 ", text))


def _explains(text: str) -> bool:
    return talks(text) or (text.endswith(".") and len(text.split()) > 5)


_PREPOSITION = re.compile(
    r"\b(?:in|into|at|of|above|below|under|with|between|by|to|from|around|over|showing|revealing|exposing|"
    r"baring|displaying)\b",
    re.IGNORECASE,
)
