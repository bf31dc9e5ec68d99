"""Structured output, an option: what a server is asked for, and the forms of it that servers know.

OpenAI's chat completions take `response_format` with `json_schema`. Servers in use refuse it, take only
`json_object` (some with a schema in it), or ignore it and answer in prose; so what was asked for, the form it
was sent in and how the answer could be read are three things, each recorded.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from ..sampling import ResponseFormat

Form = Literal["json_schema", "json_object", "text"]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"descriptors": {"type": "array", "items": {"type": "string"}}},
    "required": ["descriptors"],
    "additionalProperties": False,
}
JSON_SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "descriptors", "strict": True, "schema": SCHEMA},
}
# From the one that promises most to the one that every server takes.
FORMS: tuple[Form, ...] = ("json_schema", "json_object", "text")


def identity(response_format: ResponseFormat) -> Any:
    """What was asked for, as it stands in a request's identity: "text", or the schema and all around it."""
    return JSON_SCHEMA if response_format == "json_schema" else "text"


def parameters(form: Form) -> dict[str, Any]:
    """What is sent for a form; nothing for text, which is what a server answers anyway."""
    if form == "json_schema":
        return {"response_format": JSON_SCHEMA}
    return {"response_format": {"type": "json_object", "schema": SCHEMA}} if form == "json_object" else {}


def reading(form: Form, content: str) -> Form:
    """How an answer can be read: in the form that was sent if it keeps to the schema, else as text."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return "text"
    listed = value.get("descriptors") if isinstance(value, dict) else None
    fits = isinstance(listed, list) and all(isinstance(each, str) for each in listed)
    return form if fits else "text"
