"""An answer's text -> descriptors: a table of answers read by hand, and any text at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_prompts.parsing import parse_answer

ANSWERS = yaml.safe_load((Path(__file__).parent / "answers.yaml").read_text(encoding="utf-8"))
FRAGMENTS = [
    *(
        "- ",
        "* ",
        "1. ",
        "2) ",
        "(3) ",
        "**",
        "__",
        "### ",
        "```json\n",
        "```",
        "<think>",
        "</think>",
        "<li>",
        "|",
    ),
    *(
        "| --- |",
        "Eyes",
        "Mouth: ",
        "raised eyebrows",
        "The eyes are narrowed.",
        ", ",
        "; ",
        " and ",
        ": ",
        "\n",
    ),
    *("\n  ", '["', '"]', "{", "}", "(", ")", "Sure, here are:", "A: ", "Q: ", "\x1b[31m", "\u200b", "\x00"),
    *("&lt;b&gt;", "very " * 40, "皺眉", "😠"),
]


@pytest.mark.parametrize("case", ANSWERS, ids=[case["about"] for case in ANSWERS])
def test_answer_is_read_as_a_careful_person_would(case: dict[str, object]) -> None:
    assert parse_answer(str(case["answer"])) == case["descriptors"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=12), max_size=25).map("".join))
def test_any_text_gives_clean_descriptors(text: str) -> None:
    for descriptor in parse_answer(text):
        assert 1 <= len(descriptor) <= 120
        assert descriptor == descriptor.strip()
        assert descriptor.isprintable()
        assert not set(descriptor) & set('*`#<>|[]{}_"')


def test_deeply_nested_json_is_no_crash() -> None:
    assert parse_answer("[" * 9_000 + "]" * 9_000) == []


def test_bold_titles_over_paragraphs() -> None:
    answer = "**1. Furrowed brow**\nThe brows are drawn together.\n\n**2. Tight lips**\nThe lips are thin."
    assert parse_answer(answer) == ["furrowed brow", "tight lips"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("run", ["# a" + " " * 3000 + "b", "-" * 2000 + "x", "\n" * 15_000, "#" * 15_000])
def test_a_long_run_of_one_character_does_not_hold_the_parser_up(run: str) -> None:
    assert parse_answer(run + "\n- raised cheeks") == ["raised cheeks"]
