"""Vocabulary of faces: parts, signs and states in English, and parts in other languages.

Names of FACS action units and muscles, which do not describe an appearance.
"""

from __future__ import annotations

import re
from functools import lru_cache

PARTS = (
    r"eyes?|eyebrows?|brows?|eyelids?|lids?|eyelash(?:es)?|lash(?:es)?|pupils?|iris|irises|sclera|mouth|lips?|"
    r"teeth|tooth|tongue|jaws?|jawline|chin|cheeks?|cheekbones?|dimples?|nose|nostrils?|forehead|faces?|facial|"
    r"head|neck|throat|skin|muscles?|temples?|ears?|shoulders?"
)
SIGNS = (
    r"gaze|stare|glare|glances?|look|squint|smiles?|grin|frown|sneer|smirk|pout|grimace|tears?|wrinkles?|creases?|lines?|"
    r"furrows?|crow's|expression|complexion|blush|sweat|dimpling|dilation|posture|blinking"
)
_AROUND = (  # words beside a region in a label that do not make it a feature
    r"the|his|her|their|and|or|of|region|area|position|movement|shape|appearance|contact|overall|upper|lower|"
    r"inner|outer|middle|other|muscle|expression|line|corners"
)
_STATES = (  # states of a part of the face that are not participles
    r"open|wide|narrow|closed|shut|tight|tense|loose|soft|hard|blank|dull|watery|teary|moist|downward|upward|"
    r"droopy|puffy|glassy|shiny|straight|flat|still|neutral|dark|bright|low|high|lower|thin|firm|red|pale|agape|"
    r"ajar|slack|smooth|square|round|oval|taut|stiff|rigid|limp|uneven|symmetrical|asymmetrical|up|down|\w+ed|\w+ing|\w+wn"
)
_FAMILIES = (  # parts and signs that belong to one region
    r"eyes?|eyelids?|lids?|pupils?|gaze|stare|glare|glances?|look|squint|lash(?:es)?",
    r"mouth|lips?|teeth|smiles?|grin|frown|sneer|smirk|pout|grimace",
    r"eyebrows?|brows?|frown",
    r"nose|nostrils?",
    r"cheeks?|cheekbones?|dimples?",
    r"faces?|facial|expression|look|skin|complexion|head",
)
_SHAPES = r"shape|form|line|curve|arch|position|appearance|opening|contour"
_SIDES = ("upper", "lower", "inner", "outer", "and", "or")
_PLURALS = {name: f"{name}s" for name in ("eye", "eyebrow", "brow", "lip", "cheek", "nostril", "eyelid")}
_SPACED = {  # parts of the face in languages with spaces between words
    "ru": "брови глаза губы рот нос ноздри лоб щеки щёки подбородок челюсть веки взгляд",
    "fr": "sourcils yeux bouche lèvres nez narines joues menton mâchoire paupières regard",
    "es": "cejas ojos boca labios nariz frente mejillas mentón mandíbula párpados mirada",
    "de": "augenbrauen augen mund lippen nase nasenflügel stirn wangen kinn kiefer augenlider blick",
    "pt": "sobrancelhas olhos lábios testa bochechas queixo pálpebras olhar",
    "it": "sopracciglia occhi bocca labbra naso fronte guance mento palpebre sguardo",
    "ar": "حواجب الحواجب حاجبان الحاجبان عيون العيون العينان فم الفم شفاه الشفاه الشفتان أنف الأنف جبهة",
    "ko": "눈썹 눈 입 입술 코 이마 볼 턱",
    "hi": "भौहें आँखें मुँह होंठ नाक माथा गाल",
}
_UNSPACED = {  # in languages without spaces
    "zh": "眉毛 眉头 眉 眼睛 眼睑 眼皮 眼神 眼 嘴巴 嘴唇 嘴角 嘴 鼻子 鼻孔 鼻翼 鼻 额头 "
    "前额 脸颊 面颊 脸部 面部 脸 下巴 下颌 牙齿 舌头 嘴脣",
    "ja": "目 口角 口元 口 唇 額 頬 顎 瞼 まぶた 眼瞼",
}
_ARTICLES = r"les|le|la|las|los|el|die|der|das|os|as|gli|i"


def _either(languages: dict[str, str]) -> str:
    """A pattern of all words, longest first, so that no word is hidden by its prefix."""
    return "|".join(sorted(set(" ".join(languages.values()).split()), key=lambda word: (-len(word), word)))


_SPACED_PART = rf"(?<!\w)(?:{_either(_SPACED)})(?!\w)"
_UNSPACED_PART = _either(_UNSPACED)
_FACE_WORD = re.compile(rf"\b(?:{PARTS}|{SIGNS})\b", re.IGNORECASE)
_FOREIGN_FACE_WORD = re.compile(rf"{_SPACED_PART}|{_UNSPACED_PART}", re.IGNORECASE)
_FOREIGN_REGION = re.compile(
    rf"(?:(?:{_ARTICLES})\s)?(?P<region>{_SPACED_PART}|(?:{_UNSPACED_PART})(?:[和と](?:{_UNSPACED_PART}))?)",
    re.IGNORECASE,
)
_REGION_WORD = re.compile(rf"(?:{PARTS}|{_AROUND}|gaze|complexion|posture)", re.IGNORECASE)
_PART_WORD = re.compile(rf"{PARTS}|gaze|complexion|posture", re.IGNORECASE)
_FAMILY = tuple(re.compile(rf"(?:{family})", re.IGNORECASE) for family in _FAMILIES)
_SHAPE = re.compile(rf"(?:{_SHAPES})", re.IGNORECASE)
_ADJECTIVE = re.compile(r"\w{2,}(?:y|ful|less|ous|ish|ive|ic|al|ate)", re.IGNORECASE)
_STATE = re.compile(rf"(?:{_STATES})", re.IGNORECASE)
_NOT_WORDS = re.compile(r"[^\w\s/&,:.'-]")
_CONJUNCTION = re.compile(r"^(?:and|or|as well as|plus)\s+", re.IGNORECASE)

_WHOLE_FACE = re.compile(r"\b(?:faces?|facial|head|expression|look)\b", re.IGNORECASE)
_TITLE_WORDS = re.compile(
    r"\b(?:features?|cues?|expressions?|signs?|characteristics?|indicators?|descriptors?|notes?)\b"
    r"|特征|特徴|特點|特点|表情|признаки|выражени|caractéristiques|características|expresi|merkmale|특징|ملامح",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"(?:emotion|class|class name|label|expression|note|notes|reasoning|explanation|source|language|version|"
    r"confidence|intensity|summary|comment|rationale|model|template|id|type|status)",
    re.IGNORECASE,
)


def is_title(text: str) -> bool:
    """Whether the text announces features ("Visual cues of anger") and is not a feature itself."""
    return bool(_TITLE_WORDS.search(text))


def is_remark(label: str) -> bool:
    """Whether a label announces a remark on the answer ("emotion: anger")."""
    return bool(_REMARK.fullmatch(label.strip()))


@lru_cache(maxsize=256)  # the strings of an answer are checked several times
def names_face(text: str) -> bool:
    """Whether the text names a part of the face or a sign on it such as tears."""
    return bool(_FACE_WORD.search(text) or _FOREIGN_FACE_WORD.search(text))


def is_state(word: str) -> bool:
    """Whether a word is a state of a part of the face: "open", "raised"."""
    return bool(_STATE.fullmatch(word))


def is_adjective(word: str) -> bool:
    """Whether a single word is a state or ends like an adjective: "sweaty", "symmetrical"."""
    return is_state(word) or bool(_ADJECTIVE.fullmatch(word))


def is_noun_of(word: str, region: str) -> bool:
    """Whether a noun is the region, a part or sign of it, or a shape: "stare" of "eyes"."""
    if _SHAPE.fullmatch(word):
        return True
    names = region.split()
    return any(family.fullmatch(word) and any(map(family.fullmatch, names)) for family in _FAMILY)


def names_part(text: str) -> bool:
    """Whether the text names a part of the face or a sign on it, not only the face."""
    return names_face(_WHOLE_FACE.sub("", text))


def in_english(text: str) -> bool:
    """Whether the text names a part of the face in English."""
    return bool(_FACE_WORD.search(text))


def is_foreign(text: str) -> bool:
    """Whether the text is in another script, which the word lists do not cover."""
    return not text.isascii() and not any(char.isascii() and char.isalpha() for char in text)


def without_conjunction(text: str) -> str:
    """ "and flared nostrils" -> "flared nostrils"."""
    return _CONJUNCTION.sub("", text)


@lru_cache(maxsize=256)
def region(label: str) -> str | None:
    """The facial region if a label or heading names only that: "Eye Position" -> "eyes"; otherwise None."""
    if len(label) > 80:
        return None
    plain = _NOT_WORDS.sub(" ", label).strip(" :.")
    words = plain.replace("/", " and ").replace("&", " and ").replace(",", " and ").lower().split()
    if not words or len(words) > 6 or (words[-1] == "lower" and "(" not in label):  # "the brows lower"
        return None
    if not all(map(_REGION_WORD.fullmatch, words)):
        foreign = _FOREIGN_REGION.fullmatch(plain)
        return foreign["region"].lower() if foreign else None
    parts = [word for word in words if word in _SIDES or (_PART_WORD.fullmatch(word) and word != "facial")]
    if not any(map(_PART_WORD.fullmatch, parts)):
        return None
    qualified = any(word in _SIDES[:4] for word in parts)  # "lower lip" is one lip, "lip position" means both
    return _CONJUNCTION.sub(
        "", " ".join(parts if qualified else [_PLURALS.get(word, word) for word in parts])
    )


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
_ACTION_UNIT_REMARK = re.compile(
    r"(?:facial )?(?:muscles?|muscle groups?|action units?|aus?|facs|codes?)"
    r"(?: (?:involved|used|codes?|names?))?(?:\(s\))?",
    re.IGNORECASE,
)


def is_unit_name(text: str, *, beside_code: bool = False) -> bool:
    """Whether the text is only the name of an action unit: "Brow Lowerer", or "Jaw Drop" beside its code."""
    pattern = _UNIT_NAME_BY_CODE if beside_code else _UNIT_NAME
    return bool(pattern.fullmatch(" ".join(re.sub(r"[^\w\s]", " ", text).split())))


def is_action_unit_remark(label: str) -> bool:
    """Whether a label announces a code or a muscle: "Muscles involved", "FACS"."""
    return bool(_ACTION_UNIT_REMARK.fullmatch(label.strip()))


def names_muscle(text: str) -> bool:
    """Whether the text contains the Latin name of a muscle."""
    return bool(_ANY_MUSCLE.search(text))


def without_muscles(text: str) -> str:
    """ "lips pressed by the orbicularis oris" -> "lips pressed"."""
    return _MUSCLES.sub("", text).strip(" \t,;:–—-")
