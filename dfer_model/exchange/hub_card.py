"""The model card on HuggingFace's hub: the run's card with the hub's header and usage section."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..reports.run_card import card_of
from ..runs import Run
from .model_file import portable

FIGURES = {"uar": ("recall", "UAR (%)"), "war": ("accuracy", "WAR (%)")}  # hub metric type, displayed name


def hub_card(run: Run, repo: str) -> str:
    """The README.md of `repo` ("user/name") for a finished run; it contains no local paths."""
    result = run.result
    data, body = _parts(card_of(portable(run)))
    data.library_name, data.pipeline_tag = "dfer-prompts", "video-classification"
    if figures := result["measures"].get(result["selected"]):
        data.metrics = [kind for kind, _ in FIGURES.values()]
        data.model_name, data.eval_results = repo.partition("/")[2], _results(run, figures)
    return f"---\n{data.to_yaml()}\n---\n{body.partition('## Use')[0]}{_use(repo)}"


def _parts(written: str) -> tuple[ModelCardData, str]:
    """The header and the body of a card."""
    if not written.startswith("---\n"):
        return ModelCardData(tags=["dfer-clip", "facial-expression-recognition", "clip"]), "\n" + written
    card = ModelCard(written)
    known = card.data.to_dict()  # type: ignore[no-untyped-call]
    return ModelCardData(**known), card.text


def _results(run: Run, figures: dict[str, Any]) -> list[EvalResult]:
    """The figures for the hub's model index."""
    name = str(run.config["dataset"]["name"]) or "unknown"
    return [
        EvalResult(
            task_type="video-classification",
            dataset_type=name,
            dataset_name=name,
            dataset_split=f"fold {run.fold}",
            metric_type=kind,
            metric_name=title,
            metric_value=round(figures[key], 2),
        )
        for key, (kind, title) in FIGURES.items()
    ]


def _use(repo: str) -> str:
    return (
        "## Use\n\n"
        "```python\n"
        "import dfer_prompts\n\n"
        f'model = dfer_prompts.from_pretrained("{repo}")\n'
        'model.predict("clip.mp4").probabilities\n'
        "```\n\n"
        f"Or on the command line: `dfer-prompts predict hf://{repo} clip.mp4`.\n\n"
        "Only `model.safetensors` is needed: class names, texts, settings and preprocessing are in its "
        "metadata. The whole downloaded repository is a run's folder: `dfer-prompts evaluate FOLDER "
        "--dataset DIR`.\n"
    )
