"""Lint for templates: renders the prompts of all classes before any request is sent and paid for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from jinja2 import meta, nodes

from ..classes import ClassSet
from ..errors import system_errors
from ..workspace import Workspace
from . import Template, TemplateFault, load_template
from .feedback import OPTIMIZE
from .sandbox import Sandbox

CODE = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
LONG = 8_000  # characters, about 2,000 tokens: half the default context of small local servers

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class TemplateFinding:
    """One finding in a template.

    With an `error` the template cannot be used; a `warning` is a likely mistake; a `note` may be correct and
    should be reviewed.
    """

    level: Level
    rule: str
    message: str
    line: int | None = None  # of the template file
    class_names: tuple[str, ...] = ()  # classes it concerns; empty: all


@system_errors()
def check_template(name: str, workspace: Workspace, class_set: ClassSet) -> list[TemplateFinding]:
    """All findings on a template, errors first. Raises InputError if there is no such template."""
    try:
        template = load_template(name, workspace)
    except TemplateFault as fault:
        return [TemplateFinding("error", "fault", fault.says, fault.line)]
    prompts, faults = _rendered(template, class_set)
    found = [
        *faults,
        *(_same_prompts(prompts) if template.name != OPTIMIZE else ()),
        *_undefined(template, known={fault.line for fault in faults}),
        *_long(prompts),
        *(_form(template, prompts) if template.name != OPTIMIZE else ()),
        *_names(template, class_set),
        *_source(template),
    ]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def _rendered(template: Template, class_set: ClassSet) -> tuple[dict[str, str], list[TemplateFinding]]:
    """The prompt by class name, and one finding per error with all classes it affects."""
    prompts: dict[str, str] = {}
    faulty: dict[tuple[str, int | None], list[str]] = {}
    for each in class_set.classes:
        try:
            prompts[each.name] = template.messages(each, class_set)[0]["content"]
        except TemplateFault as fault:
            faulty.setdefault((fault.says, fault.line), []).append(each.name)
    return prompts, [
        TemplateFinding("error", "fault", says, line, tuple(names)) for (says, line), names in faulty.items()
    ]


def _same_prompts(prompts: Mapping[str, str]) -> Iterator[TemplateFinding]:
    by_prompt: dict[str, list[str]] = {}
    for name, prompt in prompts.items():
        by_prompt.setdefault(prompt, []).append(name)
    for names in by_prompt.values():
        if len(names) > 1:
            says = "the same prompt; use the class in it: {{ expression }}"
            yield TemplateFinding("error", "same", says, class_names=tuple(names))


def _undefined(template: Template, known: Collection[int | None]) -> Iterator[TemplateFinding]:
    """Undefined names in branches that no class of this set takes; `known` lines are already reported."""
    sandbox = Sandbox()
    parsed = sandbox.parse(template.text)
    strangers = meta.find_undeclared_variables(parsed) - sandbox.globals.keys() - set(template.variables)
    for name in sorted(strangers):
        first = next(node.lineno for node in parsed.find_all(nodes.Name) if node.name == name)
        line = template.first_line + first - 1
        if line not in known:
            says = f"{name} is undefined; available are {', '.join(template.variables)}"
            yield TemplateFinding("warning", "undefined", says, line)


def _long(prompts: Mapping[str, str]) -> Iterator[TemplateFinding]:
    long = {name: len(prompt) for name, prompt in prompts.items() if len(prompt) > LONG}
    if long:
        says = f"up to {max(long.values())} characters; small models may read only about {LONG}"
        yield TemplateFinding("warning", "long", says, class_names=tuple(long))


def _form(template: Template, prompts: Mapping[str, str]) -> Iterator[TemplateFinding]:
    """Whether the prompt requests the format that the server is asked for; some servers require this."""
    mute = [name for name, prompt in prompts.items() if "json" not in prompt.casefold()]
    if template.response_format == "json_schema" and mute:
        says = (
            "response_format is JSON, but the prompt does not mention JSON: some servers then answer in prose"
        )
        yield TemplateFinding("warning", "form", says, class_names=tuple(mute))
    elif template.response_format == "text" and prompts and not mute:
        says = "only the prompt requests JSON; response_format: json_schema requests it from the server too"
        yield TemplateFinding("note", "form", says)


def _names(template: Template, class_set: ClassSet) -> Iterator[TemplateFinding]:
    """Classes named in the text itself: an example gives away the answer of one class only."""
    text = CODE.sub(lambda code: "\n" * code[0].count("\n"), template.text)
    for each in class_set.classes:
        words = "|".join(map(re.escape, (each.words, *each.aliases)))
        found = re.search(rf"\b(?:{words})\b", text, re.IGNORECASE)
        if found:
            line = template.first_line + text.count("\n", 0, found.start())
            says = f"the text names {found[0]!r}; an example of a class favours that class"
            yield TemplateFinding("note", "names", says, line, (each.name,))


def _source(template: Template) -> Iterator[TemplateFinding]:
    if not template.source.strip():
        says = "no source given; cards of sets generated with it will not have one either"
        yield TemplateFinding("note", "source", says)
