"""The model card of a run: its README.md, with the header that HuggingFace's hub reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from dfer_model.runs import Run
from dfer_model.settings import PRESETS, Settings, preset

CHOICE = {
    "last": "the last epoch; nothing that chose it has seen the test fold",
    "val": "the epoch with the highest WAR on validation clips, a part of the training folds; nothing that "
    "chose it has seen the test fold",
    "test-best": "the epoch with the highest WAR **on the test fold itself**, as in the released code of "
    "DFER-CLIP: this flatters the figures",
}


def card(run: Run, result: dict[str, Any]) -> str:
    """The card of `run` with what result.json will hold, as Markdown."""
    header = {
        "library_name": "dfer-prompts",
        "pipeline_tag": "video-classification",
        "tags": ["dfer-clip", "facial-expression-recognition", "clip"],
    }
    dataset = run.config["dataset"]
    sections = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n",
        f"# {_text(run.texts.name)} on {_text(dataset['name'])}, fold {run.fold}, seed {run.seed}\n",
        "DFER-CLIP ([arXiv 2308.13382](https://arxiv.org/abs/2308.13382)) trained by dfer-prompts to tell "
        "facial expressions in video apart by their descriptions.\n",
        _facts(run, result),
        _figures(result),
        "![Confusion matrix](confusion.png)\n",
        _texts(run),
        "Figures of one run do not show that one description set is better than another: trained on enough "
        "clips, a classifier learns any distinct class weights. `dfer-prompts compare` sets them against "
        "noise and controls.\n",
        _use(run),
    ]
    return "\n".join(sections)


def _facts(run: Run, result: dict[str, Any]) -> str:
    dataset, settings = run.config["dataset"], run.settings
    name, deviating = nearest_preset(settings, str(dataset["name"]))
    changes = ", ".join(f"{key}={value}" for key, value in deviating.items())
    selected = result["selected"]
    rows = {
        "clips": f"{_text(dataset['name'])}, fingerprint `{dataset['fingerprint'][:16]}`: "
        f"{result['clips']['train']} to train on, {result['clips']['test']} to judge",
        "fold, seed": f"{run.fold}, {run.seed}",
        "description set": f"{_text(run.texts.name)}, sha256 `{run.texts.sha256[:16]}`",
        "CLIP": f"{_text(settings.clip)}, weights {_text(settings.weights)}, sha256 "
        f"`{run.config['clip']['sha256'][:16]}`",
        "settings": f"preset {name}" + (f" with {_text(changes)}" if changes else ""),
        "epoch": f"{result['epochs'][selected]} of {settings.epochs}: {CHOICE[selected]}",
        "device, precision": f"{_text(result['device'])}, {result['precision']}",
        "training time": f"{result['seconds']:.0f} s",
        "versions": ", ".join(f"{package} {number}" for package, number in result["versions"].items()),
    }
    notes = [("note", _text(note)) for note in result["notes"]]
    return _table(("what", "value"), [*rows.items(), *notes])


def _figures(result: dict[str, Any]) -> str:
    lines = []
    for selection, measured in result["measures"].items():
        lines.append(f"## {selection}: UAR {measured['uar']:.2f}%, WAR {measured['war']:.2f}%\n")
        rows = [
            (_text(name), str(sum(row)), "no clips" if recall is None else f"{recall:.2f}")
            for (name, recall), row in zip(measured["recalls"].items(), measured["confusion"], strict=True)
        ]
        lines.append(_table(("class", "test clips", "recall (%)"), rows))
    return "\n".join(lines)


def _texts(run: Run) -> str:
    rows = [
        (_text(name), " / ".join(map(_text, members)))
        for name, members in zip(run.class_names, run.texts.texts, strict=True)
    ]
    return "## Class texts\n\n" + _table(("class", "text"), rows)


def _use(run: Run) -> str:
    return (
        "## Use\n\n"
        f"    dfer-prompts predict {run.id} VIDEO\n"
        f"    dfer-prompts evaluate {run.id}\n\n"
        "`model.safetensors` holds all that this needs. CLIP's text tower is left out: what it said, the "
        "class weights, is kept.\n"
    )


def imported_card(run: Run, result: dict[str, Any]) -> str:
    """The card of a run that was imported: whence it comes and what it is, without figures."""
    imported, settings = run.config["imported"], run.settings
    epoch = next(iter(result["epochs"].values()))
    rows = {
        "file": f"{_text(imported['file'])}, sha256 `{imported['sha256']}`",
        "fold": f"{run.fold} judges, as the importer said",
        "CLIP": f"{_text(settings.clip)}, towers as in the file",
        "contexts": f"{settings.contexts}, {settings.context_kind}, description at the {settings.position}",
        "temporal model": f"{settings.temporal_depth} layers over {settings.frames} frames",
        "epoch": f"{'unknown' if epoch is None else epoch}, as the file says; what chose it is not known",
    }
    notes = [("note", _text(note)) for note in result["notes"]]
    sections = [
        f"# {_text(imported['file'])}\n",
        "A DFER-CLIP checkpoint ([arXiv 2308.13382](https://arxiv.org/abs/2308.13382)) that others trained, "
        "imported by dfer-prompts.\n",
        _table(("what", "value"), [*rows.items(), *notes]),
        _texts(run),
        f"## Use\n\n    dfer-prompts predict {run.id} VIDEO\n"
        f"    dfer-prompts evaluate {run.id} --dataset DIR\n",
    ]
    return "\n".join(sections)


def nearest_preset(settings: Settings, dataset_name: str) -> tuple[str, dict[str, Any]]:
    """The preset that differs least from `settings` on this dataset, and the settings that differ."""
    chosen = settings.model_dump(exclude={"workers"})
    differences = {
        name: {key: chosen[key] for key in chosen if chosen[key] != getattr(preset(name, dataset_name), key)}
        for name in PRESETS
    }
    nearest = min(differences, key=lambda name: len(differences[name]))
    return nearest, differences[nearest]


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _text(value: object) -> str:
    """Text that is data, on one line of a Markdown table: nothing in it is markup."""
    line = " ".join(str(value).split())
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!$" else char for char in line)
