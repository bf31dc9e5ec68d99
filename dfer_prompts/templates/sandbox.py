"""The sandbox of templates: Jinja2's sandbox with limits on memory and time.

Jinja2 prevents access to Python, but not that `{{ 'a' * 10**13 }}` takes all memory or that four nested loops
run forever. Here a value that is assigned, looped over or passed on has at most `LONGEST` characters and
items, a prompt at most `LONGEST_PROMPT` characters, and all loops and calls of one rendering take at most
`STEPS` steps. Operations that lengthen text (`replace`, `join`, `expandtabs`) are rejected before they
allocate, and one rendering processes at most `WORK` characters and takes at most `SECONDS` of CPU time.
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
STEPS = 20_000  # iterations of all loops, and calls
WORK = 1_000_000  # total characters and items given to filters, calls and operators
SECONDS = 3.0  # CPU time of one rendering; the shipped templates take milliseconds
WIDEST_INTEGER = 256  # bits
TOO_LONG = f"the prompt is longer than {LONGEST_PROMPT} characters"

# Filters and globals that pad to any width, generate text, or differ between renderings.
LEFT_OUT = (
    "batch", "center", "format", "indent", "pprint", "random", "round", "slice", "tojson",
    "urlize", "xmlattr",
)  # fmt: skip


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for one rendering: strict variables, plain text, and a budget.

    Exceeding a limit raises jinja2's SecurityError at the line of the template.
    """

    intercepted_binops = frozenset(("*", "**", "+", "%"))

    def __init__(self) -> None:
        # Prompts are plain text, not HTML: escaping would change them.
        # The time of Jinja2's optimizer is cubic in the length of a chain of filters.
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
        """The rendered template `text`."""
        pieces, length = [], 0
        for piece in self.from_string(text).generate(**variables):
            length += len(piece)
            if length > LONGEST_PROMPT:
                raise SecurityError(TOO_LONG)
            pieces.append(piece)
        return "".join(pieces)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The result of an operator; rejected before evaluation if it would be too large."""
        self._spend(left, right)
        if operator == "%" and isinstance(left, str):
            raise SecurityError("text % values is not allowed in templates: use {{ }} for values")
        if operator in ("+", "*", "**"):
            _check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, called: Any, *args: Any, **kwargs: Any) -> Any:
        """A counted call of a method, macro or global, with arguments of limited size."""
        self._step()
        if isinstance(called, LoopContext):
            raise SecurityError("recursive loops are not allowed in templates")
        for argument in (*args, *kwargs.values()):
            if isinstance(argument, int) and abs(argument) > LONGEST and not _counts(called):
                raise SecurityError(f"a call with {argument}; the maximum is {LONGEST}")
            _bounded(argument)
        owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
        self._spend(owner, *args, *kwargs.values())
        if isinstance(owner, str):
            _check_growth(name, [owner, *args], kwargs)
        made = super().call(context, called, *args, **kwargs)
        if isinstance(made, bytes):  # `%` and the methods of bytes are not limited here
            raise SecurityError(f"{name} returns bytes; a prompt is text")
        return _bounded(made)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """None for any value except `.format` of a text, which is rejected: it pads to any width."""
        if super().wrap_str_format(value) is not None:
            raise SecurityError(".format is not allowed in templates: use {{ }} for values")
        return None

    @pass_context  # prevents constant folding, which would count a loop only once
    def _counted(self, context: Context, value: Any) -> list[Any]:  # noqa: ARG002 - see above
        """The items of a loop, each counted as a step."""
        items = []
        for item in value:
            self._step()
            items.append(item)
        return items

    def _concatenated(self, values: list[Any]) -> str:
        """The concatenated operands of `~`; the total length is checked first."""
        texts = [str(value) for value in values]
        _check_size("~", sum(map(len, texts)))
        self._spend(*texts)
        return "".join(texts)

    def _bounded_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter of Jinja2 with counted arguments; rejected if its result would be too large."""
        takes_context = hasattr(function, "jinja_pass_arg")

        @wraps(function)  # preserves the attribute by which Jinja2 passes its context
        def bounded(*args: Any, **kwargs: Any) -> Any:
            values = list(args[takes_context:])
            self._spend(*values, *kwargs.values())
            if name in ("replace", "join", "wordwrap"):
                given = dict(signature(function).bind(*args, **kwargs).arguments)
                _check_growth(f"|{name}", list(given.values())[takes_context:], given)
            return _bounded(function(*args, **kwargs))

        return bounded

    def _spend(self, *values: Any) -> None:
        """Count the processed values. Raises SecurityError if they are too large or take too long."""
        self.work += 1 + sum(len(each) for each in values if isinstance(each, Sized))
        if self.work > WORK:
            raise SecurityError(f"the template processes more than {WORK} characters and items")
        if thread_time() > self._ends:
            raise SecurityError(f"the template takes more than {SECONDS:g} s")

    def _printed(self, value: Any) -> Any:
        if not isinstance(value, str | int | float | Macro | Undefined) and value is not None:
            raise SecurityError(
                f"a {type(value).__name__} cannot be printed; print its items: {{{{ it | join(', ') }}}}"
            )
        self.printed += len(value) if isinstance(value, str) else 1
        if self.printed > LONGEST_PROMPT:
            raise SecurityError(TOO_LONG)
        return value

    def _step(self) -> None:
        self._spend()
        self.steps += 1
        if self.steps > STEPS:
            raise SecurityError(f"the template takes more than {STEPS} loop iterations and calls")


def _check_growth(name: str, values: list[Any], named: Mapping[str, Any]) -> None:
    """Raise SecurityError if a method of a text, or a filter (`|join`), would return too much.

    `values` are the text or list and the positional arguments; `named` the keyword arguments.
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
        raise SecurityError(f"{name} returns more than {LONGEST} characters or items")


def _bind(parsed: nodes.Template) -> nodes.Template:
    """Insert the limiting filters around values that are assigned, looped over or joined by `~`."""
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
            raise SecurityError(f"{operator} gives a number of more than {WIDEST_INTEGER} bits")
        return
    sizes = [len(each) for each in (left, right) if isinstance(each, Sized)]
    times = [abs(each) for each in (left, right) if isinstance(each, int)]
    size = sum(sizes) if operator == "+" else prod(sizes + times)
    if sizes and size > LONGEST:
        raise SecurityError(f"{operator} gives more than {LONGEST} characters or items")


def _counts(called: Any) -> bool:
    """Whether a large number as its argument is already limited, as for Jinja2's `range`."""
    return getattr(called, "__name__", "") == "safe_range"


def _bounded(value: Any) -> Any:
    """The value, an iterator as a list. Raises SecurityError if its total size exceeds `LONGEST`."""
    if isinstance(value, Iterator):
        value = list(islice(value, LONGEST + 1))
    if _size(value, LONGEST) > LONGEST:
        raise SecurityError(f"a value of more than {LONGEST} characters or items")
    return value


def _size(value: Any, most: int) -> int:
    """The total of characters and items in a nested value; counting stops above `most`."""
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
