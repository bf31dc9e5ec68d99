"""What a template may take: every way to use up memory or time that we know is a sentence, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts.classes import load_class_set
from dfer_prompts.errors import InputError
from dfer_prompts.templates import read_template

MAFW = load_class_set("mafw")
HEAD = "---\nname: mine\npurpose: A test.\n---\n"


def rendered(body: str) -> str:
    path = Path("mine.md")
    path.write_text(HEAD + body, encoding="utf-8")
    return read_template(path).messages(MAFW.classes[0], MAFW)[0]["content"]


def nested(depth: int, over: str) -> str:
    opened = "".join(f"{{% for x{i} in {over} %}}" for i in range(depth))
    return f"{opened}{'{% endfor %}' * depth}x"


BOMBS = {
    "multiplied text": ("{{ 'a' * 10**13 }}", "* makes more than"),
    "multiplied list": ("{{ 10**12 * [1] }}", "* makes more than"),
    "added text": ("{% set a = 'ab' * 9000 %}{{ a + a }}", "+ makes more than"),
    "a power": ("{{ 9**9**9 }}", "more than 256 bits"),
    "a product": ("{{ 2**200 * 2**200 }}", "more than 256 bits"),
    "a wide format": ("{{ '{:>9999999999}'.format(1) }}", ".format is not for templates"),
    "an old format": ("{{ '%9999999999d' % 1 }}", "% values is not for templates"),
    "a padding method": ("{{ 'x'.ljust(10**12) }}", "a call with 1000000000000"),
    "a padding filter": ("{{ 'x' | center(10**12) }}", "no filter named 'center'"),
    "a mapped filter": ("{{ [1] | map('indent', 10**12) | join }}", "no filter named 'indent'"),
    "a long loop": ("{% for i in range(99999) %}{{ i }}{% endfor %}", "turns of loops"),
    "silent loops": (nested(3, "range(1000)"), "turns of loops"),
    "loops over a constant": (nested(9, "'0123456789'"), "turns of loops"),
    "deep loops": (nested(25, "[1]"), "nested blocks"),
    "a recursive loop": ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursive loop"),
    "doubling": ("{% set a = 'ab' %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}", "a value of more than"),
    "doubling in a namespace": (
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "a value of more than",
    ),
    "doubling in `with`": (
        "{% set a = 'ab' * 9000 %}{% with b = a ~ a %}{{ b }}{% endwith %}",
        "a value of more than",
    ),
    "lists of lists": ("{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ 1 }}", "a value of more"),
    "dictionaries of lists": (
        "{% set a = [1] %}" + "{% set a = {'k': [a, a]} %}" * 60 + "{{ a | length }}",
        "a value of more",
    ),
    "blocks that double": (
        "{% set a = 'ab' %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 60 + "{{ a }}",
        "the prompt is longer than 50000",
    ),
    "a macro that doubles": (
        "{% macro f(s) %}{{ f(s ~ s) }}{% endmacro %}{{ f('ab') }}",
        "a value of more than",
    ),
    "a macro that branches": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "turns of loops and calls",
    ),
    "a macro without end": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "text of any size": ("{{ lipsum(9) }}", "'lipsum' is undefined"),
    "static text in a loop": ("{% for i in range(9000) %}0123456789{% endfor %}", "longer than 50000"),
    "a long range as text": ("{{ range(99999) | list | string }}", "a value of more than"),
    "replacements": ("{% set a = 'a' * 9999 %}{{ (a | replace('', a)) and 1 }}", "a value of more than"),
    "joins": ("{% set a = 'a' * 9999 %}{{ a.join(a) and 1 }}", "a value of more than"),
    "deep parentheses": ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "recursion"),
    "a list printed": ("{{ [1] }}", "a list is printed"),
    "chance": ("{{ expressions | random }}", "no filter named 'random'"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "says"), BOMBS.values(), ids=BOMBS)
@pytest.mark.timeout(20)
def test_what_takes_too_much_is_a_sentence_with_its_line(body: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        rendered("fine\n" + body)
    assert str(error.value).startswith("mine.md, line ")
    assert says in str(error.value).lower()
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{{ expression.upper() }}", "HAPPINESS"),
        ("{{ 2 * 3 + 2 ** 3 }} {{ 7 % 4 }}", "14 3"),
        ("{{ 'ab' + 'c' * 2 }}", "abcc"),
        ("{{ ([1, 2] + [3]) | join(', ') }}", "1, 2, 3"),
        (
            "{% for e in expressions[:3] %}{{ loop.index }} {{ e }}{{ ', ' if not loop.last }}{% endfor %}",
            "1 happiness, 2 sadness, 3 neutral",
        ),
        ("{% for e in expressions if e != expression %}{{ e[0] }}{% else %}none{% endfor %}", "snasdfcahd"),
        ("{% for i in range(3) %}{% for j in range(i) %}{{ j }}{% endfor %}{% endfor %}", "001"),
        ("{% macro m(x, y='!') %}{{ x }}{{ y }}{% endmacro %}{{ m('a') }}{{ m('b', y='?') }}", "a!b?"),
        ("{% set n = namespace(k=0) %}{% for e in 'abc' %}{% set n.k = n.k + 1 %}{% endfor %}{{ n.k }}", "3"),
        ("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}", "3"),
        ("{% set block %}<b>{% endset %}{{ block }}", "<b>"),
        ("{{ expressions | reject('equalto', expression) | map('title') | first }}", "Sadness"),
        ("{{ expressions | length }} {{ 'x' if expression is defined }} {{ none }}", "11 x None"),
    ],
)  # fmt: skip
def test_what_a_prompt_needs_is_there(body: str, expected: str) -> None:
    assert rendered(body) == expected
