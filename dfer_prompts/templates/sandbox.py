"""The sandbox that templates render in: Jinja2's, with bounds on what a rendering may take.

Jinja2 keeps a template from reaching Python; it does not keep `{{ 'a' * 10**13 }}` from taking all memory,
nor four nested loops from never ending. Here a value that is kept, looped over or passed on has at most
`LONGEST` characters and items, a prompt at most `LONGEST_PROMPT` characters, and all loops and calls of one
rendering take at most `STEPS` steps together. What makes text longer (`replace`, `join`, `expandtabs`) is
refused before it allocates, and one rendering works on at most `WORK` characters and takes `SECONDS` of CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from functools import wraps
from inspect import signature
from itertools import islice
from math import prod
from time import thread_time
from typing import Any

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_PROMPT = 50_000  # characters
LONGEST = 20_000  # characters and items of a value
STEPS = 20_000  # turns of all loops, and calls
WORK = 1_000_000  # characters and items that all filters, calls and operators are given together
SECONDS = 3.0  # CPU time of one rendering; the shipped templates take milliseconds
WIDEST_INTEGER = 256  # bits
TOO_LONG = f"the prompt is longer than {LONGEST_PROMPT} characters"

# What pads to any width or makes up text, and what differs from one rendering to the next.
LEFT_OUT = (
    "batch", "center", "format", "indent", "pprint", "random", "round", "slice", "tojson",
    "urlize", "xmlattr",
)  # fmt: skip


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for one rendering: strict variables, plain text, and a budget that it uses up.

    What goes beyond a bound raises jinja2's SecurityError, at the line that does.
    """

    intercepted_binops = frozenset(("*", "**", "+", "%"))

    def __init__(self) -> None:
        # Not HTML but plain text for a language model: escaping would change the words.
        # Jinja2's optimizer takes time that grows with the cube of a chain of filters.
        super().__init__(undefined=StrictUndefined, autoescape=False, finalize=self._printed, optimized=False)
        known = {name: each for name, each in FILTERS.items() if name not in LEFT_OUT}
        self.filters = {name: self._bounded_filter(name, each) for name, each in known.items()}
        self.filters |= {"bounded": _bounded, "counted": self._counted, "concatenated": self._concatenated}
        del self.globals["lipsum"]
        self.steps = 0
        self.printed = 0
        self.work = 0
        self._ends = thread_time() + SECONDS

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
        self._spend(left, right)
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
        owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
        self._spend(owner, *args, *kwargs.values())
        if isinstance(owner, str):
            _check_growth(name, [owner, *args], kwargs)
        made = super().call(context, called, *args, **kwargs)
        if isinstance(made, bytes):  # `%` and the methods of bytes have no bounds here
            raise SecurityError(f"{name} makes bytes, and a prompt is text")
        return _bounded(made)

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

    def _concatenated(self, values: list[Any]) -> str:
        """The texts of the operands of `~`, whose lengths are added before they are put together."""
        texts = [str(value) for value in values]
        _check_size("~", sum(map(len, texts)))
        self._spend(*texts)
        return "".join(texts)

    def _bounded_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter of Jinja2 whose arguments are counted; it is refused where it would make too much."""
        takes_context = hasattr(function, "jinja_pass_arg")

        @wraps(function)  # which keeps the mark of those that Jinja2 gives its context
        def bounded(*args: Any, **kwargs: Any) -> Any:
            values = list(args[takes_context:])
            self._spend(*values, *kwargs.values())
            if name in ("replace", "join", "wordwrap"):
                given = dict(signature(function).bind(*args, **kwargs).arguments)
                _check_growth(f"|{name}", list(given.values())[takes_context:], given)
            return _bounded(function(*args, **kwargs))

        return bounded

    def _spend(self, *values: Any) -> None:
        """Count what is worked on. Raises SecurityError where it is too much, or takes too long."""
        self.work += 1 + sum(len(each) for each in values if isinstance(each, Sized))
        if self.work > WORK:
            raise SecurityError(f"the template works on more than {WORK} characters and items")
        if thread_time() > self._ends:
            raise SecurityError(f"the template takes more than {SECONDS:g} s")

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
        self._spend()
        self.steps += 1
        if self.steps > STEPS:
            raise SecurityError(f"the template takes more than {STEPS} turns of loops and calls")


def _check_growth(name: str, values: list[Any], named: Mapping[str, Any]) -> None:
    """Raises SecurityError where a method of a text, or a filter (`|join`), would make too much.

    `values` are the text, or the list, and the arguments in their order; `named` those given by name.
    """
    length = _GROWTH.get(name)
    if length is not None:
        _check_size(name.strip("|"), length(values, named))


def _replaced(values: list[Any], named: Mapping[str, Any]) -> int:
    text, old, new = (str(each) for each in (*values, named.get("old", ""), named.get("new", ""))[:3])
    return len(text) + text.count(old) * max(0, len(new) - len(old))


def _joined(values: list[Any], _: Mapping[str, Any]) -> int:
    between, items = str(values[0]), values[1]
    return _size(items, LONGEST) + len(items) * len(between) if isinstance(items, Sized) else 0


def _joined_by_filter(values: list[Any], named: Mapping[str, Any]) -> int:
    return _joined([named.get("d", ""), values[0]], named)


def _without_tabs(values: list[Any], named: Mapping[str, Any]) -> int:
    width = values[1] if len(values) > 1 else named.get("tabsize", 8)
    return int(len(values[0]) + values[0].count("\t") * abs(int(width)))


def _translated(values: list[Any], _: Mapping[str, Any]) -> int:
    table = values[1] if len(values) > 1 and isinstance(values[1], Mapping) else {}
    return len(values[0]) * max((len(each) for each in table.values() if isinstance(each, str)), default=1)


def _wrapped(values: list[Any], named: Mapping[str, Any]) -> int:
    return len(str(values[0])) * (1 + len(str(named.get("wrapstring") or "")))


_GROWTH: Mapping[str, Callable[[list[Any], Mapping[str, Any]], int]] = {
    "replace": _replaced, "join": _joined, "expandtabs": _without_tabs, "translate": _translated,
    "|replace": _replaced, "|join": _joined_by_filter, "|wordwrap": _wrapped,
}  # fmt: skip


def _check_size(name: str, size: int) -> None:
    if size > LONGEST:
        raise SecurityError(f"{name} makes a value of more than {LONGEST} characters or items")


def _bind(parsed: nodes.Template) -> nodes.Template:
    """Sends what is kept in a variable, looped over or joined by `~` through the filters that bound it."""
    for node in list(parsed.find_all((nodes.Assign, nodes.With, nodes.For, nodes.Concat))):
        if isinstance(node, nodes.Assign):
            node.node = _filtered(node.node, "bounded")
        elif isinstance(node, nodes.With):
            node.values = [_filtered(value, "bounded") for value in node.values]
        elif isinstance(node, nodes.Concat):
            node.nodes = [_filtered(nodes.List(node.nodes, lineno=node.lineno), "concatenated")]
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
    if isinstance(value, str | bytes):
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
