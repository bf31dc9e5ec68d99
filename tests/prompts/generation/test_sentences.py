"""The plain baselines: one sentence per class with its name in it."""

from __future__ import annotations

import pytest

from dfer_prompts import InputError, load_class_set
from dfer_prompts.generation.facs import sentence_set


@pytest.mark.parametrize(
    ("classes", "pattern", "name", "expected"),
    [
        ("dfew", "a photo of {class}", "happiness", "a photo of happiness."),
        ("dfew", " an expression of {class}. ", "fear", "an expression of fear."),
        ("dfew", "{class}, {class}", "anger", "anger, anger."),
        ("mafw-compound", "a face of {class}", "anger_disgust", "a face of anger and disgust."),
    ],
)
def test_the_words_of_the_class_are_in_the_sentence(
    classes: str, pattern: str, name: str, expected: str
) -> None:
    made = sentence_set(load_class_set(classes), pattern)
    assert made.class_texts([name]) == [[expected]]
    assert made.manifest.source == "sentence"
    assert made.class_names == load_class_set(classes).names


def test_braces_in_class_words_are_text(tmp_path: object) -> None:
    own = f"{tmp_path}/own.yaml"
    with open(own, "w", encoding="utf-8") as stream:  # noqa: PTH123
        stream.write("name: own\nclasses: [{name: x1, words: '{class} {0.__class__}'}, fear]")
    made = sentence_set(load_class_set(own), "a {class} face")
    assert made.description("x1") == "a {class} {0.__class__} face."


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a photo of a face", "no {class}"),
        ("", "no {class}"),
        ("{class} {name}", "in braces"),
        ("{class} {}", "in braces"),
        ("{class.__init__}", "no {class}"),
        ("a {class}\nface", "on one line"),
    ],
)
def test_an_invalid_pattern_is_an_error(pattern: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        sentence_set(load_class_set("dfew"), pattern)
    assert message in str(raised.value)
