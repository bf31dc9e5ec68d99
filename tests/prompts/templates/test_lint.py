"""What `prompts check` finds in a template, and that what is shipped has nothing to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts.classes import ClassSet, ExpressionClass, class_set_names, load_class_set
from dfer_prompts.errors import InputError
from dfer_prompts.parsing import parse_answer
from dfer_prompts.templates import load_template
from dfer_prompts.templates.lint import TemplateFinding, check_template
from dfer_prompts.workspace import SHIPPED_TEMPLATES, Workspace

HEAD = "---\nname: mine\npurpose: A test.\nsource: A person.\n---\n"  # the prompt begins in line 6
NO_SOURCE = HEAD.replace("source: A person.\n", "")
MAFW = load_class_set("mafw")


def check(text: str, class_set: ClassSet = MAFW) -> list[TemplateFinding]:
    path = Path("prompts/mine.md")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return check_template("mine", Workspace(), class_set)


@pytest.mark.parametrize("class_set", class_set_names())
@pytest.mark.parametrize("name", SHIPPED_TEMPLATES)
def test_shipped_templates_have_no_finding(name: str, class_set: str) -> None:
    assert check_template(name, Workspace(), load_class_set(class_set)) == []


def test_a_valid_template_has_no_finding() -> None:
    assert check(HEAD + "What does {{ expression }} look like?") == []


@pytest.mark.parametrize(
    ("text", "level", "rule", "line", "class_names", "says"),
    [
        ("no front matter", "error", "fault", None, (), "no front matter"),
        (HEAD.replace("purpose", "porpoise"), "error", "fault", None, (), "purpose"),
        (HEAD.replace("source: A person.", "colour: red"), "error", "fault", 4, (), "colour"),
        (HEAD.replace("source: A person.", "sampling: {top_p: 2}"), "error", "fault", 4, (), "top_p"),
        (HEAD + "fine\n{% if %}", "error", "fault", 7, (), "Expected an expression"),
        (HEAD + "\n{{ expression.nope }}", "error", "fault", 7, MAFW.names, "no attribute 'nope'"),
        (
            HEAD + "{{ expression }}\n{% if expression in ('fear', 'anger') %}{{ nope }}{% endif %}",
            "error", "fault", 7, ("anger", "fear"), "'nope' is undefined",
        ),
        (HEAD + "What does a face look like?", "error", "same", None, MAFW.names, "{{ expression }}"),
        (
            HEAD + "{{ expression[:1] if expression[0] in 'cd' else expression }}",
            "error", "same", None, ("disgust", "disappointment"), "the same prompt",
        ),
        (
            HEAD + "{{ expression }}\n{% if expression == 'pride' %}\n{{ nope }}{% endif %}",
            "warning", "undefined", 8, (), "nope is undefined",
        ),
        (HEAD + "{{ expression }}" + "x" * 7996, "warning", "long", None,
            ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "contempt", "anxiety",
             "helplessness", "disappointment"), "up to 8010 characters"),
        (
            HEAD.replace("source", "response_format: json_schema\nsource") + "{{ expression }}?",
            "warning", "form", None, MAFW.names, "response_format is JSON",
        ),
        (HEAD + "{{ expression }} as JSON", "note", "form", None, (), "response_format: json_schema"),
        (
            HEAD + "{# not of fear #}{{ expression }}\n{{ 'disgust'[:0] }}Like Sadness.",
            "note", "names", 7, ("sadness",), "'Sadness'",
        ),
        (HEAD + "{{ expression }}, not afraid", "note", "names", 6, ("fear",), "'afraid'"),
        (NO_SOURCE + "{{ expression }}", "note", "source", None, (), "will not have one"),
    ],
)  # fmt: skip
def test_each_problem_is_found_with_its_place(
    text: str, level: str, rule: str, line: int | None, class_names: tuple[str, ...], says: str
) -> None:
    (found,) = check(text)
    assert (found.level, found.rule, found.line, found.class_names) == (level, rule, line, class_names)
    assert says in found.message
    assert "\n" not in found.message


def test_errors_come_first() -> None:
    found = check(NO_SOURCE + "afraid {{ expression[:0] }}")
    assert [each.level for each in found] == ["error", "note", "note"]


def test_words_with_special_characters_are_searched_literally() -> None:
    odd = ClassSet("odd", (ExpressionClass("a", "a.c (sic)"), ExpressionClass("b", "b")))
    assert check(HEAD + "abc {{ expression }}", odd) == []


def test_a_name_that_does_not_exist_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no template 'nope'"):
        check_template("nope", Workspace(), MAFW)


@pytest.mark.parametrize("name", SHIPPED_TEMPLATES)
def test_a_prompt_names_no_other_class_unless_it_is_contrastive(name: str) -> None:
    others = {each.words for each in MAFW.classes if each.name != "contempt"}
    template = load_template(name, Workspace())
    prompt = template.messages(MAFW.resolve("contempt"), MAFW)[0]["content"]
    assert "contempt" in prompt
    named = {word for word in others if word in prompt}
    beside = dict.fromkeys(("contrastive", "synonyms", "optimize"), others) | {
        "frames-contrast": {"happiness"}
    }
    assert named == beside.get(name, set())
    assert 'not "contempt"' not in prompt


def test_the_examples_in_prompts_are_not_of_a_shipped_class() -> None:
    shipped = [each for name in class_set_names() for each in load_class_set(name).classes]
    words = {word for each in shipped for word in (each.words, *each.aliases)}
    assert not {"boredom", "bored", "weary", "yawning"} & words
    texts = {name: load_template(name, Workspace()).text for name in SHIPPED_TEMPLATES}
    assert {name for name, text in texts.items() if "boredom" in text} == {"paper-fewshot", "synonyms"}


ANSWERS = {
    "paper-fewshot": "- brows drawn low over the eyes\n- a tightly clenched jaw\n- flared nostrils",
    "structured": '{"descriptors": ["brows drawn low", "a tightly clenched jaw", "flared nostrils"]}',
    "contrastive": "- brows drawn low over the eyes\n- a tightly clenched jaw\n- flared nostrils\n",
    "action-units": "1. brows drawn low over the eyes\n2. a tightly clenched jaw\n3. flared nostrils",
    "temporal": "- eyebrows beginning to lower\n- a mouth slowly tightening\n- jaw loosening last",
    "synonyms": "- an angry face\n- an expression of rage\n- a furious look",
}  # fmt: skip


@pytest.mark.parametrize(("name", "answer"), ANSWERS.items())
def test_an_answer_in_the_requested_form_is_read(name: str, answer: str) -> None:
    read = parse_answer(answer)
    assert len(read) == 3
    assert all(phrase in answer for phrase in read)
    asked = load_template(name, Workspace()).text
    assert ('"descriptors"' in asked) == (name == "structured")
    assert ("per line" in asked) == (name != "structured")
