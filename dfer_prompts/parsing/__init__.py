"""An answer's text -> descriptors, whatever form a language model gave it.

This file finds the items of an answer (bullets, numbers, lines, sentences, JSON, tables); `phrases.py` finds
the descriptors in one item. Parsing again is free: stored answers are kept verbatim.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from . import phrases

_LONGEST_ANSWER = 20_000  # characters; what comes later is no list of visual features any more
_THINKING = "think|thinking|thought|reasoning|analysis"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_BULLET = re.compile(
    r"^(?P<indent>\s*)(?:\*\*|__)?(?:[-*+•‣◦▪●○·–—]|\(?\d{1,2}[.):]|\(?[a-zA-Z][.)])(?:\*\*|__)?\s+(?P<text>\S.*)$"
)
_TITLE = re.compile(r"^\s*(?:#{1,6}\s+(?P<heading>.+?)\s*#*|(?P<bold>(?:\*\*|__)[^*_]+(?:\*\*|__)\s*:?))\s*$")
_LONG_RUN = re.compile(r"([\s\-_=|:#*\[\]{}])\1{40,}")
_TABLE_RULE = re.compile(r"^\s*\|?[\s:|-]*-{2,}[\s:|-]*$")
_NUMBER_INSIDE = re.compile(r"\s+\(?\d{1,2}[.)]\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")
_SPEAKER = re.compile(r"^\s*(?:A|Answer|Assistant|Response)\s*:\s*", re.IGNORECASE)
_NEXT_QUESTION = re.compile(r"^\s*(?:Q|Question|User|Human)\s*:", re.IGNORECASE | re.MULTILINE)
_PREAMBLE = re.compile(
    r"^.{0,200}?\b(?:here (?:are|is)|here's|includ(?:e|es|ing)|following|features?|cues|signs|such as)\b"
    r"[^:]{0,150}:\s*",
    re.IGNORECASE,
)
_LISTING = re.compile(
    r"^.{0,200}?\b"
    r"(?:includ(?:e|es|ing)|such as|characteri[sz]ed by|marked by|shown by|consists? of|involves?)\s+",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"^\W*(?:sure|yes|got it|certainly|of course|absolutely|okay|great|here (?:are|is)|here's|these|this|"
    r"note|please|let me know|i hope|hope|feel free|in summary|in conclusion|overall,|remember|keep in mind|"
    r"it's|it is|i'm|i am|i can|sorry|unfortunately|as an ai|if you|would you|do you|together|collectively|"
    r"the above|thanks|thank you|happy to help|"
    r"(?:some |useful |key |common |typical )*(?:visual|facial) (?:features?|cues|signs))\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^\W*(?:(?:i'?m|i am) (?:sorry|unable|not able)|sorry|i apologi[sz]e|my apologies|unfortunately|"
    r"i (?:can|could)(?:'t| ?not)|i won't|i will not|i must decline|as an ai)\b",
    re.IGNORECASE,
)
_ANSWERS_ALL_THE_SAME = re.compile(
    r"\bhere (?:are|is)\b|\bhere's\b|\binclud(?:e|es)\b|\bfollowing\b", re.IGNORECASE
)
_TITLE_WORDS = re.compile(
    r"\b(?:features?|cues?|expressions?|signs?|characteristics?|indicators?|note)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class _Line:
    kind: Literal["title", "bullet", "plain"]
    text: str
    indent: int = 0


def parse_answer(text: str) -> list[str]:
    """The descriptors of one answer, in its order; none for a refusal or talk that lists nothing.

    Each is a single line of 1 to 120 characters without markup. Never raises, whatever the text.
    """
    plain = _plain(text[:_LONGEST_ANSWER])
    if _REFUSAL.match(plain) and not _ANSWERS_ALL_THE_SAME.search(plain):
        return []
    lines = list(_json_lines(plain)) or list(_lines(plain))
    if any(line.kind == "bullet" for line in lines):
        return list(_from_bullets(lines))
    return list(_from_lines(lines))


def _plain(text: str) -> str:
    """Without what is not the answer: thinking, markup of terminals and web pages, a next question."""
    text = _ESCAPE.sub("", html.unescape(text).replace("\r\n", "\n"))
    # No feature hangs on a longer run, and on long ones the patterns below would take minutes.
    text = _LONG_RUN.sub(lambda run: run[1] * 20, text)
    text = _without_thinking(text)
    text = re.sub(r"<\s*li\b[^>]*>", "\n- ", text, flags=re.IGNORECASE)
    text = re.sub(r"<\s*/?\s*(?:br|p|ul|ol|tr|div|h\d)\b[^>]*>", "\n", text, flags=re.IGNORECASE)
    text = re.sub(r"<[/|]?[a-zA-Z][^<>]{0,200}>", "", text)
    text = unicodedata.normalize("NFKC", text).replace("’", "'")
    text = "".join(
        char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Mn")
    )
    question = _NEXT_QUESTION.match(text)
    text = text[question.end() :].partition("\n")[2] if question else text
    following = _NEXT_QUESTION.search(text)
    return text[: following.start()] if following else text


def _without_thinking(text: str) -> str:
    text = re.sub(rf"<({_THINKING})>.*?</\1>", "", text, flags=re.IGNORECASE | re.DOTALL)
    text = re.split(rf"</(?:{_THINKING})>|<\|message\|>", text, flags=re.IGNORECASE)[-1]
    return re.split(rf"<(?:{_THINKING})>", text, flags=re.IGNORECASE)[0]


def _json_lines(text: str) -> Iterator[_Line]:
    """The items of a JSON list or object anywhere in the text, none if there is no such thing."""
    found = re.search(r"[\[{].*[\]}]", text, re.DOTALL)
    if found is None:
        return
    try:
        value = json.loads(found.group())
    except (ValueError, RecursionError):
        return
    yield from _json_items(value, "", 0)


def _json_items(value: Any, key: str, depth: int) -> Iterator[_Line]:
    if isinstance(value, str) and value.strip():
        label = f"{key}: " if phrases.region(key) else ""
        yield _Line("bullet", label + " ".join(value.split()))
    elif isinstance(value, list) and depth < 5:
        for each in value:
            yield from _json_items(each, key, depth + 1)
    elif isinstance(value, dict) and depth < 5:
        naming = [name for name in ("descriptor", "feature", "name") if isinstance(value.get(name), str)]
        for name in naming[:1] or value:
            yield from _json_items(value[name], "" if naming else name, depth + 1)


def _lines(text: str) -> Iterator[_Line]:
    raw = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("```")]
    for index, line in enumerate(raw):
        line = _SPEAKER.sub("", line.expandtabs(4))
        following = raw[index + 1] if index + 1 < len(raw) else ""
        title, bullet = _TITLE.match(line), _BULLET.match(line)
        if _TABLE_RULE.match(line) or (line.count("|") > 1 and _TABLE_RULE.match(following)):
            continue
        if line.count("|") > 1:
            yield _Line("bullet", ": ".join(cell.strip() for cell in line.strip(" |").split("|")[:2]))
        elif title:
            yield _Line("title", title["heading"] or title["bold"])
        elif bullet:
            indent = len(bullet["indent"])
            yield from (_Line("bullet", part, indent) for part in _NUMBER_INSIDE.split(bullet["text"]))
        elif line.strip() and unicodedata.category(line.strip()[0]) == "So":
            yield _Line("bullet", line.strip()[1:])
        elif line.strip():
            yield _Line("plain", line.strip())


def _from_bullets(lines: list[_Line]) -> Iterator[str]:
    """The bulleted features; bullets below a feature explain it, and a region's name covers those below."""
    region: str | None = None
    region_indent = -1
    feature_indent: int | None = None
    for line in lines:
        if line.kind != "bullet":
            region, region_indent, feature_indent = phrases.region(_unnumbered(line.text)), -1, None
            continue
        if feature_indent is not None and line.indent > feature_indent:
            continue
        feature_indent = None
        if line.indent <= region_indent:
            region, region_indent = None, -1
        if phrases.region(line.text):
            region, region_indent = phrases.region(line.text), line.indent
        elif not _is_heading(line.text):
            feature_indent = line.indent
            yield from phrases.from_item(line.text, region)


def _is_heading(item: str) -> bool:
    text = phrases.without_emphasis(item).strip()
    return bool(_CHATTER.match(text)) or (text.endswith(":") and not phrases.names_face(text))


def _from_lines(lines: list[_Line]) -> Iterator[str]:
    """Features that are titles over paragraphs, or else lines and sentences that list them."""
    titles = [_unnumbered(line.text) for line in lines if line.kind == "title"]
    features = [title for title in titles if phrases.names_face(title) and not _TITLE_WORDS.search(title)]
    if len(features) > 1:
        for title in features:
            yield from phrases.from_item(title)
        return
    for line in lines:
        if line.kind == "title":
            continue
        for sentence in _SENTENCE_END.split(line.text):
            yield from _from_sentence(sentence)


def _from_sentence(sentence: str) -> Iterator[str]:
    text = phrases.without_emphasis(sentence)
    listed = _PREAMBLE.sub("", text)
    if listed == text and _CHATTER.match(text) and not _LISTING.match(text):
        return
    listed = _LISTING.sub("", listed)
    parts = _NUMBER_INSIDE.split(f" {listed}") if _NUMBER_INSIDE.match(f" {listed}") else [listed]
    for part in filter(str.strip, parts):
        if ":" in part:
            yield from phrases.from_item(part)
        else:
            yield from phrases.from_list(part)


def _unnumbered(title: str) -> str:
    return re.sub(r"^\W*\d{1,2}[.)]\s*", "", phrases.without_emphasis(title)).strip(" :")
