"""A complete model in one safetensors file: weights, class names, settings, preprocessing.

The metadata describe the model, so that it can be used without the run's folder or this package.
`load_pretrained` loads a model from such a file or from a run's folder. `hub_card` is the run's card with the
header and usage section of HuggingFace's hub.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from dfer_model.data.loaders import pixel_scale
from dfer_model.devices import choose_device, inference_precision
from dfer_model.evaluation.calibration import checked_temperature, read_calibration
from dfer_model.evaluation.classify import Prediction, predict_video
from dfer_model.evaluation.trained_model import TrainedModel, load_model, load_trained

from ..config import Settings
from ..digests import check_tensors, write_tensors
from ..errors import InputError
from ..io import refuse_other_kinds
from ..reports.run_card import card_of
from ..run_config import checked_texts, images_in
from ..runs import ClassTexts, Run

WEIGHTS = "model.safetensors"


def export_safetensors(run: Run, path: Path) -> None:
    """Write the run's weights to `path`, with `facts` as their metadata.

    Raises InputError for a run that is not finished, or whose files are damaged or do not fit each other.
    """
    load_trained(run, torch.device("cpu"))
    tensors = load_file(run.folder / WEIGHTS)
    write_tensors(path, save(tensors, metadata={"format": "pt", **facts(run)}))


def read_model_file(path: Path) -> Run:
    """The run that the safetensors file at `path` describes; its folder is the file.

    Raises InputError for a file that is missing, damaged or without metadata of a model.
    """
    refuse_other_kinds(path)
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
        check_tensors(path)
    except FileNotFoundError as error:
        raise InputError(f"model file {path} does not exist") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a valid safetensors file: {error}") from error
    return described_run(metadata, path)


FORMAT = "dfer-prompts model 1"
INPUT = "frames: uint8 RGB in 0..255, (clips, T, 3, image_size, image_size), T frames in order"
SAMPLING = (
    "of n > T frames, frame int(t/2 + t*i) for i = 0..T-1 where t = n/T; of fewer all, the last one repeated"
)
RESIZING = "bilinear, antialiased, to image_size x image_size without regard to the aspect ratio"


def portable(run: Run) -> Run:
    """The run without local paths in its config."""
    config = deepcopy(run.config)
    config["dataset"]["path"] = ""
    for part in config["dataset"].get("parts") or ():
        part["path"] = ""
    if config["dataset"].get("class_set"):
        config["dataset"]["class_set"] = PureWindowsPath(config["dataset"]["class_set"]).name
    settings = config["settings"]
    settings["weights"] = PureWindowsPath(settings["weights"]).name  # handles both kinds of slashes
    return replace(run, config=config)


def facts(run: Run) -> dict[str, str]:
    """The metadata of the run's model, with the temperature of `calibrate`.

    Raises InputError if its config does not describe its images, and for a damaged calibration.
    """
    shown = portable(run)
    images = images_of(run)
    scale = pixel_scale(run.settings.normalize, tuple(images["mean"]), tuple(images["std"]))
    calibrated = read_calibration(run)
    texts = dict(zip(run.class_names, run.texts.texts, strict=True))
    described: dict[str, Any] = {
        "made_by": FORMAT,
        "run": run.id,
        "class_names": run.class_names,
        "input": INPUT,
        "frames": run.settings.frames,
        "image_size": images["image_size"],
        "sampling": SAMPLING,
        "resizing": RESIZING,
        "scaling": "inside the model: (frames / 255 - mean) / std",
        "mean": scale.mean,
        "std": scale.std,
        "temperature": calibrated.temperature if calibrated else 1.0,
        "probabilities": "softmax(logits / temperature), which is 1 where nothing was calibrated",
        "descriptions": run.texts.name,
        "descriptions_sha256": run.texts.sha256,
        "texts": texts,
        "settings": shown.config["settings"],
        "clip": images,
    }
    return {key: each if isinstance(each, str) else _json(each) for key, each in described.items()}


def images_of(run: Run) -> dict[str, Any]:
    """The images of the model by config.yaml. Raises InputError if they are not described."""
    images_in(run.config, run.folder / "config.yaml")
    images: dict[str, Any] = run.config["clip"]
    return images


def described_run(metadata: Mapping[str, str], path: Path) -> Run:
    """The run that the metadata of the model file at `path` describes; its folder is the file.

    Its config has the `temperature` of its probabilities, 1 in files without one.

    Raises InputError for metadata that `facts` did not write.
    """
    if metadata.get("made_by") != FORMAT:
        raise InputError(
            f"{path} has no metadata of a model\n"
            "Export a file with: dfer-prompts export RUN --format safetensors"
        )
    try:
        name, sha256 = metadata["descriptions"], metadata["descriptions_sha256"]
        described = {"name": name, "sha256": sha256, "texts": json.loads(metadata["texts"])}
        class_names, by_class = checked_texts(json.loads(metadata["class_names"]), described, path)
        known = ClassTexts(name, sha256, class_names, tuple(by_class.values()))
        config = {
            "settings": json.loads(metadata["settings"]),
            "clip": json.loads(metadata["clip"]),
            "temperature": checked_temperature(metadata.get("temperature", 1)),
        }
    except InputError as error:
        raise InputError(str(error).replace(f"{path}/", f"{path}: ")) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: its metadata lack or have a wrong {error}") from error
    return Run(path, config, known)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class PretrainedModel:
    """A model in eval mode on its device, with its class names."""

    def __init__(self, run: Run, model: TrainedModel, device: torch.device) -> None:
        self.run = run  # what defines the model; the folder of a model file's run is the file
        self.class_names = run.class_names  # in the order of the logits
        self.descriptions = run.texts  # its class texts
        self.settings: Settings = run.settings
        self.trained_on = str((run.config.get("dataset") or {}).get("name", ""))
        self.image_size = model.image_size  # pixels, both sides
        self.temperature = model.temperature  # softmax(logits / temperature) are its probabilities
        self.model, self.device = model, device

    def predict(self, video: Path | str) -> Prediction:
        """The prediction for a video file, with frames sampled as in a test.

        Raises InputError if the video cannot be read.
        """
        return predict_video(self.model, self.class_names, Path(video), self.settings, self.device)

    def logits(self, frames: Tensor) -> Tensor:
        """uint8 frames (clips, T, 3, image_size, image_size) -> logits (clips, classes), on the CPU."""
        with torch.inference_mode(), inference_precision(self.settings.precision, self.device):
            logits: Tensor = self.model(frames.to(self.device)).float().cpu()
        return logits


def load_pretrained(place: Path, device: str | None = None) -> PretrainedModel:
    """The model in a run's folder, in an exported safetensors file, or in a folder with such a file.

    Raises InputError if there is none, or it is unfinished, damaged or inconsistent.
    """
    if (place / "config.yaml").is_file():
        run = Run.open(place)
        where = choose_device(device, tf32=run.settings.tf32)
        return PretrainedModel(run, load_trained(run, where), where)
    if place.is_dir() and not (place / WEIGHTS).is_file():
        raise InputError(f"{place} has no model: neither a run's config.yaml nor {WEIGHTS}")
    path = place / WEIGHTS if place.is_dir() else place
    run = read_model_file(path)
    where = choose_device(device, tf32=run.settings.tf32)
    model = load_model(run, path, where)
    model.temperature = run.config["temperature"]
    return PretrainedModel(run, model, where)


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
