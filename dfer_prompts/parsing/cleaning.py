"""Extract the answer from a response text: no reasoning, other turns, terminal escapes or HTML."""

from __future__ import annotations

import html
import re
import unicodedata

_LONGEST_ANSWER = 20_000  # characters; later text is not part of a list of visual features
_LONGEST_THINKING = 200_000  # characters of reasoning before the answer
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_LONG_SPACE = re.compile(r"[^\S\n]{41,}")
_EMPTY_LINES = re.compile(r"\n(?:[^\S\n]*\n){3,}")
_LONG_RUN = re.compile(r"([\s\S])\1{40,}")
_THOUGHT = r"(?:\w{1,20}[:_])?(?:think(?:ing)?|thoughts?)"
_THINKING = rf"(?:{_THOUGHT}|reasoning|analysis|scratchpad)"
_BEGIN, _END = r"(?:begin|start)[_▁](?:of[_▁])?", r"(?:/|end[_▁](?:of[_▁])?)"
_THINKING_MARK = re.compile(
    rf"</{_THINKING}>|[\[◁]/{_THOUGHT}[\]▷]|<[|｜]{_END}{_THINKING}[|｜]>|<unused\d+>(?!thought)"
    rf"|(?P<open><{_THINKING}>|[\[◁]{_THOUGHT}[\]▷]|<[|｜](?:{_BEGIN})?{_THINKING}[|｜]>|<unused\d+>thought)",
    re.IGNORECASE,
)
_ANSWER_NAME = r"(?:final_)?(?:answer|response|solution|output)|final"
_ANSWER_MARK = re.compile(rf"<[|｜](?:{_BEGIN})(?:{_ANSWER_NAME})[|｜]>", re.IGNORECASE)
_ANSWER_TAG = re.compile(rf"<({_ANSWER_NAME})>(.*?)(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
# Phrases that announce reasoning without tags, and phrases that announce the answer after it.
_THINKING_WORDS = re.compile(
    r"^\W{0,10}(?:here(?: is|'s) my (?:thought process|thinking|reasoning)|thinking\.\.\."
    r"|(?:thinking|reasoning|thought|analysis|chain[ -]of[ -]thought)(?: process)?\W{0,3}:)",
    re.IGNORECASE,
)
_ANSWER_WORDS = re.compile(
    r"^\W{0,10}(?:\.\.\.)?(?:here(?: is|'s) my (?:response|answer)|done thinking\."
    r"|(?:my |the )?(?:answer|response|output|list|descriptors))[ \t*_]{0,5}(?::[*_]{0,3}|$)",
    re.IGNORECASE | re.MULTILINE,
)
_CHANNELS_STRIPPED = re.compile(r"^\s*analysis(?=[A-Z])(?P<thinking>.*?)(?:assistant\s?final|\Z)", re.DOTALL)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]{0,80}<\|message\|>")
_TURN_MARK = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|</?s>|</?(?:start|end)_of_turn>|\[/?INST\]"
)
_TURN_START = re.compile(rf"^(?:\s*(?:{_TURN_MARK.pattern})(?:\s*(?:assistant|model)\b)?)+", re.IGNORECASE)
_INLINE_TAG = re.compile(
    r"</?(?:a|b|i|u|em|strong|span|code|sup|sub|mark|small|font|td|th)(?:\s[^<>]{0,200})?/?>", re.I
)
_TAG = re.compile(r"<[/|!]?[a-zA-Z][^<>]{0,200}>")
_TAGS_WRITTEN = (
    (re.compile(r"<(?:li|dt)\b[^<>]{0,200}>", re.IGNORECASE), "\n- "),
    (re.compile(r"<dd\b[^<>]{0,200}>", re.IGNORECASE), ": "),
    (re.compile(r"<(?:td|th)\b[^<>]{0,200}>", re.IGNORECASE), " | "),
    (re.compile(r"</(?:dt|dd|li|td|th)\s?>", re.IGNORECASE), ""),
)
_BREAK = re.compile(r"<br\s?/?>", re.IGNORECASE)
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_MARKS_STACKED = re.compile(r"([\u0300-\u036f]{3})[\u0300-\u036f]+")
_SEPARATORS = str.maketrans({"、": ", ", "،": ", ", "؛": "; ", "。": ". ", "।": ". ", "’": "'", "‘": "'"})
_NEXT_QUESTION = re.compile(
    r"(?:^|(?<=[.!?]))[^\S\n]*[*_#>]{0,4}[^\S\n]*"
    r"(?:(?:Q|Question|User|Human|Instruction|Input)(?:\s?\d{1,2})?[*_]{0,2}\s*:"
    r"|(?:What|Which|How)\b[^?\n]{1,200}\?\s{0,3}[*_]{0,2}(?=A(?:nswer)?[*_]{0,2}\s*:))",
    re.IGNORECASE | re.MULTILINE,
)
_ITS_ANSWER = re.compile(r"(?:^|(?<=[?.!\s]))[*_#]{0,4}\s?(?:A|Answer|Response)[*_]{0,2}\s*:[*_]{0,2}")
_FINAL = re.compile(
    r"^[^\w\n]{0,10}(?:my |the )?final (?:\w{1,20} ){0,2}?"
    r"(?:answer|list|response|output|descriptors|features|version)(?: is)?"
    r"[*_`]{0,3}[ \t]*(?::[ \t]*[*_`]{0,3}|(?=\n))",
    re.IGNORECASE | re.MULTILINE,
)

_LATEX_COMMAND = re.compile(r"\\(?:textbf|textit|emph|text|mathbf|underline|boxed|textsf|texttt)\{([^{}]*)\}")
_LATEX_WORDS = {r"\item": "\n- ", r"\rightarrow": "→", r"\to": "→", r"\bullet": "•"}
_LATEX_WORD = re.compile(r"\\(?:item|rightarrow|to|bullet)\b\s*|\\(?:begin|end)\{\w{1,20}\}")
_MARKDOWN_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~&])")
_IMAGE = re.compile(r"!\[[^\[\]]{0,200}\]\([^()\s]{0,500}\)")
_LINK = re.compile(r"\[([^\[\]]{1,200})\]\((?:https?:|#|/)[^()\s]{0,500}\)")
_ADDRESS = re.compile(r"\bhttps?://\S+|\bwww\.\S+")
_CITATION = re.compile(r"\s?(?:\[\^?\d{1,3}(?:[,\s–-]+\d{1,3})*\]|【\d[^【】]{0,30}】)")


def answer_in(text: str) -> str:
    """The text of the answer with uniform line ends and punctuation; JSON is unchanged."""
    text = _ESCAPE.sub("", html.unescape(_beginning(text)))
    # Longer runs carry no information and slow down the patterns.
    text = _LONG_RUN.sub(lambda run: run[1] * 20, _LINE_ENDS.sub("\n", text))
    text = _EMPTY_LINES.sub("\n\n", _LONG_SPACE.sub(" " * 20, text))
    text = _one_turn(_without_thinking(_last_channel(text)))
    text = _plain_characters(_without_tags(text))
    return _without_questions(text)


def _beginning(text: str) -> str:
    """The beginning of the text up to the maximum length, in whole lines; reasoning is not counted."""
    if len(text) <= _LONGEST_ANSWER:
        return text
    text = _without_thinking(_last_channel(text[:_LONGEST_THINKING]))
    if len(text) <= _LONGEST_ANSWER:
        return text
    whole_lines, end, _ = text[:_LONGEST_ANSWER].rpartition("\n")
    return whole_lines if end else text[:_LONGEST_ANSWER]


def without_markup(text: str) -> str:
    """Text (not JSON) without LaTeX commands, Markdown escapes and links, and citations."""
    if "\\" in text:
        text = text.replace("\\n", "\n") if "\n" not in text.strip() else text
        for _ in range(3):  # nested commands
            text = _LATEX_COMMAND.sub(r"\1", text)
        text = _LATEX_WORD.sub(lambda word: _LATEX_WORDS.get(word[0].strip(), "\n"), text)
        text = _MARKDOWN_ESCAPE.sub(r"\1", text)
    if "[" in text or "【" in text:
        text = _CITATION.sub("", _LINK.sub(r"\1", _IMAGE.sub("", text)))
    return _ADDRESS.sub("", text) if "://" in text or "www." in text else text


def _last_channel(text: str) -> str:
    channels = list(_CHANNEL.finditer(text))
    if not channels:
        stripped = _CHANNELS_STRIPPED.match(text)
        return text[stripped.end() :] if stripped else text
    return "" if channels[-1][1] == "analysis" else text[channels[-1].end() :]


def _without_thinking(text: str) -> str:
    parts: list[str] = []
    start, thinking = 0, False
    for mark in _THINKING_MARK.finditer(text):
        if mark["open"]:
            if not thinking:
                parts.append(text[start : mark.start()])
            thinking = True
        else:
            if not thinking:  # no opening tag: everything before is reasoning
                parts.clear()
            start, thinking = mark.end(), False
    return _announced_answer("".join(parts) if thinking else "".join(parts) + text[start:])


def _announced_answer(text: str) -> str:
    """The text inside answer tags or after an announcing phrase; the whole text if there is neither."""
    if marks := list(_ANSWER_MARK.finditer(text)):
        return text[marks[-1].end() :]
    tagged = "\n".join(tag[2] for tag in _ANSWER_TAG.finditer(text))
    if tagged.strip():
        return tagged
    thinking = _THINKING_WORDS.match(text)
    answer = _ANSWER_WORDS.search(text, thinking.end()) if thinking else None
    return text[answer.end() :] if answer else text


def _one_turn(text: str) -> str:
    """The text before the first end-of-turn marker."""
    text = _TURN_START.sub("", text)
    end = _TURN_MARK.search(text)
    return text[: end.start()] if end else text


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    for tag, written in _TAGS_WRITTEN:
        text = tag.sub(written, text)
    if _BREAK.search(text):  # a table cell may contain several features
        text = "\n".join(_BREAK.sub("; ", line) if "|" in line else line for line in text.split("\n"))
    return _TAG.sub("\n", _INLINE_TAG.sub("", text))


def _plain_characters(text: str) -> str:
    """Compatibility forms and list separators of other scripts as in English; no invisible characters."""
    if text.isascii():
        return "".join(char for char in text if char in "\n\t" or char.isprintable())
    text = re.sub("(\\d)\ufe0f?\u20e3", r"\1. ", text).replace("🔟", "10. ")
    text = re.sub("[①-⑳]", lambda sign: f"{unicodedata.normalize('NFKC', sign[0])}. ", text)
    text = unicodedata.normalize("NFKC", text).translate(_SEPARATORS)
    text = re.sub("[\ufe00-\ufe0f\u20e3]", "", text)
    text = "".join(char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf"))
    return _MARKS_STACKED.sub(r"\1", text)


def _without_questions(text: str) -> str:
    """The answer without a repeated or invented question; the final answer if one is announced."""
    if question := _NEXT_QUESTION.match(text):
        rest = text[question.end() :]
        answer = _ITS_ANSWER.search(rest)
        text = rest[answer.end() :] if answer else rest.partition("\n")[2]
    following = _NEXT_QUESTION.search(text)
    text = text[: following.start()] if following else text
    before, final, after = text, None, ""
    for final in _FINAL.finditer(text):
        after = text[final.end() :]
    return after if final and after.strip() else before
