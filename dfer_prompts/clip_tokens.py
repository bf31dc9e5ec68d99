"""The number of CLIP tokens of a text (of 77 positions), computed without torch.

CLIP's tokenizer is a byte-pair encoding over lower-cased words (Radford et al., Learning Transferable Visual
Models From Natural Language Supervision, 2021, section 2.4). open_clip ships the merges but imports torch to
read them, so the same file is read by the `tokenizers` library.
"""

from __future__ import annotations

import gzip
import html
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import ftfy

from .errors import WorkError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONTEXT_LENGTH = 77  # positions of CLIP's text tower
MARKS = 2  # positions of the start and end tokens

_MERGES = "bpe_simple_vocab_16e6.txt.gz"
_MERGE_COUNT = 49152 - 256 - 2
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def count_tokens(text: str) -> int:
    """The number of tokens of a text, without the start and end tokens.

    >>> count_tokens("raised cheeks.")
    3
    """
    cleaned = html.unescape(html.unescape(ftfy.fix_text(text)))
    return len(_tokenizer().encode(" ".join(cleaned.split()).lower(), add_special_tokens=False).ids)


def room(contexts: int) -> int:
    """The tokens left for a description beside start and end tokens and `contexts` learnable vectors."""
    return max(CONTEXT_LENGTH - MARKS - contexts, 0)


@cache
def _tokenizer() -> Tokenizer:
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    lines = gzip.decompress(_merges_file().read_bytes()).decode("utf-8").split("\n")[1 : _MERGE_COUNT + 1]
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(left + right for left, right in merges)]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = Sequence(
        [
            Split(Regex(_WORDS), behavior="removed", invert=True),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens(["<start_of_text>", "<end_of_text>"])
    return tokenizer


def _merges_file() -> Path:
    found = find_spec("open_clip")
    if found is None or found.origin is None:
        raise WorkError("open_clip is not installed; it provides CLIP's vocabulary")
    return Path(found.origin).with_name(_MERGES)
