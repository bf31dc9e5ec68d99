"""Images of requests: sent as JPEG data URIs, stored and hashed by their sha256."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .answers import text_of

Message = dict[str, Any]  # of the Chat Completions API

# Tokens of an image of 336 x 336 pixels, for estimates: LLaVA 1.5 has 576, other models have fewer.
IMAGE_TOKENS = 576


@dataclass(frozen=True)
class Image:
    """The bytes of one JPEG file."""

    jpeg: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the bytes, hexadecimal."""
        return hashlib.sha256(self.jpeg).hexdigest()

    @property
    def reference(self) -> str:
        """The image's place in a stored message."""
        return f"sha256:{self.sha256}"

    @property
    def data_uri(self) -> str:
        """The image's place in a sent message."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode('ascii')}"


def image_message(text: str, images: Iterable[Image]) -> Message:
    """A user message of a text and references to images, as it is stored and hashed."""
    parts = [{"type": "image_url", "image_url": {"url": image.reference}} for image in images]
    return {"role": "user", "content": [{"type": "text", "text": text}, *parts]}


def with_bytes(messages: Iterable[Message], images: Iterable[Image]) -> list[Message]:
    """The messages to send: each reference to one of `images` is replaced by its data URI."""
    known = {image.reference: image for image in images}

    def sent(part: Any) -> Any:
        if not _is_image(part):
            return part
        return {"type": "image_url", "image_url": {"url": known[part["image_url"]["url"]].data_uri}}

    return [
        {**message, "content": [sent(part) for part in message["content"]]}
        if isinstance(message["content"], list)
        else message
        for message in messages
    ]


def shown_text(messages: Sequence[Message]) -> str:
    """The text of messages for display, with the number of images in each."""
    return "\n".join(_shown(message["content"]) for message in messages)


def message_text(messages: Iterable[Message]) -> str:
    """The text of messages without their images."""
    return "\n".join(text_of(message["content"]) or "" for message in messages)


def _shown(content: Any) -> str:
    if not isinstance(content, list):
        return str(content)
    count = sum(map(_is_image, content))
    note = f"\n[{count} {'image' if count == 1 else 'images'}]" if count else ""
    return f"{text_of(content) or ''}{note}"


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image_url"
