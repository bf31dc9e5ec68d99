"""Remove secrets from text of other origin, in plain and encoded form.

`sentence` gives the message of an error without keys; `PROBLEMS` are the errors it is meant for.
"""

from __future__ import annotations

import base64
import os
import re
from functools import lru_cache
from typing import Any

from ..errors import DferError, system_words

SECRETS = ("OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# Local servers get dummy keys such as "x" or "none"; removing these would only damage the text.
SHORTEST = 6
_ESCAPED = re.compile(r"[\\%&]")  # first characters of escapes
MARK = "[key]"


def redact(value: Any, secret: str | None) -> Any:
    """A text or JSON value without the secret.

    The secret is found in plain form, with any of its characters escaped for JSON (also nested), URLs or
    HTML, and in base64. A secret shorter than `SHORTEST` is ignored.
    """
    if not secret or len(secret) < SHORTEST:
        return value
    return _redacted(value, secret)


def redact_environment(text: str) -> str:
    """The text without the secrets in the environment."""
    for name in SECRETS:
        text = redact(text, os.environ.get(name, "").strip())
    return text


def _redacted(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        # Most texts contain no escape, and searching for escapes takes ten times as long.
        return _pattern(secret, escaped=bool(_ESCAPED.search(value))).sub(MARK, value)
    if isinstance(value, list):
        return [_redacted(each, secret) for each in value]
    if isinstance(value, dict):
        return {_redacted(key, secret): _redacted(each, secret) for key, each in value.items()}
    return value


@lru_cache(maxsize=16)
def _pattern(secret: str, *, escaped: bool) -> re.Pattern[str]:
    spelled = "".join(map(_any_spelling, secret)) if escaped else re.escape(secret)
    return re.compile("|".join([spelled, *_in_base64(secret)]))


def _any_spelling(char: str) -> str:
    code, digits = ord(char), f"{ord(char):x}"
    number = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)
    # Bounded, because a long run of backslashes or zeros would take quadratic time.
    escapes = (
        rf"\\{{1,8}}(?:u00|x){number}|%(?:25){{0,4}}{number}|&\#0{{0,6}}{code};|&\#[xX]0{{0,6}}{number};"
    )
    named = {"&": "|&amp;", "<": "|&lt;", ">": "|&gt;", '"': "|&quot;", "'": "|&apos;"}.get(char, "")
    return rf"(?:\\{{0,8}}{re.escape(char)}|{escapes}{named})"


def _in_base64(secret: str) -> list[str]:
    """The base64 forms of the secret at each of the three offsets, in both alphabets."""
    found = []
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        # The first and last characters also encode bits of the adjacent text.
        inner = encoded[(0, 2, 3)[before] : len(encoded) - 1]
        found.append(re.sub(r"\\\+|/", lambda sign: "[+-]" if "+" in sign[0] else "[/_]", re.escape(inner)))
    return found


PROBLEMS = (DferError, OSError)


def sentence(error: Exception) -> str:
    """The error message without keys; for an error of the operating system with its file."""
    if isinstance(error, OSError) and not isinstance(error, DferError):
        return redact_environment(system_words(error))
    return redact_environment(str(error))
