"""The tab *Generate*: a new version from a language model, with a dry run first.

Only the server's own endpoint (environment or dfer.yaml) and the demo language model can be chosen. Names of
templates and class sets are those that the page offers, never paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import gradio as gr

from ..classes import class_set_names
from ..errors import InputError, Interrupted, unknown
from ..generation.dry_run import dry_run
from ..generation.generate import generate
from ..llm.endpoint import DEFAULT_MODEL, DEMO_MODEL, is_configured, resolve_server
from ..llm.redaction import PROBLEMS
from ..templates import load_template, template_names
from ..templates.feedback import OPTIMIZE
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .descriptions_tab import version
from .fragments import fragment, or_problem, piece, problem
from .progress import requests

CONFIGURED = "configured"
MOST_SAMPLES, MOST_DESCRIPTORS = 20, 20
LOCKED = (
    "Without a password on an address open to the network, only the demo language model can be queried. "
    "Start the server with --auth FILE to use its configured model."
)


class Inputs(NamedTuple):
    """The values of the tab's components, as the browser sent them."""

    template: str
    class_set: str
    model: str
    samples: float
    top_k: float
    short: bool


def generate_tab(workspace: Workspace, page: gr.Blocks, written: gr.State, *, may_query: bool) -> None:
    """Add the tab's components; `written` receives the name of each new version.

    `may_query`: whether visitors may query the configured endpoint, which may cost money.
    """
    if not may_query:
        piece(fragment("said", lines=[LOCKED]))
    with gr.Row():
        template = gr.Dropdown(label="Prompt template")
        class_set = gr.Dropdown(label="Class set", choices=list(class_set_names()), value="mafw")
        model = gr.Dropdown(label="Language model")
    with gr.Row():
        samples = gr.Number(5, label="Answers per class", minimum=1, maximum=MOST_SAMPLES, precision=0)
        top_k = gr.Number(6, label="Descriptors per class", minimum=1, maximum=MOST_DESCRIPTORS, precision=0)
        name = gr.Textbox(label="Name of the version", info="Empty: the next number")
    short = gr.Checkbox(label="Accept classes with fewer descriptors")
    with gr.Row():
        look = gr.Button("Dry run", elem_classes="ask")
        ask = gr.Button("Generate", variant="primary", elem_classes="ask")
    shown = piece(name="generated")

    def renew() -> tuple[Any, Any]:
        models = models_offered(workspace, may_query)
        return (
            gr.Dropdown(choices=templates_offered(workspace), value="paper"),
            gr.Dropdown(choices=models, value=models[0][1]),
        )

    gr.on(page.load, renew, outputs=[template, model], show_progress="hidden")
    given = [template, class_set, model, samples, top_k, short]
    look.click(or_problem(partial(estimated, workspace, may_query)), given, shown)
    ask.click(
        generating(workspace, may_query),
        [name, *given],
        [shown, written],
        concurrency_limit=1,
        show_progress_on=shown,
    )


def templates_offered(workspace: Workspace) -> list[str]:
    """The templates that ask for descriptors, without those that show images of clips."""
    return [
        each for each in template_names(workspace) if each != OPTIMIZE and not _shows_images(each, workspace)
    ]


def _shows_images(name: str, workspace: Workspace) -> bool:
    try:
        return load_template(name, workspace).images != "none"
    except InputError:
        return False  # a damaged template is offered; its error is shown when it is used


def models_offered(workspace: Workspace, may_query: bool) -> list[tuple[str, str]]:
    """The configured model, if there is one and visitors may query it, and the demo model: (label, name)."""
    found = [("demo language model", DEMO_MODEL)]
    if may_query and is_configured(workspace):
        found.insert(0, (_configured_title(workspace), CONFIGURED))
    return found


def _configured_title(workspace: Workspace) -> str:
    try:
        server = resolve_server(workspace, probing=True)  # sends nothing
    except PROBLEMS:
        return "the configured model"  # the error is shown when it is used
    usual = DEFAULT_MODEL if server.is_openai else "the model"
    return f"{workspace.defaults.model or usual} at {server.base_url}"


def estimated(workspace: Workspace, may_query: bool, *given: Any) -> str:
    """The prompts, and an estimate of requests, tokens and cost; nothing is generated.

    `given` are the values of `Inputs`.
    """
    options = _options(workspace, may_query, Inputs(*given))
    notes: list[str] = []
    (run,) = dry_run(workspace=workspace, note=notes.append, **options)
    prompts = [
        (name, "\n".join(each["content"] for each in messages)) for name, messages in run.prompts.items()
    ]
    return fragment("dry_run", lines=[*run.summary(), *notes], prompts=prompts)


def generating(workspace: Workspace, may_query: bool) -> Callable[..., Iterator[tuple[Any, Any]]]:
    """The handler of the button: progress, then the new version, whose name is the second output."""

    def answers(
        name: str,
        bar: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio detects it by this default
        *given: Any,
    ) -> Iterator[tuple[Any, Any]]:
        notes: list[str] = []
        try:
            options = _options(workspace, may_query, Inputs(*given))
            yield fragment("said", lines=["Requesting answers."]), gr.skip()
            version_name = name.strip() or None
            made = generate(
                version=version_name, workspace=workspace, report=requests(bar), note=notes.append, **options
            )
        except Interrupted:
            return
        except PROBLEMS as error:
            yield problem(error), gr.skip()
            return
        store = DescriptionStore(workspace)
        counts = f"Requested {made.asked}, found stored {made.found}, failed {made.failed}"
        saved = made.descriptions.name
        lines = [*notes, counts, f"Written to {store.path(saved)}"]
        yield fragment("said", lines=lines) + version(store, saved), saved

    return answers


def _options(workspace: Workspace, may_query: bool, given: Inputs) -> dict[str, Any]:
    """The keywords of `generate`. Raises InputError for anything that the page does not offer."""
    models = [name for _, name in models_offered(workspace, may_query)]
    for kind, name, offered in (
        ("template", given.template, templates_offered(workspace)),
        ("class set", given.class_set, class_set_names()),
        ("language model", given.model, models),
    ):
        if name not in offered:
            raise unknown(kind, str(name), offered)
    for label, value, most in (
        ("Answers per class", given.samples, MOST_SAMPLES),
        ("Descriptors per class", given.top_k, MOST_DESCRIPTORS),
    ):
        if not isinstance(value, int | float) or not 1 <= value <= most:
            raise InputError(f"{label} must be a number from 1 to {most}")
    return {
        "classes": given.class_set,
        "template": given.template,
        "model": DEMO_MODEL if given.model == DEMO_MODEL else None,
        "samples": int(given.samples),
        "top_k": int(given.top_k),
        "allow_short": bool(given.short),
    }
