"""Taking a secret out of text that others wrote, in whatever form they quote it.

What goes wrong in a study and is for a person to put right, of both packages, and how it is said.
"""

from __future__ import annotations

import base64
import os
import re
from functools import lru_cache
from typing import Any

from ..errors import DferError, system_words

SECRETS = ("OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# "x" or "none" is what local servers are given; cutting such out of a text would only wreck it.
SHORTEST = 6
_ESCAPED = re.compile(r"[\\%&]")  # what every escape of a character begins with
MARK = "[key]"


def redact(value: Any, secret: str | None) -> Any:
    """A text, or JSON with texts in it, without the secret.

    Found as it is, with any of its characters escaped for JSON (as often as it was nested), for an address or
    for HTML, and in base64. A secret shorter than `SHORTEST` is none.
    """
    if not secret or len(secret) < SHORTEST:
        return value
    return _redacted(value, secret)


def redact_environment(text: str) -> str:
    """The text without any of the secrets that the environment holds."""
    for name in SECRETS:
        text = redact(text, os.environ.get(name, "").strip())
    return text


def _redacted(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        # Most texts hold no escape, and reading them for any takes ten times as long.
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
    # Bounded, because a long run of backslashes or zeros would take time with its square.
    escapes = (
        rf"\\{{1,8}}(?:u00|x){number}|%(?:25){{0,4}}{number}|&\#0{{0,6}}{code};|&\#[xX]0{{0,6}}{number};"
    )
    named = {"&": "|&amp;", "<": "|&lt;", ">": "|&gt;", '"': "|&quot;", "'": "|&apos;"}.get(char, "")
    return rf"(?:\\{{0,8}}{re.escape(char)}|{escapes}{named})"


def _in_base64(secret: str) -> list[str]:
    """What base64 makes of the secret wherever it begins in the encoded text, in both alphabets."""
    found = []
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")
        # The first and last characters also hold bits of what stands beside the secret.
        inner = encoded[(0, 2, 3)[before] : len(encoded) - 1]
        found.append(re.sub(r"\\\+|/", lambda sign: "[+-]" if "+" in sign[0] else "[/_]", re.escape(inner)))
    return found


PROBLEMS = (DferError, OSError)


def sentence(error: Exception) -> str:
    """The error as it was written for a person, without keys; the operating system's with its file."""
    if isinstance(error, OSError) and not isinstance(error, DferError):
        return redact_environment(system_words(error))
    return redact_environment(str(error))
