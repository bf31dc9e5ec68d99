"""`dfer-prompts generate`: a new version, from a language model, from FACS, or as a control."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DferPromptsError, InputError, unknown
from ..workspace import Workspace
from .output import JsonOption, clean, message, print_json, print_table, progress

if TYPE_CHECKING:
    from ..classes import ClassSet
    from ..description_set import DescriptionSet
    from ..generation import Outcome
    from ..store import DescriptionStore
    from ..templates import Template

SHOWN_FAILURES = 5

SamplesOption = Annotated[int, typer.Option(min=1, max=1000, help="Answers per class.")]
TopKOption = Annotated[
    int | None, typer.Option(min=1, help="Descriptors kept per class.", show_default="6; facs: all")
]
ModelOption = Annotated[
    str | None, typer.Option(help="The model to ask.", show_default="the only one served")
]
BaseUrlOption = Annotated[
    str | None, typer.Option(help="An OpenAI-compatible server.", show_default="OPENAI_BASE_URL")
]
TemperatureOption = Annotated[
    float | None, typer.Option(help="0 to 2.", show_default="the template's, else 0.7")
]
TopPOption = Annotated[
    float | None, typer.Option(help="Above 0, to 1.", show_default="the template's, else 1.0")
]
MaxTokensOption = Annotated[
    int | None, typer.Option(help="Longest answer in tokens.", show_default="the template's, else 2048")
]
ReasoningOption = Annotated[
    str | None, typer.Option(help="none to max; for models that reason.", show_default="not sent")
]
SeedOption = Annotated[
    int | None, typer.Option(help="Of the first sample, or of a control.", show_default="1")
]
ConcurrencyOption = Annotated[int, typer.Option(min=1, max=256, help="Requests under way at once.")]
VersionOption = Annotated[str | None, typer.Option(help="The new version's name.", show_default="the next")]
AllowShortOption = Annotated[
    bool, typer.Option("--allow-short", help="Accept classes with fewer than top-k descriptors.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the prompts and count the requests; ask nothing.")
]


def register(app: typer.Typer) -> None:
    """Add this file's command to the root command."""
    app.command(short_help="Make a new description set.")(generate)


@dataclass(frozen=True)
class _Asking:
    """The options that only a language model needs."""

    template: str
    model: str | None
    base_url: str | None
    samples: int
    top_k: int
    concurrency: int
    allow_short: bool
    sampling: dict[str, Any]


@dataclass(frozen=True)
class _Made:
    """A draft and what there is to tell about its making."""

    draft: DescriptionSet
    responses: list[dict[str, Any]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)


def generate(
    context: typer.Context,
    classes: Annotated[str | None, typer.Option(help="Class set: a name or a YAML file.")] = None,
    template: Annotated[str, typer.Option(help="The prompt template.")] = "paper",
    source: Annotated[str, typer.Option(help="llm, facs, or control:NAME.")] = "llm",
    of: Annotated[str, typer.Option(help="The description set that a control is made of.")] = "v1",
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    samples: SamplesOption = 5,
    top_k: TopKOption = None,
    temperature: TemperatureOption = None,
    top_p: TopPOption = None,
    max_tokens: MaxTokensOption = None,
    reasoning_effort: ReasoningOption = None,
    seed: SeedOption = None,
    concurrency: ConcurrencyOption = 8,
    version: VersionOption = None,
    allow_short: AllowShortOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new description set: ask a language model, or use FACS or a control.

    Answers are stored as they arrive, and the same command asks again only for what is missing. FACS and
    controls ask nothing, and the options on asking do not concern them.
    """
    from ..store import DescriptionStore

    sampling = {
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "reasoning_effort": reasoning_effort,
        "seed": seed,
    }
    asking = _Asking(template, model, base_url, samples, top_k or 6, concurrency, allow_short, sampling)
    workspace: Workspace = context.obj
    if dry_run:
        _dry_run(workspace, source, _class_set(classes), asking, as_json)
        return
    store = DescriptionStore(workspace)
    if version is not None:
        store.check_name(version)  # before anything is asked and paid for
    if source == "llm":
        made = _from_llm(workspace, _class_set(classes), asking)
    elif source == "facs":
        made = _from_facs(_class_set(classes), top_k)
    else:
        made = _from_control(source, store, of, classes, seed)
    saved = store.save(made.draft, version, made.responses)
    _print(saved, made, str(store.path(saved.name)), as_json)


def _class_set(classes: str | None) -> ClassSet:
    from ..classes import class_set_names, load_class_set

    if classes is None:
        raise InputError(f"say for which classes: --classes NAME\nThere are: {', '.join(class_set_names())}")
    return load_class_set(classes)


def _from_llm(workspace: Workspace, class_set: ClassSet, asking: _Asking) -> _Made:
    from ..generation import generate, sampling_for
    from ..responses import ResponseStore
    from ..sources.endpoint import resolve_endpoint
    from ..templates import load_template

    template = load_template(asking.template, workspace)
    endpoint = resolve_endpoint(workspace, asking.base_url, asking.model)
    sampling = sampling_for(endpoint, template, **asking.sampling)
    message(f"Asking {endpoint.model} at {endpoint.base_url}")
    with progress("answers") as report:
        outcome = generate(
            class_set,
            template,
            endpoint,
            responses=ResponseStore(workspace.responses),
            sampling=sampling,
            samples=asking.samples,
            top_k=asking.top_k,
            concurrency=asking.concurrency,
            allow_short=asking.allow_short,
            report=report,
        )
    return _Made(outcome.draft, outcome.responses, _told(outcome))


def _told(outcome: Outcome) -> dict[str, Any]:
    return {
        "model": outcome.draft.manifest.model,
        "base_url": outcome.draft.manifest.base_url,
        "asked": outcome.asked,
        "found": outcome.found,
        "failed": outcome.failed,
        "tokens": {"prompt": outcome.prompt_tokens, "completion": outcome.completion_tokens},
        "failures": outcome.draft.manifest.failures,
    }


def _from_facs(class_set: ClassSet, top_k: int | None) -> _Made:
    from ..sources.facs import facs_set

    return _Made(facs_set(class_set, top_k))


def _from_control(
    source: str, store: DescriptionStore, of: str, classes: str | None, seed: int | None
) -> _Made:
    from ..sources.controls import CONTROLS, control_set

    kind, _, control = source.partition(":")
    if kind != "control":
        raise unknown("source", source, ["llm", "facs", *(f"control:{name}" for name in CONTROLS)])
    if control not in CONTROLS:
        raise unknown("control", control, CONTROLS)
    parent = store.load(of)
    if classes is not None:
        parent = _restricted(parent, _class_set(classes))
    return _Made(control_set(control, parent, seed=1 if seed is None else seed))


def _restricted(parent: DescriptionSet, class_set: ClassSet) -> DescriptionSet:
    """The parent with these classes only, in their order. Raises InputError for those it lacks."""
    from ..classes import match_class_name

    parent.class_texts(class_set.names)
    matches = {name: match_class_name(name, parent.class_names) or name for name in class_set.names}
    members = {name: parent.members[match] for name, match in matches.items()}
    manifest = parent.manifest.model_copy(update={"class_set": class_set.as_manifest()})
    return replace(parent, class_names=class_set.names, members=members, manifest=manifest)


def _dry_run(workspace: Workspace, source: str, class_set: ClassSet, asking: _Asking, as_json: bool) -> None:
    from ..generation import prompts
    from ..templates import load_template

    if source != "llm":
        raise InputError(f"--dry-run shows what a language model would be asked; {source} asks nothing")
    template = load_template(asking.template, workspace)
    rendered = prompts(class_set, template)
    count = len(rendered) * asking.samples
    answered = _already_answered(workspace, class_set, template, asking)
    if as_json:
        print_json({"requests": count, "answered": answered, "prompts": rendered})
        return
    for name, messages in rendered.items():
        for each in messages:
            typer.echo(clean(f"[{name}]\n{each['content']}\n"))
    known = "unknown: no model to ask" if answered is None else str(answered)
    message(f"{count} requests ({len(rendered)} classes x {asking.samples}); already answered: {known}")


def _already_answered(
    workspace: Workspace, class_set: ClassSet, template: Template, asking: _Asking
) -> int | None:
    """How many answers are stored; None where no model is known, which keeps nobody from reading prompts."""
    from ..generation import answered, plan, sampling_for
    from ..responses import ResponseStore
    from ..sources.endpoint import resolve_endpoint

    try:
        endpoint = resolve_endpoint(workspace, asking.base_url, asking.model)
    except DferPromptsError as error:
        message(str(error))
        return None
    sampling = sampling_for(endpoint, template, **asking.sampling)
    requests = plan(class_set, template, endpoint, sampling, asking.samples)
    return len(answered(requests, ResponseStore(workspace.responses)))


def _print(saved: DescriptionSet, made: _Made, folder: str, as_json: bool) -> None:
    texts = {
        name: [each.text for member in saved.members[name] for each in member] for name in saved.class_names
    }
    if as_json:
        print_json({"version": saved.name, "folder": folder, **made.told, "classes": texts})
        return
    rows = [(name, "; ".join(descriptors)) for name, descriptors in texts.items()]
    print_table(f"{saved.name} ({saved.manifest.source})", ["class", "descriptors"], rows)
    if made.told:
        message(_summary(made.told))
    message(f"Written to {folder}\nNext: dfer-prompts descriptions show {saved.name}")


def _summary(told: dict[str, Any]) -> str:
    prompt, completion = told["tokens"]["prompt"], told["tokens"]["completion"]
    tokens = "tokens not told" if prompt is None else f"{prompt} + {completion or 0} tokens"
    lines = [f"Asked {told['asked']}, found stored {told['found']}, failed {told['failed']}; {tokens}"]
    failures = told["failures"]
    lines += [
        f"  {each['class_name']}, sample {each['sample']}: {each['reason']} ({each['detail']})"
        for each in failures[:SHOWN_FAILURES]
    ]
    if len(failures) > SHOWN_FAILURES:
        lines.append(f"  and {len(failures) - SHOWN_FAILURES} more, in the manifest")
    return "\n".join(lines)
