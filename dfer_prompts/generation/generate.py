"""Generate description sets from a language model, FACS or a sentence, or as a control, and save them.

`dfer-prompts generate` and Python call the same functions with the same parameter names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dfer_model.io import require_writable, write_atomically
from dfer_model.progress import Note

from ..classes import ClassSet, match_class_name
from ..description_set import DescriptionSet, lineage
from ..errors import DferError, FileError, InputError, WorkError, system_errors, system_words, unknown
from ..llm.response_cache import ResponseStore
from ..llm.usage import Budget, Report
from ..templates import Template
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .clip_descriptions import table, table_path
from .clip_images import ShownClips, check_may_be_sent
from .controls import CONTROLS, control_set
from .facs import facs_set, sentence_set
from .plan import Classes, Plan, RequestOptions, chosen_class_set, plans_for
from .run import Outcome, answered, ask_and_rank

SOURCES = (
    "llm",
    "frames",
    "facs",
    "sentence:an expression of {class}",
    *(f"control:{name}" for name in CONTROLS),
)


@system_errors()
def generate(
    classes: Classes | None = None,
    *,
    source: str = "llm",
    template: str | Template = "paper",
    model: str | None = None,
    of: str = "v1",
    version: str | None = None,
    workspace: Workspace | None = None,
    shown: ShownClips | None = None,
    report: Report | None = None,
    note: Note | None = None,
    **asking: Any,
) -> Outcome:
    """Generate one description set and save it: `api.generate.generate` without the frames of clips.

    `shown` are the clips of the source "frames"; the other parameters are those of that function. Raises as
    it does.
    """
    if source == "llm" or (source == "frames" and shown is not None):
        return generate_all(
            classes,
            template=[template],
            model=[model] if model else [],
            version=version,
            workspace=workspace,
            shown=shown,
            report=report,
            note=note,
            **asking,
        )[0]
    options = RequestOptions.checked(asking)
    store = DescriptionStore(workspace or Workspace.find())
    if version is not None:
        store.check_name(version)
    made = _unasked(source, classes, of, options, store)
    return _saved(Outcome(made), version, store, workspace or Workspace.find())


@system_errors()
def generate_all(
    classes: Classes | None,
    *,
    template: Sequence[str | Template] = ("paper",),
    model: Sequence[str] = (),
    ensemble: bool = False,
    version: str | None = None,
    workspace: Workspace | None = None,
    shown: ShownClips | None = None,
    report: Report | None = None,
    note: Note | None = None,
    **asking: Any,
) -> list[Outcome]:
    """Query every model with every template: one version for each, or with `ensemble` one that combines them.

    `shown` are the clips whose frames are sent with templates that have images (`api.frames.shown_clips`).
    The other parameters are those of `generate`. Each version is saved when it is complete, in the order of
    the templates and, for each, of the models; `max_requests` and `budget_tokens` apply to the total.
    """
    place = workspace or Workspace.find()
    options = RequestOptions.checked(asking)
    store = DescriptionStore(place)
    if version is not None:
        store.check_name(version)  # before any request is sent and paid for
    plans = plans_for(classes, template, model, options, place, shown)
    if ensemble and len(plans) < 2:
        raise InputError("--ensemble requires several --template or --model")
    if version is not None and len(plans) > 1 and not ensemble:
        raise InputError(
            f"--version {version} names one version, but {len(plans)} are generated\n"
            "Omit it to number them, or combine them with --ensemble"
        )
    responses = ResponseStore(place.responses)
    if shown is not None:
        if ensemble and shown.per_clip:
            raise InputError("--per-clip describes clips with one template and model: leave out --ensemble")
        for plan in plans:  # before the first of them sends anything
            unanswered = plan.unanswered(answered(plan.requests, responses))
            check_may_be_sent(unanswered, shown, plan.endpoint)
    require_writable(place.descriptions)
    ask = partial(
        ask_and_rank,
        responses=responses,
        concurrency=options.concurrency,
        timeout=options.timeout,
        budget=Budget(options.max_requests, options.budget_tokens),
        report=report,
        note=note,
    )
    if ensemble:
        made = [_priced(ask(plan), plan, place) for plan in plans]
        return [_saved(_joined(made), version, store, place)]
    saved: list[Outcome] = []
    for plan in plans:
        try:
            generated_one = _priced(ask(plan), plan, place)
        except DferError as error:
            error.args = (f"{error}{_so_far(plans, saved)}",)
            raise
        saved.append(_saved(generated_one, version, store, place))
    return saved


def _unasked(
    source: str, classes: Classes | None, of: str, asking: RequestOptions, store: DescriptionStore
) -> DescriptionSet:
    """An unsaved set from a source without a language model."""
    kind, _, what = source.partition(":")
    if source == "facs":
        return facs_set(chosen_class_set(classes), asking.top_k)
    if kind == "sentence":
        return sentence_set(chosen_class_set(classes), what)
    if kind != "control":
        raise unknown("source", source, SOURCES)
    if what not in CONTROLS:
        raise unknown("control", what, CONTROLS)
    parent = store.load(of)
    controlled = parent if classes is None else _restricted(parent, chosen_class_set(classes))
    control = control_set(what, controlled, seed=1 if asking.seed is None else asking.seed)
    manifest = control.manifest.model_copy(update=lineage([parent]))  # not the restricted set
    return replace(control, manifest=manifest)


def _restricted(parent: DescriptionSet, class_set: ClassSet) -> DescriptionSet:
    """The parent with only these classes, in their order. Raises InputError for those it lacks."""
    parent.class_texts(class_set.names)
    matches = {name: match_class_name(name, parent.class_names) or name for name in class_set.names}
    members = {name: parent.members[match] for name, match in matches.items()}
    manifest = parent.manifest.model_copy(update={"class_set": class_set.as_manifest()})
    return replace(parent, class_names=class_set.names, members=members, manifest=manifest)


def _priced(outcome: Outcome, plan: Plan, workspace: Workspace) -> Outcome:
    price = workspace.defaults.prices.get(plan.endpoint.model)
    if price is None or (outcome.asked and outcome.prompt_tokens is None):
        return outcome
    return replace(outcome, cost=price.of(outcome.prompt_tokens or 0, outcome.completion_tokens or 0))


def _saved(outcome: Outcome, version: str | None, store: DescriptionStore, workspace: Workspace) -> Outcome:
    draft = outcome.descriptions
    if workspace.defaults.license and draft.manifest.license == "unknown":
        manifest = draft.manifest.model_copy(update={"license": workspace.defaults.license})
        draft = replace(draft, manifest=manifest)
    try:
        saved = store.save(draft, version, outcome.responses)
        if outcome.clip_descriptions:
            path = table_path(saved.name, workspace)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, table(outcome.clip_descriptions))
        return replace(outcome, descriptions=saved)
    except OSError as error:
        advice = "\nThe answers are stored; run the same command again" if outcome.responses else ""
        kind = FileError if isinstance(error, FileError) else WorkError
        raise kind(f"{system_words(error)}{advice}") from error


def _so_far(plans: Sequence[Plan], saved: Sequence[Outcome]) -> str:
    """The versions already written when a later one fails."""
    pairs = zip(plans, saved, strict=False)
    written = ", ".join(f"{each.descriptions.name} ({plan.title})" for plan, each in pairs)
    return f"; already written: {written}" if written else ""


def _joined(made: Sequence[Outcome]) -> Outcome:
    from ..ensembles import members

    joined = members([each.descriptions for each in made])
    manifests = [each.descriptions.manifest for each in made]
    derivation = {
        **manifests[0].derivation,  # the clips shown; empty without
        "command": "generate --ensemble",
        "members": [
            {
                "template": each.template,
                "template_sha256": each.template_sha256,
                "template_text": each.template_text,
                "model": each.model,
                "base_url": each.base_url,
                "sampling": each.sampling,
            }
            for each in manifests
        ],
    }
    failures = [
        {**failure, "template": each.template, "model": each.model}
        for each in manifests
        for failure in each.failures
    ]
    readings = sum((Counter(each.readings) for each in manifests), Counter())
    values = {
        "source": manifests[0].source,
        "derivation": derivation,
        "failures": failures,
        "readings": dict(readings),
    }
    manifest = joined.manifest.model_copy(update=values)
    return Outcome(
        descriptions=replace(joined, manifest=manifest),
        responses=[row for each in made for row in each.responses],
        asked=sum(each.asked for each in made),
        found=sum(each.found for each in made),
        failed=sum(each.failed for each in made),
        retried=sum(each.retried for each in made),
        prompt_tokens=_sum([each.prompt_tokens for each in made]),
        completion_tokens=_sum([each.completion_tokens for each in made]),
        cost=_sum([each.cost for each in made]),
    )


def _sum(parts: Sequence[Any]) -> Any:
    """The sum of the known values; None if none is known."""
    known = [each for each in parts if each is not None]
    return sum(known) if known else None
