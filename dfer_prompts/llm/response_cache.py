"""Requests and the response cache: `.dfer/responses/<sha256>.json`.

`Request.identity` is the only definition of what distinguishes two requests. The parser is not part of it, so
stored answers can be parsed again without new requests.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dfer_model.io import write_atomically

from ..errors import InputError, unknown
from .images import Image, Message, with_bytes
from .sampling import ResponseFormat, Sampling, identity

KEY = re.compile(r"[0-9a-f]{64}")
SHOWN_OF_A_KEY = 12
LISTED = 8  # keys listed in an error message


@dataclass(frozen=True)
class Request:
    """One request: everything that affects its answer, and the class and clip it is for.

    `messages` name `images` by their sha256; the bytes are only sent.
    """

    class_name: str
    base_url: str
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    sample: int  # 0-based
    response_format: ResponseFormat = "text"
    images: tuple[Image, ...] = field(default=(), repr=False)
    clip_id: str | None = None  # None: not about a single clip

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The content of the cache key. The class is included only through the rendered messages."""
        sampling = self.sampling.model_dump()
        sampling["seed"] += self.sample
        return {
            "base_url": self.base_url,
            "model": self.model,
            "messages": list(self.messages),
            "sampling": sampling,
            "response_format": identity(self.response_format),
            "sample": self.sample,
        }

    @property
    def sent_messages(self) -> list[Message]:
        """The messages with the bytes of the images."""
        return with_bytes(self.messages, self.images)

    @cached_property
    def key(self) -> str:
        """The sha256 under which the answer is stored."""
        return ResponseStore.key(self.identity)


class ResponseStore:
    """A folder with one JSON file per answer: `{"request": ..., "received": ..., "response": ...}`.

    `generate` adds fields for display: the `class_name` and `template` of the first request, its response
    format `form`, and the `reading`, the format the answer was read as.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(request: dict[str, Any]) -> str:
        """The hexadecimal sha256 of the request as canonical JSON (sorted keys, no white space, UTF-8)."""
        canonical = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

    def get(self, key: str) -> dict[str, Any] | None:
        """The record stored under `key`; None if there is none or its file is damaged."""
        try:
            return self.read(key)
        except InputError:
            return None

    def read(self, key: str) -> dict[str, Any]:
        """The record stored under `key`. Raises InputError that names the file and the problem."""
        path = self.folder / f"{key}.json"
        try:
            record: Any = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise InputError(f"{path} does not exist") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged (not JSON); it will be requested again") from error
        complete = isinstance(record, dict) and {"request", "response"} <= record.keys()
        if not complete or self.key(record["request"]) != key:
            raise InputError(
                f"{path} is damaged (its content does not match its name); it will be requested again"
            )
        stored: dict[str, Any] = record
        return stored

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Store the record atomically. Raises OSError."""
        text = json.dumps(record, ensure_ascii=True, indent=1) + "\n"
        write_atomically(self.folder / f"{key}.json", text)

    def keys(self) -> list[str]:
        """The keys of all stored records, sorted."""
        files = self.folder.glob("*.json") if self.folder.is_dir() else ()
        return sorted(path.stem for path in files if KEY.fullmatch(path.stem))

    def find(self, beginning: str) -> str:
        """The only key with this prefix. Raises InputError if there is none or more than one."""
        keys = self.keys()
        found = [key for key in keys if key.startswith(beginning.casefold())]
        if not found or not beginning:
            raise unknown("stored answer", beginning, [key[:SHOWN_OF_A_KEY] for key in keys[:LISTED]])
        if len(found) > 1:
            raise InputError(f"{len(found)} stored answers begin with {beginning!r}; give more of the key")
        return found[0]
