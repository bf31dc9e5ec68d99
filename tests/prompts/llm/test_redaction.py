"""A secret leaves a text in whatever form it is quoted, and nothing else does."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from dfer_prompts.llm.redaction import redact, redact_environment

SECRET = "sk-a/b+c&d<\"e'f-0123456789"


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        json.dumps(json.dumps(SECRET)),
        "".join(f"\\u{ord(char):04x}" for char in SECRET),
        "".join(f"\\\\u{ord(char):04X}" for char in SECRET),
        quote(SECRET, safe=""),
        quote(quote(SECRET, safe=""), safe=""),
        "".join(f"&#{ord(char)};" for char in SECRET),
        "".join(f"&#x{ord(char):X};" for char in SECRET),
        SECRET.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;").replace("'", "&#x27;"),
        *(base64.b64encode(b"Bearer "[:cut] + SECRET.encode()).decode() for cut in (0, 1, 2, 7)),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_removed_in_any_encoding(spelling: str) -> None:
    text = redact(f"bad key >{spelling}< of yours", SECRET)
    assert "[key]" in text
    assert text.startswith("bad key >")
    assert text.endswith("< of yours")
    assert len(text) < 50


def test_keys_and_values_of_json_are_cleaned_at_any_depth() -> None:
    value = {"a": [1, None, {SECRET: f"<{SECRET}>"}], "b": True}
    assert redact(value, SECRET) == {"a": [1, None, {"[key]": "<[key]>"}], "b": True}


@pytest.mark.parametrize("secret", [None, "", "x", "none"])
def test_other_text_is_unchanged(secret: str | None) -> None:
    assert redact("none of the boxes", secret) == "none of the boxes"


def test_secrets_of_the_environment_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-first-secret\n")
    monkeypatch.setenv("HF_TOKEN", "hf_second-secret")
    assert redact_environment("sk-first-secret and hf_second-secret") == "[key] and [key]"


@pytest.mark.parametrize("filling", ["\\", "%25", "&#0", "s", "\\\\u0"])
def test_a_long_run_of_escapes_is_read_in_linear_time(filling: str) -> None:
    text = filling * (2**21 // len(filling))  # in time with the square of it the tests would run out
    assert redact(text, SECRET) == text
