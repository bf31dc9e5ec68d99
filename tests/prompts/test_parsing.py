"""An answer's text -> descriptors: tables of answers read by hand, and any text at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_prompts import load, parse_answer

# Each answer has the descriptors that a careful reader takes from it, written before the parser saw it.
ANSWERS = [
    case
    for part in sorted((Path(__file__).parent / "answers").glob("*.yaml"))
    for case in yaml.safe_load(part.read_text(encoding="utf-8"))
]
LAYOUT = [
    *(
        "- ",
        "* ",
        "1. ",
        "2) ",
        "(3) ",
        "a) ",
        "**",
        "__",
        "### ",
        "```json\n",
        "```",
        "<think>",
        "</think>",
        "<li>",
    ),
    *("|", "| --- |", "\\item ", "\n  ", "\n", ": ", "> ", "[ ] "),
]
DATA = ['["', '"]', '{"eyes": "', '"}', "['", "']", "{", "}", "[", "]", "(", ")", '", "']
WORDS = [
    *("Eyes", "Mouth: ", "raised eyebrows", "The eyes are narrowed.", "Furrowed Brows", "wide, staring eyes"),
    *(
        "Sure, here are:",
        "A: ",
        "Q: ",
        "Onset: ",
        "Unlike fear, ",
        "AU4",
        " and ",
        ", ",
        "; ",
        " - ",
        " / ",
        " with a",
    ),
    *(
        "Feature | Description\n--- | ---\n",
        "region,feature\n",
        "very " * 40,
        "皱眉、",
        "眼睛：睁大。",
        "फैली हुई",
        "😠",
    ),
    *(
        "AU4 (Brow Lowerer)",
        " by the frontalis",
        "Fear: ",
        "| Fear | Anger |\n",
        "In fear the ",
        "while the ",
    ),
    *("[aside]", "{aside}", " # remark", "<|end_of_thought|>", "<|START_THINKING|>", "Final list:\n", "b) "),
    *("\x1b[31m", "\u200b", "\x00", "&lt;b&gt;", "\u0301" * 9, "\u2028", "<|im_end|>", "http://x.y"),
]
ANY_TEXT = st.lists(st.sampled_from(LAYOUT + DATA + WORDS) | st.text(max_size=12), max_size=25).map("".join)
HOSTILE = [
    *(sign * 20_000 for sign in "-*_#|:;,.([{<\"'`\\ \n\t&!aA1/~=>?+、🙂\u0301"),
    *(
        sign * 10_000
        for sign in ("a,", "- ", "a ", ", ", "[]", "()", "{}", "**", "\n-", "a:", "<a", "|\n", ": ", "a-")
    ),
    *(
        sign * 5_000
        for sign in (
            "**a ",
            "and ",
            "1. ",
            "(a) ",
            "• a ",
            '["',
            "['a",
            '{"a',
            "a: b",
            "\n| -",
            "a\n: ",
            "(a[",
        )
    ),
    *(
        word * 2_000
        for word in (
            "<think>",
            "</think>",
            "[THINK]",
            "<|channel|>",
            "![a](",
            "[a](/",
            "a - b; ",
            "the eyes ",
        )
    ),
    *(
        line * 1_000
        for line in (
            "inner corners of the ",
            "upper lip and ",
            "| a | b |\n",
            "AU1+AU2, ",
            "here is features ",
            "AU1 + AU2 (",
            "by the frontalis, ",
            "as the mouth ",
            "in fear the ",
            "fear shows ",
            "a) b) ",
            "raised # ",
            "word [",
            "word {",
            "| fear | eyes |\n",
            "<|begin_of_thought|>",
            "<answer>",
            "What is a feature",
            "final the final ",
            "analysisA assistant",
        )
    ),
    *(
        "features " + "a" * 19_000,
        "- **" + "a " * 9_000,
        "Eyes: " + "a. B " * 3_900,
        "https://" + "a" * 19_000,
    ),
    *(
        "the " + "a-b " * 4_900,
        "\\textbf{" * 2_400,
        "```json\n" + '{"a": [' * 2_000,
        "#" + " a" * 9_000 + "#" * 9,
    ),
]


@pytest.mark.parametrize("case", ANSWERS, ids=[case["about"] for case in ANSWERS])
def test_answers_give_the_descriptors_annotated_by_hand(case: dict[str, Any]) -> None:
    assert parse_answer(str(case["answer"]), case.get("class")) == case["descriptors"]


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
def test_any_text_gives_clean_descriptors(text: str) -> None:
    found = parse_answer(text, "anger")
    for descriptor in found:
        assert 1 <= len(descriptor) <= 120
        assert descriptor == descriptor.strip()
        assert descriptor.isprintable()
        assert not set(descriptor) & set('*`#<>|[]{}_"\\')
    assert len({descriptor.casefold() for descriptor in found}) == len(found)
    assert parse_answer(text, "anger") == found


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
def test_descriptors_in_a_list_are_read_as_they_are(text: str) -> None:
    found = parse_answer(text)
    assert parse_answer("\n".join(f"- {descriptor}" for descriptor in found)) == found


@pytest.mark.parametrize("case", ANSWERS, ids=[case["about"] for case in ANSWERS])
def test_parsing_is_idempotent(case: dict[str, object]) -> None:
    descriptors = case["descriptors"]
    assert isinstance(descriptors, list)
    assert parse_answer("\n".join(f"{i}. {each}" for i, each in enumerate(descriptors, 1))) == descriptors


OF_TWO_CLASSES = [
    "| Region | Fear | Anger |\n|---|---|---|\n| Eyes | wide | glaring |",
    "| Emotion | Eyes | Nose |\n|---|---|---|\n| Fear | wide | |\n| Anger | glaring | |",
    '{"fear": {"eyes": "wide"}, "anger": {"eyes": "glaring"}}',
    '[{"emotion": "fear", "features": ["eyes wide"]}, {"emotion": "anger", "features": ["eyes glaring"]}]',
    "**Fear**\n- Eyes wide\n\n**Anger**\n- Eyes glaring",
    "- Fear:\n  - Eyes wide\n- Anger:\n  - Eyes glaring",
    "Fear: eyes wide\nAnger: eyes glaring",
    "Emotion: fear\nFeatures: eyes wide\n\nEmotion: anger\nFeatures: eyes glaring",
    "In fear, the eyes are wide. In anger, the eyes are glaring.",
]


@pytest.mark.parametrize("answer", OF_TWO_CLASSES)
@pytest.mark.parametrize(
    ("class_name", "descriptor"),
    [("fear", "eyes wide"), ("Fearful", "eyes wide"), ("anger", "eyes glaring"), ("Angry", "eyes glaring")],
)
def test_only_descriptors_of_the_class_are_read(answer: str, class_name: str, descriptor: str) -> None:
    assert parse_answer(answer, class_name) == [descriptor]


@pytest.mark.parametrize(
    ("answer", "class_name"),
    [
        ("despair, grief, sorrow, misery", "sadness"),
        ("- a frightened look\n- raised brows\n- a sad mouth", "surprise"),
        ("**vs. fear:** curved brows\n**vs. joy:** relaxed lips\n", "surprise"),
        ("- Fear: wide eyes\n- Disgust: a wrinkled nose", "fear_disgust"),
        ("- Fear: wide eyes", "boredom and fear"),
    ],
)
def test_words_of_other_classes_alone_remove_no_descriptor(answer: str, class_name: str) -> None:
    assert parse_answer(answer, class_name) == parse_answer(answer)


def test_the_papers_sentences_are_read_back() -> None:
    paper = load("v1")
    for name in paper.class_names:
        assert parse_answer(paper.description(name)) == [each.text for each in paper.members[name][0]]


def test_deeply_nested_json_is_parsed() -> None:
    assert parse_answer("[" * 9_000 + "]" * 9_000) == []


def test_bold_titles_over_paragraphs() -> None:
    answer = "**1. Furrowed brow**\nThe brows are drawn together.\n\n**2. Tight lips**\nThe lips are thin."
    assert parse_answer(answer) == ["furrowed brow", "tight lips"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("run", ["# a" + " " * 3000 + "b", "-" * 2000 + "x", "\n" * 15_000, "#" * 15_000])
def test_long_runs_of_one_character_are_parsed_quickly(run: str) -> None:
    assert parse_answer(run + "\n- raised cheeks") == ["raised cheeks"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", HOSTILE, ids=[f"{text[:12]!r} x {len(text)}" for text in HOSTILE])
def test_hostile_texts_are_parsed_quickly(text: str) -> None:
    assert all(len(descriptor) <= 120 for descriptor in parse_answer(text, "fear"))


def test_an_answer_after_long_thinking_is_read() -> None:
    thinking = "Let me think about the mouth, the eyes and the brows.\n" * 1_000
    assert parse_answer(f"<think>\n{thinking}</think>\n- raised cheeks\n- a wide smile") == [
        "raised cheeks",
        "a wide smile",
    ]


def test_a_very_long_answer_is_cut_at_a_line_end() -> None:
    assert parse_answer("- raised cheeks\n- a wide smile\n" * 100_000) == ["raised cheeks", "a wide smile"]
