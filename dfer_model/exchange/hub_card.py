"""The model card on HuggingFace's hub: the run's card with the hub's header and usage section."""

from __future__ import annotations

from typing import Any

import yaml

from ..reports.run_card import card_of
from ..runs import Run
from ..yaml_loader import load_yaml
from .model_file import portable

FIGURES = {"uar": ("recall", "UAR (%)"), "war": ("accuracy", "WAR (%)")}  # hub metric type, displayed name


def hub_card(run: Run, repo: str) -> str:
    """The README.md of `repo` ("user/name") for a finished run; it contains no local paths."""
    result = run.result
    header, body = _parts(card_of(portable(run)))
    header = {"library_name": "dfer-prompts", "pipeline_tag": "video-classification", **header}
    if figures := result["measures"].get(result["selected"]):
        header["metrics"] = [kind for kind, _ in FIGURES.values()]
        header["model-index"] = [{"name": repo.partition("/")[2], "results": [_indexed(run, figures)]}]
    lines = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    return f"---\n{lines}---\n{body.partition('## Use')[0]}{_use(repo)}"


def _parts(written: str) -> tuple[dict[str, Any], str]:
    """The header and the body of a card."""
    if not written.startswith("---\n"):
        return {"tags": ["dfer-clip", "facial-expression-recognition", "clip"]}, "\n" + written
    header, _, body = written.removeprefix("---\n").partition("\n---\n")
    return load_yaml(header), body


def _indexed(run: Run, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures in the format of the hub's model index."""
    name = str(run.config["dataset"]["name"]) or "unknown"
    return {
        "task": {"type": "video-classification"},
        "dataset": {"name": name, "type": name, "split": f"fold {run.fold}"},
        "metrics": [
            {"type": kind, "name": title, "value": round(figures[key], 2)}
            for key, (kind, title) in FIGURES.items()
        ],
    }


def _use(repo: str) -> str:
    return (
        "## Use\n\n"
        "```python\n"
        "import dfer_prompts\n\n"
        f'model = dfer_prompts.from_pretrained("{repo}")\n'
        'model.predict("clip.mp4").probabilities\n'
        "```\n\n"
        "Only `model.safetensors` is needed: class names, texts, settings and preprocessing are in its "
        "metadata. The whole downloaded repository is a run's folder: `dfer-prompts evaluate FOLDER "
        "--dataset DIR`.\n"
    )
