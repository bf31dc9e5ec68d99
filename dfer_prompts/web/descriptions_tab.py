"""The tab *Descriptions*: show and compare versions, text similarities, prompts, and the editor.

The editor uses the same text format as `descriptions edit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..api.score import DIAGNOSTICS, score
from ..classes import class_set_names, load_class_set
from ..description_set import DescriptionSet
from ..errors import InputError, unknown
from ..lint import check
from ..llm.redaction import PROBLEMS
from ..templates import load_template, template_names
from ..versions.diff import diff
from ..versions.edit import as_text, edited
from ..versions.store import DescriptionStore
from ..workspace import Workspace, is_shipped
from .fragments import fragment, or_problem, piece, problem

if TYPE_CHECKING:
    from ..description_set import DescriptionSet


DEMO_CLIP, OWN_CLIP = "the demo CLIP", "the CLIP of dfer.yaml"


def descriptions_tab(workspace: Workspace, page: gr.Blocks, generated: Any) -> None:
    """Add the tab's components to the page; `generated` is the event of a version made on another tab."""
    store = DescriptionStore(workspace)
    with gr.Tab("Browse"):
        read = gr.Dropdown(label="Version")
        shown = piece()
        with gr.Accordion("All versions", open=False):
            listed = piece()
    with gr.Tab("Difference"):
        with gr.Row():
            before, after = gr.Dropdown(label="Before"), gr.Dropdown(label="After")
        compare = gr.Button("Show difference", variant="primary", elem_classes="ask")
        changed = piece()
    with gr.Tab("Heat map"):
        with gr.Row():
            scored = gr.Dropdown(label="Version")
            clip = gr.Radio([DEMO_CLIP, OWN_CLIP], value=DEMO_CLIP, label="Text tower")
        draw = gr.Button("Show heat map", variant="primary", elem_classes="ask")
        drawn = piece()
    with gr.Tab("Prompt"):
        _prompt_tab(workspace, page)
    with gr.Tab("Edit"):
        parent, saved = editing_tab(store)
    choices: list[Any] = [read, before, after, scored, parent]

    def begin() -> list[Any]:
        return [_choice(store.list(), place) for place in (-1, -2, -1, -1, -1)]

    def add() -> list[Any]:  # keeps the selection
        return [gr.Dropdown(choices=store.list()) for _ in choices]

    gr.on(page.load, begin, outputs=choices, show_progress="hidden")
    gr.on([saved, generated], add, outputs=choices, show_progress="hidden")
    gr.on(
        [page.load, saved, generated],
        or_problem(partial(versions, store)),
        outputs=listed,
        show_progress="hidden",
    )
    read.change(or_problem(partial(version, store)), read, shown, show_progress="minimal")
    compare.click(or_problem(partial(difference, store)), [before, after], changed)
    draw.click(or_problem(partial(heat_map, workspace)), [scored, clip], drawn)


def _choice(names: Sequence[str], place: int) -> Any:
    """The choices of a dropdown with the one at `place` selected, or the first if there are fewer."""
    return gr.Dropdown(choices=list(names), value=names[max(place, -len(names))] if names else None)


def version(store: DescriptionStore, name: str) -> str:
    """The descriptions of a version, its origin, and the findings of the checks."""
    of = store.load(name)
    return fragment(
        "version",
        facts=_facts(of),
        findings=check(of),
        classes=[
            (class_name, [(of.description(class_name, at), member) for at, member in enumerate(members)])
            for class_name, members in of.members.items()
        ],
    )


def _facts(of: DescriptionSet) -> list[tuple[str, object]]:
    manifest = of.manifest
    facts = {
        "Version": of.name,
        "Source": manifest.source,
        "Control": manifest.control,
        "Model": manifest.model,
        "Base URL": manifest.base_url,
        "Template": manifest.template,
        "Sampling": ", ".join(f"{key} {value}" for key, value in manifest.sampling.items()),
        "Class set": manifest.class_set["name"],
        "Derived from": ", ".join(manifest.parents),
        "Reason": manifest.derivation.get("message"),
        "Citation": manifest.citation,
        "Licence": manifest.license,
        "Requests without an answer": len(manifest.failures),
        "Date": manifest.created,
        "SHA-256": of.sha256,
    }
    return [(label, value) for label, value in facts.items() if value]


def versions(store: DescriptionStore) -> str:
    """A row for each version; one that cannot be read is listed with its error."""
    return fragment("versions", versions=[_line(store, name) for name in reversed(store.list())])


def _line(store: DescriptionStore, name: str) -> dict[str, Any]:
    try:
        of = store.load(name)
    except (InputError, OSError) as error:
        return {"name": name, "problem": str(error)}
    manifest = of.manifest
    return {
        "name": name,
        "problem": None,
        "home": "shipped" if is_shipped(store.path(name)) else "workspace",
        "source": manifest.source,
        "model": manifest.model or "",
        "classes": f"{manifest.class_set['name']} ({len(of.class_names)})",
        "parents": ", ".join(manifest.parents),
        "written": manifest.created[:10],
    }


def difference(store: DescriptionStore, before: str, after: str) -> str:
    """The difference of two versions."""
    return fragment("difference", of=diff(store.load(before), store.load(after)))


def heat_map(workspace: Workspace, name: str, clip: str) -> str:
    """The cosine similarities of the class texts in the text tower of a CLIP."""
    scores = score(name, workspace=workspace, clip="demo" if clip == DEMO_CLIP else None)
    (of,) = scores.sets
    lowest = float(of.cosines.min())
    rows = [
        (
            class_name,
            [(round(100 * cosine), round(100 * (cosine - lowest) / max(1 - lowest, 1e-6))) for cosine in row],
        )
        for class_name, row in zip(of.class_names, of.cosines.tolist(), strict=True)
    ]
    return fragment("cosines", of=of, rows=rows, clip=f"{scores.clip} ({scores.weights})", note=DIAGNOSTICS)


def _prompt_tab(workspace: Workspace, page: gr.Blocks) -> None:
    with gr.Row():
        template = gr.Dropdown(label="Template")
        class_set = gr.Dropdown(label="Class set", choices=list(class_set_names()), value="mafw")
        class_name = gr.Dropdown(label="Class", choices=list(load_class_set("mafw").names))
    asked = piece()

    def classes(name: str) -> Any:
        names = _class_set(name).names
        return gr.Dropdown(choices=list(names), value=names[0])

    def templates() -> Any:
        return gr.Dropdown(choices=template_names(workspace), value="paper")

    gr.on(page.load, templates, outputs=template, show_progress="hidden")
    gr.on([page.load, class_set.change], classes, class_set, class_name, show_progress="hidden")
    gr.on(
        [template.change, class_name.change],
        or_problem(partial(prompt, workspace)),
        [template, class_set, class_name],
        asked,
        show_progress="minimal",
    )


def prompt(workspace: Workspace, name: str, class_set: str, class_name: str) -> str:
    """The prompt of a template for a class; no request is sent."""
    chosen = _class_set(class_set)
    template = load_template(name, workspace)
    messages = template.messages(chosen.resolve(class_name), chosen)
    text = "\n".join(message["content"] for message in messages)
    return fragment("prompt", template=template, text=text)


def _class_set(name: str) -> Any:
    """A shipped class set; paths, which the command line accepts, are not allowed here."""
    if name not in class_set_names():
        raise unknown("class set", name, class_set_names())
    return load_class_set(name)


WHERE = "the text"


def editing_tab(store: DescriptionStore) -> tuple[gr.Dropdown, Any]:
    """Add the editor; return the dropdown of the version to start from and the event of a saved version."""
    parent = gr.Dropdown(label="Start from")
    text = gr.Textbox(label="Descriptors", lines=16, max_lines=30, elem_classes="code")
    with gr.Row():
        name = gr.Textbox(label="Name of the new version", info="Empty: the next number")
        why = gr.Textbox(label="Reason, for the log", info="Example: no blushing in a grey video")
    with gr.Row():
        look = gr.Button("Check", elem_classes="ask")
        save = gr.Button("Save as new version", variant="primary", elem_classes="ask")
    message = piece()
    written = gr.State("")
    parent.change(partial(beginning, store), parent, [text, message], show_progress="hidden")
    look.click(or_problem(partial(checked, store)), [parent, text], message)
    save.click(partial(saved, store), [parent, text, name, why], [message, written])
    return parent, written.change


def beginning(store: DescriptionStore, parent: str) -> tuple[str, str]:
    """The text of a version to edit, and an empty message."""
    try:
        return as_text(store.load(parent)), ""
    except PROBLEMS as error:
        return "", problem(error)


def checked(store: DescriptionStore, parent: str, text: str) -> str:
    """The changes of the edited text and the findings of the checks; nothing is written."""
    of = store.load(parent)
    draft = edited(of, text, WHERE)
    return _changes(of, replace(draft, name=WHERE), ["Not saved yet"])


def saved(store: DescriptionStore, parent: str, text: str, name: str, why: str) -> tuple[str, str]:
    """Save the edited text as a new version: the message, and its name ("" if none was written)."""
    try:
        of = store.load(parent)
        new_name = name.strip() or None
        if new_name:
            store.check_name(new_name)
        draft = edited(of, text, WHERE, " ".join(why.split()) or None)
        if draft.sha256 == of.sha256:
            raise InputError(f"The text of {parent} is unchanged, so no version is written")
        made = store.save(draft, new_name)
    except PROBLEMS as error:
        return problem(error), ""
    return _changes(of, made, [f"Written to {store.path(made.name)}"]), made.name


def _changes(of: DescriptionSet, draft: DescriptionSet, lines: list[str]) -> str:
    notes = fragment("said", lines=lines)
    found = fragment("findings", findings=check(draft))
    return notes + fragment("difference", of=diff(of, draft)) + found
