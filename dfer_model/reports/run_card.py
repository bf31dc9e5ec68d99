"""The model card of a run: its README.md, with the header of HuggingFace's hub."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from huggingface_hub import ModelCardData

from dfer_model.config import PRESETS, STRATEGIES, Settings, preset, strategy
from dfer_model.evaluation.calibration import read_calibration
from dfer_model.runs import NOT_DEFINING, Run

CHOICE = {
    "last": "the last epoch; the test fold had no part in the selection",
    "val": "the epoch with the highest WAR on validation clips, a part of the training folds; the test fold "
    "had no part in the selection",
    "test-best": "the epoch with the highest WAR **on the test fold itself**, as in the released code of "
    "DFER-CLIP: the figures are optimistically biased",
}
KINDS = {
    "dfer-clip": "DFER-CLIP ([arXiv 2308.13382](https://arxiv.org/abs/2308.13382)) trained by dfer-prompts "
    "to classify facial expressions in video by descriptions of the classes.",
    "cocoop": "Co-CoOp ([arXiv 2203.05557](https://arxiv.org/abs/2203.05557)), whose contexts depend on the "
    "clip, trained by dfer-prompts to classify facial expressions in video by texts of the classes.",
    "linear": "A linear head on CLIP's image tower, trained by dfer-prompts to classify facial expressions "
    "in video; it uses no texts.",
}
FIGURES = {
    "uar": "UAR",
    "war": "WAR",
    "macro_f1": "macro-F1",
    "calibration_error": "calibration error",
    "top2_accuracy": "top-2 accuracy",
}
ZERO_SHOT = (
    "CLIP ([arXiv 2103.00020](https://arxiv.org/abs/2103.00020)) with descriptions of the classes, "
    "zero-shot: the video is compared with the texts, and nothing was trained."
)
USUAL_STRATEGY = "dfer-clip"


def card_of(run: Run) -> str:
    """The card of a finished run, imported or trained, as Markdown."""
    return (imported_card if "imported" in run.config else card)(run, run.result)


def card(run: Run, result: dict[str, Any]) -> str:
    """The card of `run` with the content of its result.json, as Markdown."""
    settings = run.settings
    header = ModelCardData(
        library_name="dfer-prompts",
        pipeline_tag="video-classification",
        tags=[
            settings.classifier,
            "facial-expression-recognition",
            *(["clip"] if settings.uses_clip else []),
        ],
    )
    named = _text(run.texts.name if settings.uses_texts else settings.classifier)
    dataset = _text(run.config["dataset"]["name"])
    network = (
        f"The network {settings.classifier}, trained by dfer-prompts to classify facial expressions in "
        "video; it uses no texts."
    )
    sections = [
        f"---\n{header.to_yaml()}\n---\n",
        f"# {named} on {dataset}, fold {run.fold}, seed {run.seed}\n"
        if dataset
        else f"# {named}, zero-shot\n",
        f"{ZERO_SHOT if settings.is_zero_shot else KINDS.get(settings.classifier, network)}\n",
        _facts(run, result),
    ]
    if result["measures"]:
        sections += [_figures(result), *_datasets(result), "![Confusion matrix](confusion.png)\n"]
    if settings.uses_texts:
        sections.append(_texts(run))
    if settings.uses_texts and result["measures"]:
        sections += [
            "Figures of one run do not show that one description set is better than another: trained on "
            "enough clips, a classifier learns any distinct class weights. `dfer-prompts compare` compares "
            "them with noise and controls.\n",
        ]
    return "\n".join([*sections, _use(run)])


def _facts(run: Run, result: dict[str, Any]) -> str:
    settings, selected = run.settings, result["selected"]
    rows = {
        "clips": _clips(run, result["clips"]),
        "fold, seed": f"test fold {run.fold}, seed {run.seed}",
        **_made_of(run),
        "settings": settings_in_words(settings, str(run.config["dataset"]["name"])),
        **_calibrated(run),
        "epoch": f"{result['epochs'][selected]} of {settings.epochs}: {CHOICE[selected]}"
        if settings.epochs
        else "none: nothing was trained",
        "device, precision": f"{_text(result['device'])}, {result['precision']}",
        "training time": f"{result['seconds']:.0f} s",
        "versions": ", ".join(f"{package} {number}" for package, number in result["versions"].items()),
    }
    notes = [("note", _text(note)) for note in result["notes"]]
    return _table(("what", "value"), [*rows.items(), *notes])


def _clips(run: Run, counts: dict[str, int]) -> str:
    dataset, settings = run.config["dataset"], run.settings
    if not dataset["fingerprint"]:
        return "none: the run was made without a dataset"
    shots = f", at most {settings.shots} of each class" if settings.shots else ""
    held_out = f", none of {_text(settings.held_out)}" if settings.held_out else ""
    val = f"{counts['val']} of the training folds for validation, " if counts.get("val") else ""
    return (
        f"{_text(dataset['name'])}, fingerprint `{dataset['fingerprint'][:16]}`: "
        f"{counts['train']} for training{shots}{held_out}, {val}{counts['test']} for testing"
    )


def _made_of(run: Run) -> dict[str, str]:
    """The texts and pretrained weights of the model."""
    settings, sha256 = run.settings, run.config["clip"]["sha256"]
    rows: dict[str, str] = {"classifier": settings.classifier}
    if settings.uses_texts:
        rows["description set"] = f"{_text(run.texts.name)}, sha256 `{run.texts.sha256[:16]}`"
    if settings.uses_clip:
        rows["CLIP"] = f"{_text(settings.clip)}, weights {_text(settings.weights)}, sha256 `{sha256[:16]}`"
    else:
        rows["initialised from"] = f"weights {_text(settings.weights)}, sha256 `{sha256[:16]}`"
    return rows


def _calibrated(run: Run) -> dict[str, str]:
    """The calibration of its probabilities, if there is one."""
    known = read_calibration(run)
    return {"calibration": _text(known.in_words())} if known else {}


def _figures(result: dict[str, Any]) -> str:
    """A row per selection of the epoch, then the recall of each class for each of them."""
    every = result["measures"].values()
    # Earlier versions recorded no top-2 accuracy.
    known = [key for key in FIGURES if any(measured.get(key) is not None for measured in every)]
    rows = [
        (
            f"{selection} ({result['epochs'][selection]})",
            *("" if measured.get(key) is None else f"{measured[key]:.2f}" for key in known),
        )
        for selection, measured in result["measures"].items()
    ]
    columns = ("selected epoch", *(f"{FIGURES[key]} (%)" for key in known))
    parts = ["## Figures\n", _table(columns, rows), *_beside(result["measures"])]
    if any(None in measured["recalls"].values() for measured in every):
        parts.append("UAR and macro-F1 are over the classes that have test clips.\n")
    for selection, measured in result["measures"].items():
        parts.append(f"## {selection}: UAR {measured['uar']:.2f}%, WAR {measured['war']:.2f}%\n")
        by_class = [
            (_text(name), str(sum(row)), "no clips" if recall is None else f"{recall:.2f}")
            for (name, recall), row in zip(measured["recalls"].items(), measured["confusion"], strict=True)
        ]
        parts.append(_table(("class", "test clips", "recall (%)"), by_class))
    return "\n".join(parts)


def _datasets(result: dict[str, Any]) -> list[str]:
    """The figures on the test clips of each of several datasets."""
    rows = [
        (_text(name), selection, str(measured["clips"]), f"{measured['uar']:.2f}", f"{measured['war']:.2f}")
        for name, each in result.get("datasets", {}).items()
        for selection, measured in each["measures"].items()
    ]
    columns = ("dataset", "selected epoch", "test clips", "UAR (%)", "WAR (%)")
    return ["## Figures by dataset\n", _table(columns, rows)] if rows else []


def _beside(measures: dict[str, Any]) -> list[str]:
    """The gain by selecting the epoch on the test fold."""
    if not {"test-best", "last"} <= measures.keys():
        return []
    gained = {key: measures["test-best"][key] - measures["last"][key] for key in ("uar", "war")}
    return [
        f"Selecting the epoch on the test fold changes UAR by {gained['uar']:+.2f} points and WAR by "
        f"{gained['war']:+.2f} points against the last epoch.\n"
    ]


def _texts(run: Run) -> str:
    rows = [
        (_text(name), " / ".join(map(_text, members)))
        for name, members in zip(run.class_names, run.texts.texts, strict=True)
    ]
    return "## Class texts\n\n" + _table(("class", "text"), rows)


def _use(run: Run) -> str:
    without = (
        " CLIP's text tower is not stored; the class weights are."
        if run.settings.classifier == "dfer-clip"
        else ""
    )
    dataset = "" if run.config["dataset"]["fingerprint"] else " --dataset DIR"
    return (
        "## Use\n\n"
        f"    dfer-prompts predict {run.id} VIDEO\n"
        f"    dfer-prompts evaluate {run.id}{dataset}\n\n"
        f"Only `model.safetensors` is needed.{without}\n"
    )


def imported_card(run: Run, result: dict[str, Any]) -> str:
    """The card of an imported run: its origin and configuration, without figures."""
    imported, settings = run.config["imported"], run.settings
    epoch = next(iter(result["epochs"].values()))
    rows = {
        "file": f"{_text(imported['file'])}, sha256 `{imported['sha256']}`",
        "clips": "the training clips are unknown",
        "fold": f"test fold {run.fold}, as given at import",
        "description set": f"{_text(run.texts.name)}, sha256 `{run.texts.sha256[:16]}`",
        "CLIP": f"{_text(settings.clip)}, towers as in the file",
        "contexts": f"{settings.contexts}, {settings.context_kind}, description at the {settings.position}",
        "temporal model": f"{settings.temporal_depth} layers over {settings.frames} frames",
        "settings": settings_in_words(settings, ""),
        **_calibrated(run),
        "epoch": f"{'unknown' if epoch is None else epoch}, as stated in the file; its selection is unknown",
        "versions": ", ".join(f"{package} {number}" for package, number in result["versions"].items()),
    }
    notes = [("note", _text(note)) for note in result["notes"]]
    sections = [
        f"# {_text(imported['file'])}\n",
        "A DFER-CLIP checkpoint ([arXiv 2308.13382](https://arxiv.org/abs/2308.13382)) trained by others and "
        "imported by dfer-prompts.\n",
        _table(("what", "value"), [*rows.items(), *notes]),
        _texts(run),
        f"## Use\n\n    dfer-prompts predict {run.id} VIDEO\n"
        f"    dfer-prompts evaluate {run.id} --dataset DIR\n",
    ]
    return "\n".join(sections)


def settings_in_words(settings: Settings, dataset_name: str) -> str:
    """The preset and strategy nearest to `settings` on this dataset, and the differences."""
    name, laid_over, deviating = nearest_preset(settings, dataset_name)
    words = f"preset {name}" + (f", strategy {laid_over}" if laid_over != USUAL_STRATEGY else "")
    changes = ", ".join(f"{key}={value}" for key, value in deviating.items())
    return words + (f", with {_text(changes)}" if changes else "")


def nearest_preset(settings: Settings, dataset_name: str) -> tuple[str, str, dict[str, Any]]:
    """The preset and the strategy applied to it that differ least from `settings`, and the differences.

    In a tie the first; a strategy other than dfer-clip counts as one difference.
    """
    chosen = settings.model_dump(exclude=NOT_DEFINING)
    differences = {}
    for name, laid_over in itertools.product(PRESETS, STRATEGIES):
        base = preset(name, dataset_name).model_dump() | dict(strategy(laid_over))
        differences[name, laid_over] = {key: chosen[key] for key in chosen if chosen[key] != base[key]}
    nearest = min(differences, key=lambda pair: len(differences[pair]) + (pair[1] != USUAL_STRATEGY))
    return (*nearest, differences[nearest])


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _text(value: object) -> str:
    """Text on one line of a Markdown table, with markup escaped."""
    line = " ".join(str(value).split())
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!$" else char for char in line)
