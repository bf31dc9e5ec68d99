"""Tokenizers that open_clip takes from the HuggingFace hub: those of SigLIP, SigLIP2, MetaCLIP 2 and CLIPA.

open_clip reads them with transformers. Here the same two files are read by the `tokenizers` library, so that
transformers is not needed and a text can be tokenised without truncation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import torch
from open_clip.tokenizer import get_clean_fn
from tokenizers import Tokenizer
from torch import Tensor

from dfer_model.errors import InputError
from dfer_model.models import hub_cache

VOCABULARY, CONFIG = "tokenizer.json", "tokenizer_config.json"


class Marks(NamedTuple):
    """The token ids that a text tower expects around a text."""

    start: tuple[int, ...]  # before the text; SigLIP has none
    end: tuple[int, ...]  # after it
    padding: int  # at every position that follows


class HubTokenizer:
    """The tokenizer of a text configuration (`text_cfg`) of open_clip; its files are read at the first use.

    `hf_tokenizer_name` is a repository of the hub or a local folder; `tokenizer_kwargs` says how texts are
    cleaned. Every use raises InputError if the files are not on this machine and cannot be downloaded, or
    cannot be read.
    """

    def __init__(self, name: str, text: Mapping[str, Any], context_length: int) -> None:
        options = text.get("tokenizer_kwargs") or {}
        self.name = name  # of the CLIP, for messages
        self.source: str = text["hf_tokenizer_name"]
        self.context_length = context_length
        self.clean = get_clean_fn(options.get("clean", "whitespace"))
        self.strips_separator = bool(options.get("strip_sep_token"))

    def encode(self, text: str) -> list[int]:
        """The tokens of `text` without marks; never truncated."""
        ids: list[int] = self._files[0].encode(self.clean(text), add_special_tokens=False).ids
        return ids

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Token ids with marks and padding, (texts, context length), truncated as in open_clip."""
        given = [texts] if isinstance(texts, str) else texts
        start, end, padding = self.marks
        room = self.context_length - len(start) - len(end)
        rows = [[*start, *self.encode(text)[:room], *end] for text in given]
        return torch.tensor([row + [padding] * (self.context_length - len(row)) for row in rows])

    @cached_property
    def marks(self) -> Marks:
        """What surrounds a text, by the tokenizer's template, `add_bos_token` and `add_eos_token`."""
        tokenizer, config = self._files
        around, inner = (tokenizer.encode("a", add_special_tokens=added).ids for added in (True, False))
        first = next((at for at in range(len(around)) if around[at : at + len(inner)] == inner), 0)
        start, end = tuple(around[:first]), tuple(around[first + len(inner) :])
        if "add_bos_token" in config:
            start = (self._id("bos_token"),) if config["add_bos_token"] else ()
        if "add_eos_token" in config:
            end = (self._id("eos_token"),) if config["add_eos_token"] else ()
        # CLIPA was trained with zeros instead of separators (open_clip's `strip_sep_token`).
        end = (0,) * len(end) if self.strips_separator else end
        return Marks(start, end, self._id("pad_token"))

    def _id(self, role: str) -> int:
        tokenizer, config = self._files
        token = config.get(role, "[PAD]" if role == "pad_token" else None)
        token = token.get("content") if isinstance(token, Mapping) else token
        number = tokenizer.token_to_id(token) if isinstance(token, str) else None
        if number is None:
            raise InputError(
                f"{CONFIG} of the tokenizer {self.source} of {self.name} names no {role} of its vocabulary"
            )
        return int(number)

    @cached_property
    def _files(self) -> tuple[Tokenizer, dict[str, Any]]:
        """The content of both files."""
        vocabulary, config = (self._path(file) for file in (VOCABULARY, CONFIG))
        try:
            tokenizer = Tokenizer.from_file(str(vocabulary))
            settings = json.loads(config.read_text(encoding="utf-8"))
        except Exception as error:  # noqa: BLE001 - tokenizers raises Exception itself
            reason = str(error).partition("\n")[0][:160]
            raise InputError(f"the tokenizer {self.source} of {self.name} cannot be read: {reason}") from None
        if not isinstance(settings, dict):
            raise InputError(f"{config} holds no settings of a tokenizer")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer, settings

    def _path(self, file: str) -> Path:
        """The local path of a file of the tokenizer: in a folder, the hub's cache, or downloaded."""
        if Path(self.source).is_dir():
            return Path(self.source) / file
        try:
            path = huggingface_hub.try_to_load_from_cache(self.source, file)
            if isinstance(path, str):
                return Path(path)
            hub_cache.reach(self.source, file)
            return Path(huggingface_hub.hf_hub_download(self.source, file))
        except Exception as error:  # noqa: BLE001 - the hub's client lets through the errors of whichever HTTP library
            reason = str(error).partition("\n")[0][:160] or type(error).__name__
            raise InputError(
                f"{file} of the tokenizer {self.source} of {self.name} is not on this machine and cannot be "
                f"downloaded: {reason}\n"
                f"On a machine with a network run `hf download {self.source} {VOCABULARY} {CONFIG}`, and "
                f"copy models--{self.source.replace('/', '--')} from its cache to "
                f"{huggingface_hub.constants.HF_HUB_CACHE}"
            ) from None
