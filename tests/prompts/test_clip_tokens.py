"""CLIP's tokens counted without torch are those that open_clip counts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_prompts import load
from dfer_prompts.clip_tokens import count_tokens, room

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer

PIECES = (
    "raised eyebrows", "Wide-open EYES,", "mouth's corners", "it's", "naïve", "crow’s-feet", "&amp;lt;b&gt;",
    "<b>", "AU12", "3.5", "眉をひそめる", "😀👍🏽", "\ufb01ne", "I\u0307", "ß", "\u0000", "\u200b", "\t\n",
    "'ll", "``", "!!!", "schÃ¶n", "हिन्दी", "e\u0301",
)  # fmt: skip

# Which of the characters not assigned yet are letters depends on how new a library's Unicode tables are.
letters = st.text(st.characters(exclude_categories=["Cn", "Cs"]), max_size=12)


@cache
def reference() -> SimpleTokenizer:
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | letters), st.sampled_from(["", " "]))
def test_as_many_tokens_as_open_clip_counts(pieces: list[str], glue: str) -> None:
    text = glue.join(pieces)
    assert count_tokens(text) == len(reference().encode(text))


def test_token_counts_of_the_papers_descriptions_and_special_tokens() -> None:
    v1 = load("v1")
    for sentence in ["a <start_of_text> b <end_of_text>", *map(v1.description, v1.class_names)]:
        assert count_tokens(sentence) == len(reference().encode(sentence))


@pytest.mark.parametrize(("contexts", "tokens"), [(8, 67), (0, 75), (75, 0), (100, 0)])
def test_free_positions_exclude_special_tokens_and_contexts(contexts: int, tokens: int) -> None:
    assert room(contexts) == tokens
