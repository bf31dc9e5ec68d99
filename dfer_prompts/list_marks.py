"""List markers left in a text that was copied from a list: "1. ", "- ", "happiness: "."""

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
    """The text without leading list markers; "" for a text that is only a marker.

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
    """The list number at the beginning of a text; None if there is none.

    >>> list_number("12. tears"), list_number("tears")
    (12, None)
    """
    found = _NUMBER.match(text)
    return int(found[1]) if found else None


def titled(text: str) -> tuple[str, str] | None:
    """The parts before (without Markdown) and after a colon or dash; None if there is no colon or dash.

    >>> titled("**happiness**: raised cheeks")
    ('happiness', 'raised cheeks')
    """
    found = _TITLE.fullmatch(text)
    return (found["title"].strip(), (found["rest"] or "").strip()) if found else None
