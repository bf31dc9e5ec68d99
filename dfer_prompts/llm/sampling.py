"""Sampling parameters and response formats of requests.

Structured output is optional: `FORMS` lists the response formats in the order in which they are tried.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ResponseFormat = Literal["text", "json_schema"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Sampling(BaseModel):
    """Sampling parameters; sent with every request (`reasoning_effort` only if set) and recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=2048, ge=1)  # reasoning models use most of it before the answer
    seed: int = Field(default=1, ge=0)  # sample i has seed + i
    reasoning_effort: Effort | None = None  # only reasoning models accept it, so it is sent only if set


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
# From the strictest to the one that every server supports.
FORMS: tuple[Form, ...] = ("json_schema", "json_object", "text")


def identity(response_format: ResponseFormat) -> Any:
    """The response format in a request's identity: "text", or the full JSON schema object."""
    return JSON_SCHEMA if response_format == "json_schema" else "text"


def parameters(form: Form) -> dict[str, Any]:
    """The request parameters of a response format; none for text, the server's default."""
    if form == "json_schema":
        return {"response_format": JSON_SCHEMA}
    return {"response_format": {"type": "json_object", "schema": SCHEMA}} if form == "json_object" else {}


def reading(form: Form, content: str) -> Form:
    """The format to read an answer as: the requested one if it matches the schema, else text."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return "text"
    listed = value.get("descriptors") if isinstance(value, dict) else None
    fits = isinstance(listed, list) and all(isinstance(each, str) for each in listed)
    return form if fits else "text"
