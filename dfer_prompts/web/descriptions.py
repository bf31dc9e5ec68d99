"""The tab *Descriptions*: versions to read, to compare, and to see as a text tower does; what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..checks import check
from ..classes import class_set_names, load_class_set
from ..difference import diff
from ..errors import InputError, unknown
from ..resources import is_shipped
from ..studies.scoring import DIAGNOSTICS, score
from ..templates import load_template, template_names
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .editing import editing_tab
from .fragments import fragment, or_problem
from .parts import piece

if TYPE_CHECKING:
    from ..description_set import DescriptionSet

DEMO_CLIP, OWN_CLIP = "the demo CLIP", "the CLIP of dfer.yaml"


def descriptions_tab(workspace: Workspace, page: gr.Blocks) -> None:
    """Add the tab's parts to the page that is being built."""
    store = DescriptionStore(workspace)
    with gr.Tab("Browse"):
        read = gr.Dropdown(label="Version")
        shown = piece()
        with gr.Accordion("All versions", open=False):
            listed = piece()
    with gr.Tab("Difference"):
        with gr.Row():
            before, after = gr.Dropdown(label="Before"), gr.Dropdown(label="After")
        compare = gr.Button("Show the difference", variant="primary", elem_classes="ask")
        changed = piece()
    with gr.Tab("Heat map"):
        with gr.Row():
            scored = gr.Dropdown(label="Version")
            clip = gr.Radio([DEMO_CLIP, OWN_CLIP], value=DEMO_CLIP, label="Read by")
        draw = gr.Button("Draw it", variant="primary", elem_classes="ask")
        drawn = piece()
    with gr.Tab("Prompt"):
        _prompt_tab(workspace, page)
    with gr.Tab("Edit"):
        parent, saved = editing_tab(store)
    choices: list[Any] = [read, before, after, scored, parent]

    def begin() -> list[Any]:
        return [_choice(store.list(), place) for place in (-1, -2, -1, -1, -1)]

    def add() -> list[Any]:  # and what is chosen stays
        return [gr.Dropdown(choices=store.list()) for _ in choices]

    gr.on(page.load, begin, outputs=choices, show_progress="hidden")
    gr.on(saved, add, outputs=choices, show_progress="hidden")
    gr.on([page.load, saved], or_problem(partial(versions, store)), outputs=listed, show_progress="hidden")
    read.change(or_problem(partial(version, store)), read, shown, show_progress="minimal")
    compare.click(or_problem(partial(difference, store)), [before, after], changed)
    draw.click(or_problem(partial(heat_map, workspace)), [scored, clip], drawn)


def _choice(names: Sequence[str], place: int) -> Any:
    """A dropdown's choices, of which one is chosen: of few the first."""
    return gr.Dropdown(choices=list(names), value=names[max(place, -len(names))] if names else None)


def version(store: DescriptionStore, name: str) -> str:
    """What a version says of each class, where that comes from, and what the checks find."""
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
    told = of.manifest
    facts = {
        "Version": of.name,
        "Source": told.source,
        "Control": told.control,
        "Asked": told.model,
        "At": told.base_url,
        "With": told.template,
        "Sampling": ", ".join(f"{key} {value}" for key, value in told.sampling.items()),
        "Class set": told.class_set["name"],
        "Made from": ", ".join(told.parents),
        "Why": told.derivation.get("message"),
        "Citation": told.citation,
        "Licence": told.license,
        "Without an answer": len(told.failures),
        "Written": told.created,
        "SHA-256": of.sha256,
    }
    return [(label, value) for label, value in facts.items() if value]


def versions(store: DescriptionStore) -> str:
    """A line for each version; one that cannot be read does not hide the others."""
    return fragment("versions", versions=[_line(store, name) for name in reversed(store.list())])


def _line(store: DescriptionStore, name: str) -> dict[str, Any]:
    try:
        of = store.load(name)
    except (InputError, OSError) as error:
        return {"name": name, "problem": str(error)}
    told = of.manifest
    return {
        "name": name,
        "problem": None,
        "home": "shipped" if is_shipped(store.path(name)) else "workspace",
        "source": told.source,
        "model": told.model or "",
        "classes": f"{told.class_set['name']} ({len(of.class_names)})",
        "parents": ", ".join(told.parents),
        "written": told.created[:10],
    }


def difference(store: DescriptionStore, before: str, after: str) -> str:
    """What is different between two versions."""
    return fragment("difference", of=diff(store.load(before), store.load(after)))


def heat_map(workspace: Workspace, name: str, clip: str) -> str:
    """How alike the texts of the classes are to a CLIP's text tower."""
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
    """What a template asks a language model for a class; nothing is asked."""
    chosen = _class_set(class_set)
    template = load_template(name, workspace)
    messages = template.messages(chosen.resolve(class_name), chosen)
    text = "\n".join(message["content"] for message in messages)
    return fragment("prompt", template=template, text=text)


def _class_set(name: str) -> Any:
    """A class set that is shipped; a path, which the command line takes too, is none."""
    if name not in class_set_names():
        raise unknown("class set", name, class_set_names())
    return load_class_set(name)
