"""What a template may take: every way to use up memory or time that we know is a sentence, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts.classes import load_class_set
from dfer_prompts.errors import InputError
from dfer_prompts.templates import read_template, sandbox

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
    "multiplied text": ("{{ 'a' * 10**13 }}", "* gives more than"),
    "multiplied list": ("{{ 10**12 * [1] }}", "* gives more than"),
    "added text": ("{% set a = 'ab' * 9000 %}{{ a + a }}", "+ gives more than"),
    "a power": ("{{ 9**9**9 }}", "more than 256 bits"),
    "a product": ("{{ 2**200 * 2**200 }}", "more than 256 bits"),
    "a wide format": ("{{ '{:>9999999999}'.format(1) }}", ".format is not allowed in templates"),
    "an old format": ("{{ '%9999999999d' % 1 }}", "% values is not allowed in templates"),
    "a padding method": ("{{ 'x'.ljust(10**12) }}", "a call with 1000000000000"),
    "a padding filter": ("{{ 'x' | center(10**12) }}", "no filter named 'center'"),
    "a mapped filter": ("{{ [1] | map('indent', 10**12) | join }}", "no filter named 'indent'"),
    "a long loop": ("{% for i in range(99999) %}{{ i }}{% endfor %}", "loop iterations"),
    "silent loops": (nested(3, "range(1000)"), "loop iterations"),
    "loops over a constant": (nested(9, "'0123456789'"), "loop iterations"),
    "deep loops": (nested(25, "[1]"), "nested blocks"),
    "a recursive loop": ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursive loop"),
    "doubling": ("{% set a = 'ab' %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}", "returns more than"),
    "doubling in a namespace": (
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "returns more than",
    ),
    "doubling in `with`": (
        "{% set a = 'ab' * 9000 %}{% with b = a ~ a %}{{ b }}{% endwith %}",
        "returns more than",
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
        "returns more than",
    ),
    "a macro that branches": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "loop iterations and calls",
    ),
    "a macro without end": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "text of any size": ("{{ lipsum(9) }}", "'lipsum' is undefined"),
    "static text in a loop": ("{% for i in range(9000) %}0123456789{% endfor %}", "longer than 50000"),
    "a long range as text": ("{{ range(99999) | list | string }}", "more than"),
    "replacements": ("{% set a = 'a' * 9999 %}{{ (a | replace('', a)) and 1 }}", "returns more than"),
    "joins": ("{% set a = 'a' * 9999 %}{{ a.join(a) and 1 }}", "join returns more"),
    "a replacing method": ("{% set a = 'a' * 9999 %}{{ a.replace('', a) }}", "replace returns more"),
    "a replacement of all": (
        "{% set a = 'a' * 9999 %}{{ (a | replace(new=a, old='a')) and 1 }}", "replace returns more",
    ),
    "a mapped replacement": (
        "{% set a = 'a' * 9999 %}{{ [a] | map('replace', 'a', a) | first }}", "replace returns more",
    ),
    "a joining filter": ("{% set a = 'a' * 9999 %}{{ a | join(a) }}", "join returns more"),
    "a joined range": ("{% set a = 'a' * 9999 %}{{ range(99999) | join(a) }}", "join returns more"),
    "a range in a joining method": ("{{ ('a' * 9999).join(range(99999)) }}", "join returns more"),
    "wide tabs": (r"{{ ('\t' * 9999).expandtabs(9999) }}", "expandtabs returns more"),
    "wide tabs by name": (r"{{ ('\t' * 999).expandtabs(tabsize=999) }}", "expandtabs returns more"),
    "a translation": ("{{ ('a' * 9999).translate({97: 'b' * 9999}) }}", "translate returns more"),
    "wrapped lines": (
        "{{ ('a ' * 4999) | wordwrap(1, wrapstring='b' * 9999) }}", "wordwrap returns more",
    ),
    "links": ("{{ ('http://a.b ' * 999) | urlize(target='b' * 9999) }}", "no filter named 'urlize'"),
    "bytes": ("{{ 'a'.encode() }}", "encode returns bytes"),
    "a format of bytes": ("{{ '%9999999999d'.encode() % 1 }}", "encode returns bytes"),
    "many operands": ("{% set a = 'a' * 9999 %}{{ (" + "a ~ " * 90 + "a)[0] }}", "~ returns more"),
    "chained case filters": (
        "{% set a = 'a' * 9999 %}{% for i in range(99) %}{{ (a" + "|upper|lower" * 40 + ")[0] }}{% endfor %}",
        "processes more than 1000000 characters",
    ),
    "chained methods": (
        "{% set a = 'a' * 9999 %}{% for i in range(999) %}{{ (a" + ".upper()" * 40 + ")[0] }}{% endfor %}",
        "processes more than 1000000 characters",
    ),
    "split in a loop": (
        "{% set a = 'a ' * 4999 %}{% for i in range(9999) %}{{ a.split() | length }}{% endfor %}",
        "processes more than 1000000 characters",
    ),
    "deep parentheses": ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "recursion"),
    "a list printed": ("{{ [1] }}", "a list cannot be printed"),
    "chance": ("{{ expressions | random }}", "no filter named 'random'"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "says"), BOMBS.values(), ids=BOMBS)
@pytest.mark.timeout(20)
def test_exceeded_limits_are_an_error_with_the_line(body: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        rendered("fine\n" + body)
    assert str(error.value).startswith("mine.md, line ")
    assert says in str(error.value).lower()
    assert len(str(error.value)) < 300


def test_the_cpu_time_of_rendering_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 0.05)  # 3 s are right for users and long for a test
    compared = "{% if a == b %}1{% endif %}" * 30
    body = (
        "{% set a = 'a' * 9999 %}{% set b = a[1:] ~ 'b' %}{% for i in range(19000) %}"
        + compared
        + "{% endfor %}"
    )
    with pytest.raises(InputError, match=r"^mine\.md, line 5: the template takes more than 0\.05 s$"):
        rendered(body)


def test_too_large_a_file_is_refused() -> None:
    with pytest.raises(InputError, match=r"^mine\.md: larger than 500000 bytes"):
        rendered("{# " + "x" * 500_000 + " #}x")


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
        ("{{ 'a b' | replace('a', 'longer') }} {{ 'a\\tb'.expandtabs(4) }}", "longer b a   b"),
        ("{{ ', '.join(expressions[:2]) }} {{ 'n' ~ 1 ~ none }}", "happiness, sadness n1None"),
        ("{{ 'one two' | wordwrap(4) }}", "one\ntwo"),
        ("{{ expressions | length }} {{ 'x' if expression is defined }} {{ none }}", "11 x None"),
    ],
)  # fmt: skip
def test_the_sandbox_has_what_prompts_need(body: str, expected: str) -> None:
    assert rendered(body) == expected
