"""`dfer-prompts generate`: new versions from language models, FACS, a sentence or a control."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from ..workspace import Workspace
from .completion import class_sets
from .options import (
    BaseUrlOption,
    BudgetOption,
    ConcurrencyOption,
    MaxRequestsOption,
    TimeoutOption,
    VersionOption,
    grouped,
)
from .output import JsonOption, clean, message, print_json, print_table

if TYPE_CHECKING:
    from ..generation.run import Outcome

TemplateOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="The prompt template; repeat it for several.", show_default="paper"),
]
SamplesOption = Annotated[int, typer.Option(min=1, max=1000, help="Answers per class.")]
TopKOption = Annotated[
    int | None, typer.Option(min=1, help="Descriptors per class.", show_default="6; facs: all")
]
RankOption = Annotated[
    Literal["support", "order", "distinctive"],
    typer.Option(
        help="Rank descriptors by number of answers, by position in the answers, or by distinctiveness."
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="The language model; repeat it for several. demo is a small one for trying the tool.",
        show_default="the only one served",
    ),
]
TemperatureOption = Annotated[
    float | None, typer.Option(help="0 to 2.", show_default="the template's, else 0.7")
]
TopPOption = Annotated[
    float | None, typer.Option(help="Above 0, to 1.", show_default="the template's, else 1.0")
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option(help="Maximum length of an answer in tokens.", show_default="the template's, else 2048"),
]
ReasoningOption = Annotated[
    str | None,
    typer.Option(metavar="EFFORT", help="none to max, for reasoning models.", show_default="not sent"),
]
SeedOption = Annotated[
    int | None, typer.Option(help="Seed of the first sample, or of a control.", show_default="1")
]
EnsembleOption = Annotated[
    bool, typer.Option("--ensemble", help="Combine several templates or models into one version, as members.")
]
AllowShortOption = Annotated[
    bool, typer.Option("--allow-short", help="Accept classes with fewer than top-k descriptors.")
]
ClassesOption = Annotated[
    str | None,
    typer.Option(autocompletion=class_sets, metavar="NAME|FILE", help="Class set: a name or a YAML file."),
]
SourceOption = Annotated[
    str,
    typer.Option(
        metavar="SOURCE", help="llm, facs, control:NAME, or a sentence: 'sentence:a photo of {class}'."
    ),
]
OfOption = Annotated[
    str | None,
    typer.Option(metavar="V", help="The description set to make a control of.", show_default="v1"),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the prompts, requests and costs; send nothing.")
]


def register(app: typer.Typer) -> None:
    """Add this file's command to the root command."""
    app.command(short_help="Make a new description set.")(generate)


@dataclass(frozen=True)
class GenerateOptions:
    """How a language model is queried: the fields of `generation.plan.RequestOptions`."""

    base_url: BaseUrlOption = None
    samples: SamplesOption = 5
    top_k: TopKOption = None
    rank: RankOption = "support"
    temperature: TemperatureOption = None
    top_p: TopPOption = None
    max_tokens: MaxTokensOption = None
    reasoning_effort: ReasoningOption = None
    seed: SeedOption = None
    concurrency: ConcurrencyOption = 8
    timeout: TimeoutOption = 300.0
    allow_short: AllowShortOption = False
    max_requests: MaxRequestsOption = None
    budget_tokens: BudgetOption = None


@grouped
def generate(
    context: typer.Context,
    *,
    classes: ClassesOption = None,
    template: TemplateOption = None,
    source: SourceOption = "llm",
    of: OfOption = None,
    model: ModelOption = None,
    options: GenerateOptions,
    version: VersionOption = None,
    ensemble: EnsembleOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new description set from a language model, FACS, a sentence or a control.

    Answers are stored as they arrive; the same command requests only what is missing. Several templates or
    models make one version each. FACS, sentences and controls need no model and ignore its options.

    At the limit of --max-requests or --budget-tokens the command stops with exit status 1: answers are
    stored, no version is made, and the same command continues. A request counts before it is sent, with the
    estimated tokens of its prompt and --max-tokens for its answer.

    A base URL from dfer.yaml must be confirmed once on a terminal, unless it is on this machine; without a
    terminal pass --base-url.

    Example: dfer-prompts generate --classes mafw --template contrastive --samples 3 --version v3
    """
    workspace: Workspace = context.obj
    templates, models = template or ["paper"], model or []
    _check_source(source, of, asks_a_model=bool(template or model or ensemble))
    if dry_run:
        _dry_run(workspace, source, classes, templates, models, options, as_json)
        return
    if source == "llm":
        made = _generated(workspace, classes, templates, models, ensemble, version, options)
    else:
        from ..generation.generate import generate as make

        made = [
            make(classes, source=source, of=of or "v1", version=version, workspace=workspace, **vars(options))
        ]
    _print(made, workspace, as_json)


def _generated(
    workspace: Workspace,
    classes: str | None,
    templates: list[str],
    models: list[str],
    ensemble: bool,
    version: str | None,
    options: GenerateOptions,
) -> list[Outcome]:
    """Query the language models, with progress on standard error."""
    from ..generation.generate import generate_all
    from .llm_progress import confirmed_url, request_progress

    options = replace(options, base_url=confirmed_url(workspace, options.base_url, models))
    with request_progress() as shown:
        return generate_all(
            classes,
            template=templates,
            model=models,
            ensemble=ensemble,
            version=version,
            workspace=workspace,
            report=shown.report,
            note=shown.note,
            **vars(options),
        )


def _check_source(source: str, of: str | None, *, asks_a_model: bool) -> None:
    """Raise InputError for an option that the source does not use."""
    if of is not None and not source.startswith("control:"):
        raise InputError(f"--of requires a control\nGive one: --source control:NAME --of {of}")
    if source != "llm" and asks_a_model:
        raise InputError(f"{source} uses no language model: leave out --template, --model and --ensemble")


def _print(made: list[Outcome], workspace: Workspace, as_json: bool) -> None:
    from ..versions.store import DescriptionStore
    from .llm_progress import outcome_dict, summary

    store = DescriptionStore(workspace)
    shown = []
    for outcome in made:
        saved = outcome.descriptions
        texts = {
            name: [each.text for member in saved.members[name] for each in member]
            for name in saved.class_names
        }
        folder = str(store.path(saved.name))
        shown.append({"version": saved.name, "folder": folder, **outcome_dict(outcome), "classes": texts})
        if not as_json:
            rows = [(name, "; ".join(descriptors)) for name, descriptors in texts.items()]
            print_table(f"{saved.name} ({saved.manifest.source})", ["class", "descriptors"], rows)
            message(summary(outcome) if saved.manifest.source == "llm" else "No model was queried.")
            message(f"Written to {folder}\nNext: dfer-prompts descriptions show {saved.name}")
    if as_json:
        print_json(shown[0] if len(shown) == 1 else shown)


def _dry_run(
    workspace: Workspace,
    source: str,
    classes: str | None,
    templates: list[str],
    models: list[str],
    options: GenerateOptions,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from ..generation.dry_run import dry_run

    if source != "llm":
        raise InputError(f"--dry-run requires --source llm; {source} sends no requests")
    runs = dry_run(
        classes, template=[*templates], model=[*models], workspace=workspace, note=message, **vars(options)
    )
    if as_json:
        shown = [{**asdict(each), "to_ask": each.to_ask} for each in runs]
        print_json(shown[0] if len(shown) == 1 else shown)
        return
    for each in runs:
        for name, messages in each.prompts.items():
            for one in messages:
                typer.echo(clean(f"[{name}]\n{one['content']}\n"))
        message("\n".join(each.summary()))
