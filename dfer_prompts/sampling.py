"""How an answer is drawn, and in which form: what a template recommends and a request carries."""

from __future__ import annotations

from typing import Literal

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
