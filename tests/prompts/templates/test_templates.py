"""Templates: what they render, what they may not do, and what a person reads when one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts.classes import ClassSet, ExpressionClass, load_class_set
from dfer_prompts.errors import InputError
from dfer_prompts.templates import load_template, read_template, template_names
from dfer_prompts.workspace import SHIPPED_TEMPLATES, Workspace

HEAD = "---\nname: mine\npurpose: A test.\n---\n"
MAFW = load_class_set("mafw")


@pytest.fixture
def workspace(isolated: Path) -> Workspace:
    return Workspace(isolated)


def write(workspace: Workspace, text: str, name: str = "mine") -> Path:
    path = workspace.prompts / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def rendered(workspace: Workspace, name: str = "mine", class_name: str = "anger") -> str:
    messages = load_template(name, workspace).messages(MAFW.resolve(class_name), MAFW)
    assert [message["role"] for message in messages] == ["user"]
    return messages[0]["content"]


def test_the_paper_template_has_the_prompt_of_the_paper(workspace: Workspace) -> None:
    assert rendered(workspace, "paper") == (
        "Q: What are useful visual features for the facial expression of anger?\n"
        "A: Some useful visual features for facial expressions of anger include: ..."
    )


def test_the_prompt_has_the_words_of_a_compound_class(workspace: Workspace) -> None:
    compound = load_class_set("mafw-compound")
    messages = load_template("paper", workspace).messages(compound.resolve("anger_disgust"), compound)
    assert "expression of anger and disgust?" in messages[0]["content"]


def test_the_workspace_takes_precedence_over_shipped_files(workspace: Workspace) -> None:
    write(workspace, "---\nname: paper\npurpose: Mine.\n---\n{{ expression }}!\n", "paper")
    write(workspace, HEAD + "other {{ expression }}")
    assert template_names(workspace) == sorted([*SHIPPED_TEMPLATES, "mine"])
    assert rendered(workspace, "paper") == "anger!"


def test_values_are_rendered_verbatim_and_not_as_templates(workspace: Workspace) -> None:
    write(workspace, HEAD + "{{ expression }} of {{ expressions | join('/') }} in {{ class_set }}")
    words = '{{ 7 * 7 }} <b>"joy" & awe</b> {% raw %} ${x}'
    classes = ClassSet("own", (ExpressionClass("joy", words), ExpressionClass("awe", "awe")))
    content = load_template("mine", workspace).messages(classes.classes[0], classes)[0]["content"]
    assert content == f"{words} of {words}/awe in own"


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("fine\n{{ expresion }}", 6, "'expresion' is undefined"),
        ("{{ expression.__class__ }}", 5, "unsafe"),
        ("{{ expression.__class__.__mro__ }}", 5, "unsafe"),
        ("{{ range.__globals__ }}", 5, "unsafe"),
        ("{{ ''.format.__globals__ }}", 5, "not allowed in templates"),
        ("a\n{% for e in expressions %}\n{{ e }}\n{{ e.nope }}{% endfor %}", 8, "no attribute 'nope'"),
        ("{% macro m(x) %}\n{{ x.nope }}{% endmacro %}\n\n{{ m(1) }}", 6, "no attribute 'nope'"),
        ("a {{ expression\n| nope }}", 6, "no filter named 'nope'"),
        ("\n\nfine\n{{ expressions.append('x') }}", 8, "unsafe"),
        ("fine\n{% include '/etc/passwd' %}", 6, "loader"),
        ("fine\n{% if %}", 6, "expected"),
        ("fine\n\n{{ expression", 7, "unexpected end"),
        ("fine\n{{ 1 / 0 }}", 6, "division by zero"),
        ("fine\n{{ expression + 1 }}", 6, "str"),
        ("{{ range(10 ** 9) | list }}", 5, "range too big"),
    ],
)
def test_an_invalid_template_is_an_error_with_the_line(
    workspace: Workspace, body: str, line: int, says: str
) -> None:
    path = write(workspace, HEAD + body)
    with pytest.raises(InputError) as error:
        rendered(workspace)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert says in str(error.value).lower()
    assert len(str(error.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no front matter", "no front matter"),
        ("---\nname: mine\npurpose: x\nno end", "no front matter"),
        ("---\nname: mine\n---\n{{ expression }}", "purpose"),
        ("---\nname: mine\npurpose: x\ncolour: red\n---\n{{ expression }}", "colour"),
        ("---\nname: mine\npurpose: |\n  two\n  lines\n---\n{{ expression }}", "purpose"),
        ("---\nname: other\npurpose: x\n---\n{{ expression }}", "name: other; it must be mine"),
        ("---\nname: mine\npurpose: x\nsampling: {temperature: hot}\n---\n{{ expression }}", "temperature"),
        ("---\nname: mine\npurpose: x\nsampling: {temprature: 1}\n---\n{{ expression }}", "temprature"),
        ("---\nname: mine\npurpose: x\nsampling: {temperature: 3}\n---\n{{ expression }}", "temperature"),
        ("---\n- a list\n---\n{{ expression }}", "dictionary"),
        ("---\nname: [\n---\n{{ expression }}", "not valid YAML"),
        ("---\nname: !!python/object/apply:os.system [true]\n---\n{{ expression }}", "not valid YAML"),
    ],
)
def test_invalid_front_matter_is_an_error_with_the_file(workspace: Workspace, text: str, says: str) -> None:
    path = write(workspace, text)
    with pytest.raises(InputError) as error:
        load_template("mine", workspace)
    assert str(path) in str(error.value)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("matter", "line", "says"),
    [
        ("name: mine\n# a comment\npurpose: 5", 4, "purpose"),
        ("name: mine\npurpose: x\nsampling:\n  temperature: 3", 4, "sampling, temperature"),
        ("name: mine\npurpose: x\nresponse_format: xml", 4, "response_format"),
        ("name: mine\npurpose: x\n\ncolour: red", 5, "colour"),
        ("purpose: x\nname: other", 3, "it must be mine"),
        ("name: mine\npurpose: x: y", 3, "mapping values are not allowed"),
        ("name: mine\npurpose: !!bool x", None, "tag does not fit"),
        ("name: mine", None, "purpose: Field required"),
        ("name: mine\npurpose: x\n1: 2", 4, "Keys should be strings"),
    ],
)
def test_invalid_front_matter_is_an_error_with_the_line(
    workspace: Workspace, matter: str, line: int | None, says: str
) -> None:
    path = write(workspace, f"---\n{matter}\n---\n{{{{ expression }}}}")
    with pytest.raises(InputError) as error:
        load_template("mine", workspace)
    message = str(error.value)
    assert message.startswith(str(path))
    assert says in message
    assert "\n" not in message
    assert f"line {line}" in message if line else "line" not in message


def test_a_template_declares_the_form_of_its_answer(workspace: Workspace) -> None:
    write(workspace, "---\nname: mine\npurpose: x\nresponse_format: json_schema\n---\n{{ expression }}")
    write(workspace, HEAD.replace("mine", "plain") + "{{ expression }}", "plain")
    assert load_template("mine", workspace).response_format == "json_schema"
    assert load_template("plain", workspace).response_format == "text"


def test_a_byte_order_mark_before_the_front_matter_is_ignored(workspace: Workspace) -> None:
    path = write(workspace, "")
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode() + b"{{ expression }}")
    assert rendered(workspace) == "anger"


def test_bytes_that_are_not_text_are_an_error(workspace: Workspace) -> None:
    path = write(workspace, "")
    path.write_bytes(b"---\nname: mine\xff\n")
    with pytest.raises(InputError, match=r"mine\.md: not UTF-8"):
        load_template("mine", workspace)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "a/b", "..", "paper.md", "Paper", "mine\n"])
def test_a_name_is_never_a_path(workspace: Workspace, name: str) -> None:
    write(workspace, HEAD + "{{ expression }}")
    (workspace.root / "secret.md").write_text(HEAD + "secret")
    with pytest.raises(InputError, match="no template"):
        load_template(name, workspace)


def test_a_wrong_name_is_an_error_with_the_most_similar(workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"did you mean paper\?\nThere are: action-units, "):
        load_template("papr", workspace)


def test_an_empty_prompt_is_not_sent(workspace: Workspace) -> None:
    write(workspace, HEAD + "{% if false %}x{% endif %}")
    with pytest.raises(InputError, match="gives an empty prompt"):
        rendered(workspace)


def test_the_hash_does_not_depend_on_line_ends(workspace: Workspace) -> None:
    path = write(workspace, HEAD + "{{ expression }}\n")
    first = read_template(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_template(path).sha256 == first.sha256
    path.write_text(path.read_text().replace("A test.", "Another."))
    assert read_template(path).sha256 != first.sha256


def test_a_template_with_images_can_use_the_clips_and_the_other_class(workspace: Workspace) -> None:
    head = HEAD.replace("---\n", "---\nimages: contrast\n", 1)
    lines = "{% for c in clips %}{{ c.expression }} {{ c.first }}-{{ c.last }};{% endfor %}{{ other }}"
    write(workspace, head + "{{ expression }}: " + lines)
    # An example: two clips of the class and two of another one, with four images each.
    assert rendered(workspace) == "anger: anger 1-4;anger 5-8;happiness 9-12;happiness 13-16;happiness"
    assert rendered(workspace, class_name="happiness").endswith(";sadness")


def test_clips_are_variables_of_templates_with_images_only(workspace: Workspace) -> None:
    write(workspace, HEAD + "{{ clips }}")
    with pytest.raises(InputError, match="'clips' is undefined"):
        rendered(workspace)
    path = write(workspace, HEAD.replace("---\n", "---\nimages: many\n", 1) + "{{ expression }}")
    with pytest.raises(InputError, match="line 2: images"):
        read_template(path)
