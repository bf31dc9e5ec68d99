"""What a check finds in a description set, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts import DescriptionSet, control_set, facs_set, load, load_class_set
from dfer_prompts.lint import Finding, check

from ..drafts import draft

WORDS_AND_GRAMMAR = (
    "class-name", "other-class", "not-visible", "code", "script", "repeated-word", "two-articles",
    "wrong-article", "wrong-number", "cut-off", "begins-amid", "brackets", "markup", "person", "sentence",
    "owner", "no-article",
)  # fmt: skip


def of(text: str, name: str = "anger") -> DescriptionSet:
    """The text and a harmless descriptor in one class, and another class beside it."""
    return draft({name: [[text, "pursed lips"]], "surprise": [["dropped jaws", "curved eyebrows"]]})


def levels(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(each.rule, each.level) for each in findings if each.rule in WORDS_AND_GRAMMAR}


@pytest.mark.parametrize(
    ("text", "rule", "level"),
    [
        ("an angry look", "class-name", "warning"),
        ("eyes angrily narrowed", "class-name", "warning"),
        ("an expression of ANGER", "class-name", "warning"),
        ("a furious stare", "class-name", "warning"),
        ("irritated-looking eyes", "class-name", "warning"),
        ("a surprised look", "other-class", "warning"),
        ("a shocked look", "other-class", "warning"),
        ("a loud voice", "not-visible", "warning"),
        ("sweating palms", "not-visible", "warning"),
        ("clenched fists", "not-visible", "warning"),
        ("a racing heart", "not-visible", "warning"),
        ("a rigid posture", "not-visible", "warning"),
        ("a feeling of unfairness", "not-visible", "warning"),
        ("lost in thought", "not-visible", "warning"),
        ("reacting to a bad smell", "not-visible", "warning"),
        ("a hand covering the mouth", "not-visible", "note"),
        ("tensed shoulders", "not-visible", "note"),
        ("heavy breathing", "not-visible", "note"),
        ("a sighing face", "not-visible", "note"),
        ("AU4 active", "code", "warning"),
        ("2 raised eyebrows", "code", "warning"),
        ("眉をひそめる", "script", "warning"),
        ("сжатые губы", "script", "warning"),
        ("tight tight lips", "repeated-word", "warning"),
        ("the a clenched jaw", "two-articles", "warning"),
        ("a open mouth", "wrong-article", "warning"),
        ("an tight jaw", "wrong-article", "warning"),
        ("an unified look", "wrong-article", "warning"),
        ("a raised eyebrows", "wrong-number", "warning"),
        ("one tightly closed lips", "wrong-number", "warning"),
        ("lips pressed and", "cut-off", "warning"),
        ("corners of the", "cut-off", "warning"),
        ("narrowed eyes...", "cut-off", "warning"),
        ("or narrowed eyes", "begins-amid", "warning"),
        ("narrowed eyes (very", "brackets", "warning"),
        ("narrowed) eyes", "brackets", "warning"),
        ('"narrowed eyes', "brackets", "warning"),
        ("**narrowed** eyes", "markup", "warning"),
        ("<b>eyes", "markup", "warning"),
        ("lips I would call thin", "person", "warning"),
        ("eyes narrowed at you", "person", "warning"),
        ("the eyes are narrowed", "sentence", "warning"),
        ("eyebrows may lower", "sentence", "warning"),
        ("one corner of its mouth", "owner", "note"),
    ],
)
def test_each_problem_is_found_once(text: str, rule: str, level: str) -> None:
    findings = [each for each in check(of(text)) if each.rule in WORDS_AND_GRAMMAR]
    assert (rule, level) in levels(findings)
    hit = next(each for each in findings if each.rule == rule)
    assert (hit.class_name, hit.member, hit.descriptor) == ("anger", 0, text)


@pytest.mark.parametrize(
    "text",
    [
        "tears", "tears running down the cheeks", "sweat on the forehead", "blushing cheeks",
        "a head tilted back", "crow's feet around the eyes", "a trembling chin", "a thoughtful gaze",
        "a disarming smile", "a set jaw", "a handsome face", "heart-shaped lips", "lips touching",
        "a scar on the chin", "a made-up face", "an hour-glass forehead", "a one-sided smile",
        "a unilateral smirk", "a U-shaped mouth", "an S-shaped mouth", "an uneven mouth",
        "an unimpressed gaze", "a pair of narrowed eyes", "a mouth with raised corners", "a few wrinkles",
        "an eyes-closed smile", "lips drawn in", "eyebrows that are lowered", "wrinkles in one eye corner",
        "eyes darting from side to side", "slack lips (the lower one more)", "lips pressed to a thin line",
        "cheeks sucked in", "eyes that have narrowed", "a fixed gaze", "no smile",
        "lips squared to show teeth", "wrinkles across the forehead", "a grin showing teeth",
        "naïve eyes", "grey-blue eyelids",
    ],
)  # fmt: skip
def test_correct_sets_have_no_finding(text: str) -> None:
    assert levels(check(of(text))) == set()


def test_a_compound_class_is_also_named_by_its_parts() -> None:
    found = check(draft({"anger_disgust": [["a disgusted look"]], "fear": [["a scared, loud look"]]}))
    assert [(each.rule, each.class_name) for each in found if each.rule in WORDS_AND_GRAMMAR] == [
        ("class-name", "anger_disgust"), ("class-name", "fear"), ("not-visible", "fear"),
    ]  # fmt: skip


def test_names_aliases_and_words_of_own_classes_are_found() -> None:
    Path("own.yaml").write_text(
        "name: own\nclasses: [{name: c1, words: mild boredom, aliases: [yawning]}, happy]", encoding="utf-8"
    )
    own = load_class_set("own.yaml")
    texts = {"c1": [["a look of mild boredom", "yawning mouths", "mild eyes"]], "happy": [["a joyful smile"]]}
    found = check(draft(texts, class_set=own.as_manifest()), class_set=own)
    assert [each.descriptor for each in found if each.rule == "class-name"] == [
        "a look of mild boredom", "yawning mouths", "a joyful smile",
    ]  # fmt: skip


def test_a_single_sentence_has_no_grammar_finding() -> None:
    found = check(draft({"anger": [["The eyes are narrow."]], "fear": [["Their lips are parted."]]}))
    assert levels(found) == set()


def test_features_without_an_article_are_one_note() -> None:
    mixed = draft(
        {"anger": [["clenched jaw", "wide, open mouth", "a scowl"]], "fear": [["tears", "clenched jaw"]]}
    )
    assert [each for each in check(mixed) if each.rule == "no-article"] == [
        Finding("note", "no-article", "without 'a' or 'the': 'clenched jaw', 'wide, open mouth'")
    ]


def rules(findings: list[Finding]) -> list[tuple[str, str, str | None, int | None]]:
    return [(each.level, each.rule, each.class_name, each.member) for each in findings]


def test_missing_classes_are_errors_and_only_requested_ones_are_checked() -> None:
    found = check(
        draft({"Happy": [["a smile"]], "anger": [["an angry look"]]}), class_set=load_class_set("dfew")
    )
    missing = [each.class_name for each in found if each.rule == "missing-class"]
    assert missing == ["sadness", "neutral", "surprise", "disgust", "fear"]
    only = draft(
        {"fear": [["a scared look"]], **{name: [["a smile"]] for name in load_class_set("dfew").names[:5]}}
    )
    findings = check(load("v1"), class_set=load_class_set("dfew"))
    assert not [each for each in findings if each.class_name == "contempt" or "contempt" in each.message]
    assert "missing-class" not in {each.rule for each in check(only)}


def test_classes_and_members_with_few_descriptors_are_found() -> None:
    short = draft(
        {
            "fear": [["a", "b", "c"], ["d", "e", "f"]],
            "anger": [["g", "h"], ["i", "j", "k"]],
            "disgust": [["l", "m", "n"]],
        }
    )
    assert [each for each in rules(check(short)) if each[1] == "short-class"] == [
        ("warning", "short-class", "anger", 0), ("warning", "short-class", "disgust", None),
    ]  # fmt: skip
    uneven = draft({"fear": [["a", "b"]], "anger": [["c", "d"]], "disgust": [["e", "f", "g"]]})
    assert "short-class" not in {each.rule for each in check(uneven)}


def test_classes_with_equal_texts_are_found() -> None:
    same = draft(
        {
            "fear": [["A stare", "WET tears"]],
            "anger": [["a stare", "wet Tears"]],
            "disgust": [["tears", "a stare"]],
        }
    )
    errors = [each for each in check(same) if each.level == "error"]
    assert rules(errors) == [("error", "same-sentence", "fear", 0)]
    assert "anger" in errors[0].message
    assert "disgust" not in errors[0].message


def test_repetitions_within_a_member_and_of_a_member_are_found() -> None:
    repeated = draft(
        {
            "fear": [["raised brows", "a stare", "eyebrows that are raised"]],
            "anger": [["a frown", "tears"], ["a frown", "tears"]],
        }
    )
    found = [each for each in check(repeated) if each.rule == "repeated"]
    assert rules(found) == [("warning", "repeated", "fear", 0), ("warning", "repeated", "anger", 0)]
    assert found[0].descriptor == "eyebrows that are raised"
    assert "'raised brows'" in found[0].message


def test_shared_descriptors_are_notes_by_normal_form_and_not_between_a_compound_and_its_parts() -> None:
    shared = draft(
        {
            "fear": [["raised eyebrows", "pale cheeks"]],
            "surprise": [["eyebrows raised", "dropped jaws"]],
            "fear_surprise": [["the raised brows", "pale, cold cheeks"]],
            "anger": [["lowered eyebrows"]],
        }
    )
    found = [each for each in check(shared) if each.rule == "shared"]
    assert [(each.level, each.class_name, each.descriptor, each.message) for each in found] == [
        ("note", "fear", "raised eyebrows", "shared with surprise")
    ]


def words(number: int) -> str:
    """As many words of one CLIP token each."""
    return " ".join(["eyes", "lips"] * number)[: 5 * number - 1]


@pytest.mark.parametrize(
    ("number", "contexts", "rule"),
    # 77 positions - 2 marks - 8 contexts = 67 tokens, one of them the full stop; nine tenths of it are 60.3
    [(67, 8, "too-long"), (66, 8, "nearly-too-long"), (60, 8, "nearly-too-long"), (59, 8, None),
     (66, 9, "too-long"), (66, 0, None)],
)  # fmt: skip
def test_the_length_in_tokens_includes_the_contexts(number: int, contexts: int, rule: str | None) -> None:
    long = draft({"fear": [[words(number)]], "anger": [[words(40)]]})
    found = [each for each in check(long, contexts) if each.rule.endswith("too-long")]
    assert [each.rule for each in found] == ([rule] if rule else [])
    if rule == "too-long":
        assert found[0].level == "error"
        assert found[0].message.startswith(f"{number + 1} tokens do not fit: {number} of CLIP's 77 positions")


@pytest.mark.parametrize(("number", "unbalanced"), [(9, False), (10, True)])
def test_twice_the_length_of_another_class_is_found(number: int, unbalanced: bool) -> None:
    pair = draft({"fear": [[words(number)]], "anger": [[words(4)]]})  # 5 tokens with the full stop
    found = [each for each in check(pair) if each.rule == "unbalanced"]
    assert [(each.level, each.class_name) for each in found] == [("warning", "fear")] * unbalanced
    assert all("11 tokens, anger has 5" in each.message for each in found)


def test_the_papers_descriptors_have_neither_errors_nor_warnings() -> None:
    found = check(load("v1"), class_set=load_class_set("mafw"))
    assert {each.level for each in found} == {"note"}
    assert [(each.rule, each.class_name) for each in found if each.rule != "shared"] == [
        ("owner", "contempt"), ("not-visible", "disappointment"),
    ]  # fmt: skip


@pytest.mark.parametrize("classes", ["mafw", "mafw-compound"])
def test_the_facs_table_has_no_finding(classes: str) -> None:
    assert levels(check(facs_set(load_class_set(classes)))) == set()


def test_errors_come_first_and_then_the_order_of_the_classes() -> None:
    mixed = draft({"fear": [["clenched jaw"]], "anger": [["an angry look"]], "joy": [["a joyful look"]],
                   "disgust": [["clenched jaw"]]})  # fmt: skip
    assert [(each.level, each.class_name) for each in check(mixed)] == [
        ("error", "fear"), ("warning", "anger"), ("warning", "joy"), ("note", None), ("note", "fear"),
    ]  # fmt: skip


def test_a_control_is_found() -> None:
    names = check(control_set("class-name", load("v1")))
    assert {each.class_name for each in names if each.rule == "class-name"} == set(load("v1").class_names)
