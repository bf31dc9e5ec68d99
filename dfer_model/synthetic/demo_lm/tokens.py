"""The tokenizer of the demo language model: words with the space before them, in the `tokenizers` format.

The marks of turns cannot occur in a text, because the pre-tokenizer splits "<user>" into three tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

UNKNOWN, USER, ASSISTANT, END = "<unknown>", "<user>", "<assistant>", "<end>"
MARKS = (UNKNOWN, USER, ASSISTANT, END)
PATTERN = r"\n| ?[A-Za-z]+(?:'[a-z]+)?| ?[0-9]| ?[^\sA-Za-z0-9]|\s"


def word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A tokenizer with every word of the texts, the most frequent first; other words are `UNKNOWN`."""
    splitter = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(text))
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = {word: i for i, word in enumerate((*MARKS, *ordered))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def mark_id(tokenizer: Tokenizer, mark: str) -> int:
    """The token id of one of the `MARKS`, which every tokenizer of this model has."""
    number: int | None = tokenizer.token_to_id(mark)
    assert number is not None
    return number
