"""The one YAML loader of both packages: PyYAML's safe loader with bounds. Imports no torch.

YAML that another person wrote can be small and cost much: aliases of aliases stand for billions of values
("billion laughs"), and a number of a million digits takes minutes. Such a text is refused here, with its
line. So is a key that is in a mapping twice, of which PyYAML would keep the last without a word.

Scanning and parsing are libyaml's where PyYAML was built with it, which is several times as fast. Nodes are
composed in Python: libyaml's own composer ends the interpreter where a file is nested deep enough, and here
that is a RecursionError.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent

__all__ = ["LOADER", "MOST_REPEATED", "YAML_ERRORS", "load_yaml", "yaml_problem"]

MOST_REPEATED = 100_000  # values and characters that all aliases of a text may stand for together
LONGEST_NUMBER = 100  # characters

# Besides its own errors, the loader raises these where a tag does not fit its value (`!!bool x`).
_MISFITS = (LookupError, AttributeError, TypeError)
YAML_ERRORS = (yaml.YAMLError, ValueError, OverflowError, RecursionError, *_MISFITS)


class _Bounds(Composer):
    """Composes nodes and counts what their aliases stand for."""

    def _start_counting(self) -> None:
        self._sizes: dict[yaml.Node, int] = {}  # of the nodes that are whole
        self._repeated = 0
        self._twice: ConstructorError | None = None

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node. Raises ComposerError for an alias within its own anchor, and for too many."""
        event: Any = self.peek_event()  # type: ignore[attr-defined]
        node: yaml.Node | None = super().compose_node(parent, index)
        if isinstance(event, AliasEvent) and node is not None:
            self._count_alias(event, node)
        elif node is not None:
            self._sizes[node] = self._size(node)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping; a key that it has twice is remembered for `construct_document`."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if self._twice is None and isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    says = f"the key {key.value!r} is there a second time"
                    self._twice = ConstructorError(None, None, says, key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def construct_document(self, node: yaml.Node) -> Any:
        """The value. Raises ConstructorError where a mapping has a key twice: one would hide the other."""
        if self._twice is not None:
            raise self._twice
        return super().construct_document(node)  # type: ignore[misc]

    def _count_alias(self, event: Any, node: yaml.Node) -> None:
        size = self._sizes.get(node)
        if size is None:
            says = f"the alias *{event.anchor} is part of what it stands for"
            raise ComposerError(None, None, says, event.start_mark)
        self._repeated += size
        if self._repeated > MOST_REPEATED:
            says = f"aliases stand for more than {MOST_REPEATED} values and characters"
            raise ComposerError(None, None, says, event.start_mark)

    def _size(self, node: yaml.Node) -> int:
        """Values and characters of a node, with all that its aliases stand for."""
        if isinstance(node, yaml.ScalarNode):
            return 1 + len(node.value)
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else None
        return 1 + sum(self._sizes[part] for part in (node.value if parts is None else parts))


class _Plain(_Bounds, yaml.SafeLoader):
    def __init__(self, stream: str | bytes) -> None:
        yaml.SafeLoader.__init__(self, stream)
        self._start_counting()


LOADER: type[Any] = _Plain

if yaml.__with_libyaml__:

    class _Fast(_Bounds, yaml.CSafeLoader):
        def __init__(self, stream: str | bytes) -> None:
            yaml.CSafeLoader.__init__(self, stream)
            Composer.__init__(self)
            self._start_counting()

    LOADER = _Fast


def _number(loader: Any, node: yaml.ScalarNode) -> int | float:
    """An integer or a float; YAML 1.1's base 60 takes time that grows with the square of the digits."""
    if len(node.value) > LONGEST_NUMBER:
        says = f"a number of more than {LONGEST_NUMBER} characters"
        raise ConstructorError(None, None, says, node.start_mark)
    is_int = node.tag == _INT
    made: int | float = loader.construct_yaml_int(node) if is_int else loader.construct_yaml_float(node)
    return made


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
LOADER.add_constructor(_INT, _number)
LOADER.add_constructor(_FLOAT, _number)


def load_yaml(text: str) -> Any:
    """The value that a YAML text holds; None for an empty one. Raises one of `YAML_ERRORS`."""
    return yaml.load(text, Loader=LOADER)  # noqa: S506, TID251 - constructs plain values only


def yaml_problem(error: Exception, text: str, first_line: int = 1) -> str:
    """What one of `YAML_ERRORS` says is wrong in `text`, whose first line is `first_line` of its file."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        words = " ".join(filter(None, (error.context, error.problem)))
        last = text.rstrip().count("\n")  # libyaml finds what is missing at the end one line below it
        return f"line {min(error.problem_mark.line, last) + first_line}: {words}"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, _MISFITS):
        return "a `!!` tag does not fit its value"
    return " ".join(str(error).split()) or type(error).__name__
