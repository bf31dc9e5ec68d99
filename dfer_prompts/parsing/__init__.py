"""Parse the text of an answer, in any format, to descriptors.

`cleaning` finds the answer in the text, `data` reads JSON, `lines` finds the items of lists and tables,
`phrases` the descriptors in an item, and `words` has the vocabulary of faces. This module decides which items
are features and which are comments. Answers are stored verbatim, so they can be parsed again.

Of a truncated answer the complete items are used: the last item is dropped if it is visibly incomplete (an
unclosed string or bold, "lips parted in a", no full stop while all others have one), and used if only a
dictionary could tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from . import emotions, phrases, words
from .cleaning import answer_in, without_markup
from .lines import Line, inside, lines_of
from .tables import items

_PREAMBLE = re.compile(
    r"^.{0,200}?\b(?:here (?:are|is)|here's|includ(?:e|es|ing)|following|features?|cues|signs|such as)\b"
    r"[^:]{0,150}:\s*",
    re.IGNORECASE,
)
_LISTING = re.compile(
    r"^(?P<before>.{0,200}?)\b"
    r"(?:includ(?:e|es|ing)|such as|things like|consists? of|involves?|shows? in|"
    r"(?:characteri[sz]ed|marked|shown|expressed|indicated|conveyed|recogni[sz]ed|identified|displayed|signal+ed|"
    r"defined|accompanied) (?:by|through|with|in)|(?P<weak>has|have|shows?|displays?|exhibits?|"
    r"features?(?!\s+(?:for|of|that|in|to|on|are|is|may|can|include|such)\b)))"
    r"(?:\s+(?:by|things such as|such things as))?\s+",
    re.IGNORECASE,
)
_FACE_WITH = re.compile(
    r"^(?:an?|the)\s(?:\w{1,20}\s){0,3}(?:face|expression|person|man|woman)\s"
    r"(?:with|showing|of)\s(?=.*\s)",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"^\W*(?:sure|yes|got it|certainly|of course|absolutely|okay|great|error|warning|here (?:are|is)|"
    r"here's|these|this|note|please|let me know|i hope|hope|feel free|in summary|in conclusion|"
    r"overall,|remember|keep in mind|it's|it is|i'm|i am|i can|"
    r"sorry|unfortunately|as an ai|if you|would you|do you|together|collectively|"
    r"the above|thanks|thank you|happy to help|"
    r"(?:some |useful |key |common |typical )*(?:visual|facial) (?:features?|cues|signs))\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^\W*(?:(?:i'?m|i am) (?:sorry|unable|not able)|sorry|i apologi[sz]e|my apologies|unfortunately|"
    r"i (?:can|could)(?:'t| ?not)|i won't|i will not|i must decline|as an ai)\b"
    r"|^\W*(?:抱歉|对不起|很抱歉|申し訳|すみません|죄송|извините|к сожалению|lo siento|je suis désolé|désolé|"
    r"es tut mir leid|desculpe|mi dispiace|آسف|عذر)",
    re.IGNORECASE,
)
_ANSWERS_ALL_THE_SAME = re.compile(
    r"\bhere (?:are|is)\b|\bhere's\b|\binclud(?:e|es)\b|\bfollowing\b", re.IGNORECASE
)
_ABOUT_THE_ANSWER = re.compile(  # the text below such a title is not a feature
    r"\b(?:considerations?|takeaways?|notes?|references?|sources?|tips?|summary|conclusions?|limitations?|"
    r"caveats?|disclaimers?|context|applications?|importance|remember|further reading|drafts?|"
    r"excluded|left out)\b",
    re.IGNORECASE,
)
_CLASS_LINE = re.compile(r"^(?:emotion|expression|class|category|label)\s*:", re.IGNORECASE)
_SHORT = re.compile(r"[^\s:.!?]+(?:\s[^\s:.!?]+){0,5}[,;.]?")
_PLAIN_WORDS = re.compile(r"[a-z' -]+")  # cannot contain markup
_ROUNDS = 3  # of parsing a descriptor again, until it no longer changes


def parse_answer(text: str, class_name: str | None = None) -> list[str]:
    """The descriptors of one answer in order, without duplicates; [] for a refusal or a text without a list.

    `class_name` is the class of the prompt: descriptions of other classes (a table column, a JSON key, a
    section, a sentence) are then left out. Each descriptor is a single line of 1 to 120 characters without
    markup. Never raises. Parsing the descriptors again, as a list, returns them unchanged.
    """
    plain = answer_in(text)
    if _REFUSAL.match(plain) and not _ANSWERS_ALL_THE_SAME.search(plain):
        return []
    data = items(plain, class_name)
    if data is None:
        lines = _blocks(lines_of(without_markup(plain), class_name))
    else:
        lines = [Line("bullet", item) for item in data]
    bulleted = any(line.kind == "bullet" for line in lines)
    read = _from_bullets(_without_cut_end(lines), class_name) if bulleted else _from_lines(lines, class_name)
    found = list({one.casefold(): one for each in read for one in _settled(each)}.values())
    return _without_cut_repetition(found)


def _without_cut_repetition(found: list[str]) -> list[str]:
    """Drop a last descriptor that is a truncated repetition of an earlier one: "lips tightly cl"."""
    while found and any(
        len(each) > len(found[-1]) and each.startswith(found[-1]) and each[len(found[-1])].isalnum()
        for each in found[:-1]
    ):
        found = found[:-1]
    return found


def _blocks(lines: list[Line]) -> list[Line]:
    """Treat consecutive short lines as a list if the answer has no other list."""
    if any(line.kind == "bullet" for line in lines):
        return lines
    short = [line.kind == "plain" and _is_short(line.text) for line in lines]
    runs = [list(run) for _, run in groupby(range(len(lines)), key=short.__getitem__)]
    listed = {index for run in runs if len(run) > 2 and short[run[0]] for index in run}
    return [replace(line, kind="bullet") if i in listed else line for i, line in enumerate(lines)]


def _is_short(text: str) -> bool:
    return bool(_SHORT.fullmatch(text)) and not (text.endswith(".") and phrases.talks(text))


def _settled(descriptor: str) -> Iterator[str]:
    """The descriptor parsed as a list item until it is stable, which removes remaining markup."""
    reading: Iterable[str] = [descriptor]
    for _ in range(_ROUNDS):
        again = [one for each in reading for one in _as_item(each)]
        if again == reading:
            break
        reading = again
    else:
        return
    yield from reading


def _as_item(descriptor: str) -> Iterator[str]:
    if _PLAIN_WORDS.fullmatch(descriptor):
        return _from_bullets([Line("bullet", descriptor)], None)
    return _from_bullets(lines_of(without_markup(answer_in(f"- {descriptor}"))), None)


def _from_bullets(lines: list[Line], class_name: str | None) -> Iterator[str]:
    """The bulleted features; nested bullets explain a feature, or belong to the region named above them."""
    region: str | None = None
    region_indent = -1
    covered: int | None = None  # indent of an item whose nested items are ignored
    skipped = False
    for index, line in enumerate(lines):
        if line.kind != "bullet":
            title = _unnumbered(line.text)
            if _is_section(line):
                skipped = _is_no_feature(title, class_name)
            region, region_indent, covered = words.region(title), -1, None
            if region is None and not skipped and phrases.is_labelled(line.text):
                yield from phrases.from_item(line.text, class_name=class_name)
            continue
        if skipped or (covered is not None and line.indent > covered):
            continue
        covered = None
        if line.indent <= region_indent:
            region, region_indent = None, -1
        named = words.region(phrases.without_emphasis(line.text))
        if named:
            region, region_indent = named, line.indent
        elif _is_heading(line.text) or _covers_features(lines, index, class_name):
            covered = line.indent if _is_of_another(line.text, class_name) else None
        else:
            covered = line.indent
            yield from _from_bullet(line.text, region, class_name)


def _from_bullet(text: str, region: str | None, class_name: str | None) -> Iterable[str]:
    plain = phrases.without_emphasis(text)
    if emotions.is_sentence_on_another(plain, class_name):
        return []
    if emotions.is_talk(plain):
        return _from_sentence(text, class_name) if words.names_part(text) else []
    return phrases.from_item(text, region, class_name)


def _is_no_feature(title: str, class_name: str | None) -> bool:
    """Whether the text below the title is about the answer or another class."""
    return bool(_ABOUT_THE_ANSWER.search(title)) or _is_of_another(title, class_name)


def _is_section(line: Line) -> bool:
    """Whether the line is a title, or names the class of the lines below it."""
    text = phrases.without_emphasis(line.text).strip()
    return (
        line.kind == "title"
        or text.endswith(":")
        or bool(_CLASS_LINE.match(text))
        or emotions.is_emotion(text)
    )


def _is_of_another(title: str, class_name: str | None) -> bool:
    return not words.names_part(title) and emotions.is_about_another(title, class_name)


def _covers_features(lines: list[Line], index: int, class_name: str | None) -> bool:
    """Whether an item names an action unit or a class, and nested items describe its appearance."""
    if index + 1 == len(lines) or lines[index + 1].indent <= lines[index].indent:
        return False
    text = phrases.without_emphasis(lines[index].text).strip(" :")
    if not phrases.only_names_unit(text) and not emotions.is_emotion(text):
        return False
    for line in lines[index + 1 :]:
        if line.kind != "bullet" or line.indent <= lines[index].indent:
            return False
        if any(map(words.names_part, phrases.from_item(line.text, class_name=class_name))):
            return True
    return False


def _without_cut_end(lines: list[Line]) -> list[Line]:
    """Drop a truncated last bullet: its bold is unclosed, or it lacks the full stop of the others."""
    *others, last = lines
    stops = [line.text.endswith(".") for line in others if line.kind == "bullet"]
    open_bold = last.text.count("**") % 2 and last.text.startswith("**")
    unended = len(stops) > 1 and all(stops) and last.text[-1].isalpha()
    return others if last.kind == "bullet" and (open_bold or unended) else lines


def _is_heading(item: str) -> bool:
    text = phrases.without_emphasis(item).strip()
    if _CHATTER.match(text) or _REFUSAL.match(text):
        return True
    return text.endswith(":") and not words.names_face(text)


def _from_lines(lines: list[Line], class_name: str | None) -> Iterator[str]:
    """Features that are titles of paragraphs, else those listed in lines and sentences."""
    titles = [_unnumbered(line.text) for line in lines if line.kind == "title"]
    features = [title for title in titles if _is_feature_title(title)]
    if len(features) > 1 and not any(map(words.region, features)):
        for title in features:
            yield from phrases.from_item(title)
        return
    region: str | None = None
    skipped = False
    for line in lines:
        is_heading = line.kind == "title" or line.text.endswith(":")
        heading = words.region(_unnumbered(line.text)) if is_heading else None
        if _is_section(line):
            skipped = _is_of_another(_unnumbered(line.text), class_name)
        if skipped:
            continue
        if line.kind == "title" or heading:
            region = heading
        elif region:
            yield from phrases.from_item(f"{region}: {line.text}")
        elif phrases.is_labelled(line.text):
            yield from phrases.from_item(line.text, class_name=class_name)
        else:
            for sentence in phrases.SENTENCE_END.split(line.text):
                yield from _from_sentence(sentence, class_name)


def _is_feature_title(title: str) -> bool:
    return words.names_face(title) and not words.is_title(title) and not phrases.only_names_unit(title)


def _from_sentence(sentence: str, class_name: str | None) -> Iterator[str]:
    text = phrases.without_emphasis(sentence)
    listed = _PREAMBLE.sub("", text)
    listing = _LISTING.match(listed)
    if listing and listing["weak"] and words.names_part(listing["before"]):
        listing = None
    if listed == text and _CHATTER.match(text) and not listing:
        return
    preamble = text.removesuffix(listed) or (listing["before"] if listing else "")
    if _is_of_another(preamble, class_name) or emotions.is_sentence_on_another(text, class_name):
        return
    listed = listed[listing.end() :] if listing else _without_opening(listed)
    parts = inside(listed)
    for part in parts:
        if len(parts) > 1:
            yield from phrases.from_item(part, class_name=class_name)
        elif ":" in part:
            yield from _from_labelled_list(part, class_name)
        else:
            yield from phrases.from_list(part)


def _from_labelled_list(text: str, class_name: str | None) -> list[str]:
    """ "Anger: furrowed brows, a glare" lists features; "Tight lips: The mouth is closed." is one."""
    label, _, value = text.partition(":")
    announced = words.is_title(label) or not words.names_part(label)
    if announced and words.region(label) is None and len(listed := phrases.from_list(value)) > 1:
        return [] if _is_of_another(label, class_name) else listed
    return phrases.from_item(text, class_name=class_name)


def _without_opening(text: str) -> str:
    """ "an angry face with lowered eyebrows, glaring eyes" -> "lowered eyebrows, glaring eyes"."""
    opening, _, listed = re.sub(r"\s[–—]\s", "\0", text, count=1).partition("\0")
    if "," in listed and "," not in opening and not words.names_face(opening):
        return listed
    rest = _FACE_WITH.sub("", text)
    return rest if words.names_part(rest) else text


def _unnumbered(title: str) -> str:
    return re.sub(r"^\W*\d{1,2}[.)]\s*", "", phrases.without_emphasis(title)).strip(" :")
