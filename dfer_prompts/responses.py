"""Requests and the answers already paid for: `.dfer/responses/<sha256>.json`.

What makes two requests different is written down here and nowhere else: `Request.identity`. The parser is not
in it, so parsing the stored answers again is free.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .files import write_atomically

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Sampling(BaseModel):
    """How an answer is drawn; sent with every request (`reasoning_effort` only when set) and recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=2048, ge=1)  # a thinking model spends most of it before its first word
    seed: int = Field(default=1, ge=0)  # sample i is asked with seed + i
    reasoning_effort: Effort | None = None  # only models that reason know it, so it is sent only when set


@dataclass(frozen=True)
class Request:
    """One question: everything that shapes its answer, and the class it is asked for."""

    class_name: str
    base_url: str
    model: str
    messages: tuple[dict[str, str], ...]
    sampling: Sampling
    sample: int  # 0-based

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the answer is stored under. The class is in it through its rendered messages only."""
        sampling = self.sampling.model_dump()
        sampling["seed"] += self.sample
        return {
            "base_url": self.base_url,
            "model": self.model,
            "messages": list(self.messages),
            "sampling": sampling,
            "response_format": "text",
            "sample": self.sample,
        }

    @cached_property
    def key(self) -> str:
        """The sha256 under which the answer is stored."""
        return ResponseStore.key(self.identity)


class ResponseStore:
    """A folder with one JSON file per answer: `{"request": ..., "received": ..., "response": ...}`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(request: dict[str, Any]) -> str:
        """The sha256, in hex, of the request as canonical JSON (sorted keys, no white space, UTF-8)."""
        canonical = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

    def get(self, key: str) -> dict[str, Any] | None:
        """The record stored under `key`; None where there is none, or where its file is damaged."""
        try:
            record = json.loads((self.folder / f"{key}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        whole = isinstance(record, dict) and {"request", "response"} <= record.keys()
        return record if whole and self.key(record["request"]) == key else None

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Store the record whole and at once. Raises OSError as the operating system does."""
        text = json.dumps(record, ensure_ascii=True, indent=1) + "\n"
        write_atomically(self.folder / f"{key}.json", text)
