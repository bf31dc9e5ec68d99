"""`dfer-prompts generate`: new versions from language models, frames, FACS, a sentence or a control."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InputError
from ..workspace import Workspace
from .completion import class_sets
from .frame_options import FrameOptions
from .options import (
    BaseUrlOption,
    BudgetOption,
    ConcurrencyOption,
    DeviceOption,
    MaxRequestsOption,
    TimeoutOption,
    VersionOption,
    grouped,
)
from .output import JsonOption, message, print_json, print_table, progress

if TYPE_CHECKING:
    from ..api.frames import FrameChoices
    from ..generation.clip_images import ShownClips
    from ..generation.plan import Classes
    from ..generation.run import Outcome

FROM_MODELS = ("llm", "frames")  # sources that query a model

TemplateOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="The prompt template; repeat it for several.",
        show_default="paper; frames: frames or frames-contrast",
    ),
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
        metavar="SOURCE",
        help="llm, frames, facs, control:NAME, or a sentence: 'sentence:a photo of {class}'.",
    ),
]
OfOption = Annotated[
    str | None,
    typer.Option(
        metavar="V",
        help="The description set to make a control of, or whose confusions --contrast uses.",
        show_default="v1",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the prompts, requests and costs; write the images; send nothing."),
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
    shown: FrameOptions,
    version: VersionOption = None,
    device: DeviceOption = "auto",
    ensemble: EnsembleOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new description set from a language model, frames of clips, FACS, a sentence or a control.

    Answers are stored as they arrive; the same command requests only what is missing. Several templates or
    models make one version each. FACS, sentences and controls need no model and ignore its options.

    --source frames shows a multimodal model frames of training clips (--dataset, --folds); compare refuses to
    test the version on these folds. Images are sent to this machine, or with --send-images to another one.

    At the limit of --max-requests or --budget-tokens the command stops with exit status 1: answers are
    stored, no version is made, and the same command continues. A request counts before it is sent, with the
    estimated tokens of its prompt and --max-tokens for its answer.

    A base URL from dfer.yaml must be confirmed once on a terminal, unless it is on this machine; without a
    terminal pass --base-url.

    Example: dfer-prompts generate --classes mafw --template contrastive --samples 3 --version v3
    """
    from ..generation.clip_images import default_template

    workspace: Workspace = context.obj
    _check_source(source, of, shown.contrast, asks_a_model=bool(template or model or ensemble))
    if dry_run and source not in FROM_MODELS:
        raise InputError(f"--dry-run requires --source llm or frames; {source} sends no requests")
    class_set, clips = _clips(workspace, source, classes, shown.choices(of, options.seed), device)
    templates, models = template or [default_template(clips)], model or []
    if dry_run:
        _dry_run(workspace, class_set, templates, models, options, clips, as_json)
        return
    if source in FROM_MODELS:
        made = _generated(workspace, class_set, templates, models, ensemble, version, options, clips)
    else:
        from ..generation.generate import generate as make

        made = [
            make(classes, source=source, of=of or "v1", version=version, workspace=workspace, **vars(options))
        ]
    _print(made, workspace, as_json)


def _clips(
    workspace: Workspace, source: str, classes: str | None, choices: FrameChoices, device: str
) -> tuple[Classes | None, ShownClips | None]:
    """The class set and the clips of --source frames; for other sources `classes` and no clips."""
    if source != "frames":
        choices.check_unused(source)
        return classes, None
    from ..api.frames import shown_clips

    return shown_clips(classes, choices, workspace, device, progress)


def _generated(
    workspace: Workspace,
    classes: Classes | None,
    templates: list[str],
    models: list[str],
    ensemble: bool,
    version: str | None,
    options: GenerateOptions,
    clips: ShownClips | None,
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
            shown=clips,
            report=shown.report,
            note=shown.note,
            **vars(options),
        )


def _dry_run(
    workspace: Workspace,
    classes: Classes | None,
    templates: list[str],
    models: list[str],
    options: GenerateOptions,
    clips: ShownClips | None,
    as_json: bool,
) -> None:
    from ..generation.dry_run import dry_run
    from .generate_dry_run import show_dry_run

    runs = dry_run(
        classes,
        template=[*templates],
        model=[*models],
        workspace=workspace,
        shown=clips,
        note=message,
        **vars(options),
    )
    show_dry_run(runs, as_json)


def _check_source(source: str, of: str | None, contrast: bool, *, asks_a_model: bool) -> None:
    """Raise InputError for an option that the source does not use."""
    if of is not None and not source.startswith("control:") and not contrast:
        raise InputError(f"--of requires a control or --contrast\nGive one: --source control:NAME --of {of}")
    if source not in FROM_MODELS and asks_a_model:
        raise InputError(f"{source} uses no language model: leave out --template, --model and --ensemble")


def _print(made: list[Outcome], workspace: Workspace, as_json: bool) -> None:
    from ..generation.clip_descriptions import table_path
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
            message(summary(outcome) if saved.manifest.source in FROM_MODELS else "No model was queried.")
            if outcome.clip_descriptions:
                message(f"Descriptions of clips: {table_path(saved.name, workspace)}")
            message(f"Written to {folder}\nNext: dfer-prompts descriptions show {saved.name}")
    if as_json:
        print_json(shown[0] if len(shown) == 1 else shown)
