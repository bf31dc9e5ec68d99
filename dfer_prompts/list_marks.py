"""Marks that a text keeps from the list it was copied from: "1. ", "- ", "happiness: "."""

from __future__ import annotations

import re

_KINDS = r"[-*+•‣◦▪●·–—]|\(?\d{1,3}[.):]|\[\d{1,3}\]|\[[ xX]?\]|\(?[a-zA-Z]\)"
_MARK = re.compile(rf"\s*(?:{_KINDS})\s+")
_ALONE = re.compile(rf"\s*(?:{_KINDS})\s*")
_NUMBER = re.compile(r"\s*[(\[]?(\d{1,3})[.):\]]\s")
_TITLE = re.compile(
    r"""[*`"']*(?P<title>[^:*`"']{1,80}?)[*`"']*(?::|\s+[-–—=])(?:[*`"']+(?=\s))?(?:\s+(?P<rest>.*))?"""
)


def without_mark(text: str) -> str:
    """The text without the marks of a list before it; a text that is nothing but a mark is "".

    >>> without_mark("2) - raised cheeks"), without_mark("1.5 cm apart"), without_mark("-x")
    ('raised cheeks', '1.5 cm apart', '-x')
    """
    while not _ALONE.fullmatch(text):
        mark = _MARK.match(text)
        if mark is None:
            return text
        text = text[mark.end() :]
    return ""


def list_number(text: str) -> int | None:
    """The number that a text has in a list, None without one.

    >>> list_number("12. tears"), list_number("tears")
    (12, None)
    """
    found = _NUMBER.match(text)
    return int(found[1]) if found else None


def titled(text: str) -> tuple[str, str] | None:
    """What stands before a colon or a dash, without Markdown, and what stands after it; None without one.

    >>> titled("**happiness**: raised cheeks")
    ('happiness', 'raised cheeks')
    """
    found = _TITLE.fullmatch(text)
    return (found["title"].strip(), (found["rest"] or "").strip()) if found else None
