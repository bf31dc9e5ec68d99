"""Lint for templates: every class of a class set rendered before a model is asked, and paid, for one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from jinja2 import meta, nodes

from ..classes import ClassSet
from ..errors import system_errors
from ..workspace import Workspace
from . import VARIABLES, Template, TemplateFault, load_template
from .sandbox import Sandbox

CODE = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
LONG = 8_000  # characters, about 2,000 tokens: half of what small local servers read unless told otherwise

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class TemplateFinding:
    """One thing found in a template.

    With an `error` it cannot be asked, a `warning` is likely to be wrong, a `note` may well be right and is
    worth a look.
    """

    level: Level
    rule: str
    message: str
    line: int | None = None  # of its file
    class_names: tuple[str, ...] = ()  # those it concerns; none: all


@system_errors()
def check_template(name: str, workspace: Workspace, class_set: ClassSet) -> list[TemplateFinding]:
    """All findings on a template, errors first. Raises InputError where there is no template of the name."""
    try:
        template = load_template(name, workspace)
    except TemplateFault as fault:
        return [TemplateFinding("error", "fault", fault.says, fault.line)]
    prompts, faults = _rendered(template, class_set)
    found = [
        *faults,
        *_asked_the_same(prompts),
        *_undefined(template, known={fault.line for fault in faults}),
        *_long(prompts),
        *_form(template, prompts),
        *_names(template, class_set),
        *_source(template),
    ]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def _rendered(template: Template, class_set: ClassSet) -> tuple[dict[str, str], list[TemplateFinding]]:
    """The prompt by class name, and one finding for each fault, with all classes that meet it."""
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


def _asked_the_same(prompts: Mapping[str, str]) -> Iterator[TemplateFinding]:
    by_prompt: dict[str, list[str]] = {}
    for name, prompt in prompts.items():
        by_prompt.setdefault(prompt, []).append(name)
    for names in by_prompt.values():
        if len(names) > 1:
            says = "asked the very same; name the class in the prompt: {{ expression }}"
            yield TemplateFinding("error", "same", says, class_names=tuple(names))


def _undefined(template: Template, known: Collection[int | None]) -> Iterator[TemplateFinding]:
    """Names that no class set gives, in branches that no class of this one takes; `known` lines are told."""
    sandbox = Sandbox()
    parsed = sandbox.parse(template.text)
    strangers = meta.find_undeclared_variables(parsed) - sandbox.globals.keys() - set(VARIABLES)
    for name in sorted(strangers):
        first = next(node.lineno for node in parsed.find_all(nodes.Name) if node.name == name)
        line = template.first_line + first - 1
        if line not in known:
            says = f"{name} is never defined; there are {', '.join(VARIABLES)}"
            yield TemplateFinding("warning", "undefined", says, line)


def _long(prompts: Mapping[str, str]) -> Iterator[TemplateFinding]:
    long = {name: len(prompt) for name, prompt in prompts.items() if len(prompt) > LONG}
    if long:
        says = f"up to {max(long.values())} characters; a small model reads little more than {LONG}"
        yield TemplateFinding("warning", "long", says, class_names=tuple(long))


def _form(template: Template, prompts: Mapping[str, str]) -> Iterator[TemplateFinding]:
    """Whether the words ask for what the server is asked for; some servers insist that they do."""
    mute = [name for name, prompt in prompts.items() if "json" not in prompt.casefold()]
    if template.response_format == "json_schema" and mute:
        says = "asks the server for JSON and the model for none: a server that ignores the one gets prose"
        yield TemplateFinding("warning", "form", says, class_names=tuple(mute))
    elif template.response_format == "text" and prompts and not mute:
        says = "asks for JSON in words alone; response_format: json_schema asks the server too"
        yield TemplateFinding("note", "form", says)


def _names(template: Template, class_set: ClassSet) -> Iterator[TemplateFinding]:
    """Classes that the text itself names: a worked example of one gives its answer away, and no other's."""
    text = CODE.sub(lambda code: "\n" * code[0].count("\n"), template.text)
    for each in class_set.classes:
        words = "|".join(map(re.escape, (each.words, *each.aliases)))
        found = re.search(rf"\b(?:{words})\b", text, re.IGNORECASE)
        if found:
            line = template.first_line + text.count("\n", 0, found.start())
            says = f"its text names {found[0]!r}; an example of a class helps that class alone"
            yield TemplateFinding("note", "names", says, line, (each.name,))


def _source(template: Template) -> Iterator[TemplateFinding]:
    if not template.source.strip():
        says = "does not say where it comes from; the card of a set made with it will not either"
        yield TemplateFinding("note", "source", says)
