"""How an answer is drawn, and in which form: what a template recommends and a request carries.

Structured output, an option: what a server is asked for, and the forms of it that servers know.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ResponseFormat = Literal["text", "json_schema"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Sampling(BaseModel):
    """How an answer is drawn; sent with every request (`reasoning_effort` only when set) and recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=2048, ge=1)  # a thinking model spends most of it before its first word
    seed: int = Field(default=1, ge=0)  # sample i is asked with seed + i
    reasoning_effort: Effort | None = None  # only models that reason know it, so it is sent only when set


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
