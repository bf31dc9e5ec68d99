"""Editing a version into a new one: the text of `descriptions edit`, in the page."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from ..checks import check
from ..description_set import DescriptionSet
from ..difference import diff
from ..editing import as_text, edited
from ..errors import InputError
from ..studies.problems import PROBLEMS
from ..versions.store import DescriptionStore
from .fragments import fragment, or_problem, problem
from .parts import piece

WHERE = "the text"


def editing_tab(store: DescriptionStore) -> tuple[gr.Dropdown, Any]:
    """Add the tab's parts; returns the choice of the version to begin with, and the event of one saved."""
    parent = gr.Dropdown(label="Begin with")
    text = gr.Textbox(label="Descriptors", lines=16, max_lines=30, elem_classes="code")
    with gr.Row():
        name = gr.Textbox(label="Name of the new version", info="Left empty: the next number")
        why = gr.Textbox(label="Why, for the log", info="Such as: no blushing in a grey video")
    with gr.Row():
        look = gr.Button("Check", elem_classes="ask")
        save = gr.Button("Save as a new version", variant="primary", elem_classes="ask")
    said = piece()
    written = gr.State("")
    parent.change(partial(beginning, store), parent, [text, said], show_progress="hidden")
    look.click(or_problem(partial(checked, store)), [parent, text], said)
    save.click(partial(saved, store), [parent, text, name, why], [said, written])
    return parent, written.change


def beginning(store: DescriptionStore, parent: str) -> tuple[str, str]:
    """A version's text to edit, and nothing said of it yet."""
    try:
        return as_text(store.load(parent)), ""
    except PROBLEMS as error:
        return "", problem(error)


def checked(store: DescriptionStore, parent: str, text: str) -> str:
    """What the edited text would change, and what the checks find in it; nothing is written."""
    of = store.load(parent)
    draft = edited(of, text, WHERE)
    return _changes(of, replace(draft, name=WHERE), ["Nothing is written yet"])


def saved(store: DescriptionStore, parent: str, text: str, name: str, why: str) -> tuple[str, str]:
    """The edited text as a new version: what is said of it, and its name, "" where none was written."""
    try:
        of = store.load(parent)
        wanted = name.strip() or None
        if wanted:
            store.check_name(wanted)
        draft = edited(of, text, WHERE, " ".join(why.split()) or None)
        if draft.sha256 == of.sha256:
            raise InputError(f"Nothing has changed in {parent}, so no version is written")
        made = store.save(draft, wanted)
    except PROBLEMS as error:
        return problem(error), ""
    return _changes(of, made, [f"Written to {store.path(made.name)}"]), made.name


def _changes(of: DescriptionSet, draft: DescriptionSet, lines: list[str]) -> str:
    said = fragment("said", lines=lines)
    found = fragment("findings", findings=check(draft))
    return said + fragment("difference", of=diff(of, draft)) + found
