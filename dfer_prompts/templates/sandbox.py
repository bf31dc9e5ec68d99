"""The sandbox that templates render in: Jinja2's, with bounds on what a rendering may take.

Jinja2 keeps a template from reaching Python; it does not keep `{{ 'a' * 10**13 }}` from taking all memory,
nor four nested loops from never ending. Here a value that is kept, looped over or passed on has at most
`LONGEST` characters and items, a prompt at most `LONGEST_PROMPT` characters, and all loops and calls of one
rendering take at most `STEPS` steps together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from functools import cache, wraps
from itertools import islice
from math import prod
from typing import Any

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_PROMPT = 50_000  # characters
LONGEST = 20_000  # characters and items of a value
STEPS = 20_000  # turns of all loops, and calls
WIDEST_INTEGER = 256  # bits
TOO_LONG = f"the prompt is longer than {LONGEST_PROMPT} characters"

# What pads to any width or makes up text, and what differs from one rendering to the next.
LEFT_OUT = ("batch", "center", "format", "indent", "pprint", "random", "round", "slice", "tojson", "xmlattr")


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for one rendering: strict variables, plain text, and a budget that it uses up.

    What goes beyond a bound raises jinja2's SecurityError, at the line that does.
    """

    intercepted_binops = frozenset(("*", "**", "+", "%"))

    def __init__(self) -> None:
        # Not HTML but plain text for a language model: escaping would change the words.
        super().__init__(undefined=StrictUndefined, autoescape=False, finalize=self._printed)
        self.filters = {**_bounded_filters(), "bounded": _bounded, "counted": self._counted}
        del self.globals["lipsum"]
        self.steps = 0
        self.printed = 0

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _bind(super()._parse(source, name, filename))

    def prompt(self, text: str, **variables: Any) -> str:
        """What the template `text` renders to."""
        pieces, length = [], 0
        for piece in self.from_string(text).generate(**variables):
            length += len(piece)
            if length > LONGEST_PROMPT:
                raise SecurityError(TOO_LONG)
            pieces.append(piece)
        return "".join(pieces)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The result of an operator, refused before it is worked out where it would be too large."""
        if operator == "%" and isinstance(left, str):
            raise SecurityError("text % values is not for templates: write {{ }} where a value belongs")
        if operator in ("+", "*", "**"):
            _check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, called: Any, *args: Any, **kwargs: Any) -> Any:
        """A call of a method, a macro or a global, counted, with arguments of a sane size."""
        self._step()
        if isinstance(called, LoopContext):
            raise SecurityError("a recursive loop is not for templates")
        for argument in (*args, *kwargs.values()):
            if isinstance(argument, int) and abs(argument) > LONGEST and not _counts(called):
                raise SecurityError(f"a call with {argument}, where {LONGEST} is the most")
            _bounded(argument)
        return _bounded(super().call(context, called, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Nothing for any value but the `.format` of a text, which is refused: it pads to any width."""
        if super().wrap_str_format(value) is not None:
            raise SecurityError(".format is not for templates: write {{ }} where a value belongs")
        return None

    @pass_context  # or Jinja2 would work it out once, while it compiles, for a loop that is entered often
    def _counted(self, context: Context, value: Any) -> list[Any]:  # noqa: ARG002 - see above
        """The items of what a loop goes over, each a step."""
        items = []
        for item in value:
            self._step()
            items.append(item)
        return items

    def _printed(self, value: Any) -> Any:
        if not isinstance(value, str | int | float | Macro | Undefined) and value is not None:
            raise SecurityError(
                f"a {type(value).__name__} is printed; print its items: {{{{ it | join(', ') }}}}"
            )
        self.printed += len(value) if isinstance(value, str) else 1
        if self.printed > LONGEST_PROMPT:
            raise SecurityError(TOO_LONG)
        return value

    def _step(self) -> None:
        self.steps += 1
        if self.steps > STEPS:
            raise SecurityError(f"the template takes more than {STEPS} turns of loops and calls")


@cache
def _bounded_filters() -> dict[str, Callable[..., Any]]:
    return {name: _with_bounded_result(each) for name, each in FILTERS.items() if name not in LEFT_OUT}


def _with_bounded_result(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # which keeps the mark of those that Jinja2 gives its context
    def bounded(*args: Any, **kwargs: Any) -> Any:
        return _bounded(function(*args, **kwargs))

    return bounded


def _bind(parsed: nodes.Template) -> nodes.Template:
    """Sends what is kept in a variable or looped over through the filters that bound it."""
    for node in list(parsed.find_all((nodes.Assign, nodes.With, nodes.For))):
        if isinstance(node, nodes.Assign):
            node.node = _filtered(node.node, "bounded")
        elif isinstance(node, nodes.With):
            node.values = [_filtered(value, "bounded") for value in node.values]
        elif isinstance(node, nodes.For):
            node.iter = _filtered(node.iter, "counted")
    return parsed


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        powers = {"*": left.bit_length() + right.bit_length(), "**": left.bit_length() * abs(right)}
        if powers.get(operator, 0) > WIDEST_INTEGER:
            raise SecurityError(f"{operator} makes a number of more than {WIDEST_INTEGER} bits")
        return
    sizes = [len(each) for each in (left, right) if isinstance(each, Sized)]
    times = [abs(each) for each in (left, right) if isinstance(each, int)]
    size = sum(sizes) if operator == "+" else prod(sizes + times)
    if sizes and size > LONGEST:
        raise SecurityError(f"{operator} makes more than {LONGEST} characters or items")


def _counts(called: Any) -> bool:
    """Whether a large number given to it is bounded already, as that of `range` is by Jinja2."""
    return getattr(called, "__name__", "") == "safe_range"


def _bounded(value: Any) -> Any:
    """The value, an iterator as a list. Raises SecurityError where it holds more than `LONGEST` in all."""
    if isinstance(value, Iterator):
        value = list(islice(value, LONGEST + 1))
    if _size(value, LONGEST) > LONGEST:
        raise SecurityError(f"a value of more than {LONGEST} characters or items")
    return value


def _size(value: Any, most: int) -> int:
    """Characters and items in a value and in all it holds, as often as it holds them; counted past `most`."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        value = [part for pair in value.items() for part in pair]
    if not isinstance(value, list | tuple):
        return 1
    size = 0
    for item in value:
        size += 1 + _size(item, most - size)
        if size > most:
            break
    return size
