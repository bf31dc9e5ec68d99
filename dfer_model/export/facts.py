"""What a model file says of itself, so that it can be used without the run's folder or this package.

The same words stand in the metadata of both formats, each a text; lists and mappings are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

from dfer_model.feeding.batches import pixel_scale
from dfer_model.inference.calibration import checked_temperature, read_calibration

from ..errors import InputError
from ..run_config import checked_texts, images_in
from ..runs import ClassTexts, Run

FORMAT = "dfer-prompts model 1"
INPUT = "frames: uint8 RGB in 0..255, (clips, T, 3, image_size, image_size), T frames in order"
SAMPLING = (
    "of n > T frames, frame int(t/2 + t*i) for i = 0..T-1 where t = n/T; of fewer all, the last one repeated"
)
RESIZING = "bilinear, antialiased, to image_size x image_size without regard to the aspect ratio"


def portable(run: Run) -> Run:
    """The run as others may see it: nothing in its config says where files lie on this machine."""
    config = deepcopy(run.config)
    config["dataset"]["path"] = ""
    settings = config["settings"]
    settings["weights"] = PureWindowsPath(settings["weights"]).name  # which knows both kinds of slashes
    return replace(run, config=config)


def facts(run: Run) -> dict[str, str]:
    """The metadata of the run's model, with the temperature of `calibrate`.

    Raises InputError where its config does not say what it takes, and for a damaged calibration.
    """
    shown = portable(run)
    images = images_of(run)
    scale = pixel_scale(run.settings.normalize, tuple(images["mean"]), tuple(images["std"]))
    calibrated = read_calibration(run)
    texts = dict(zip(run.class_names, run.texts.texts, strict=True))
    said: dict[str, Any] = {
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
    return {key: each if isinstance(each, str) else _json(each) for key, each in said.items()}


def images_of(run: Run) -> dict[str, Any]:
    """What config.yaml says of the images that the model takes. Raises InputError where it does not."""
    images_in(run.config, run.folder / "config.yaml")
    images: dict[str, Any] = run.config["clip"]
    return images


def described_run(said: Mapping[str, str], path: Path) -> Run:
    """The run that the metadata of the model file at `path` describes; its folder is the file.

    Its config has the `temperature` of its probabilities, 1 in files that know of none.

    Raises InputError for metadata that `facts` did not write.
    """
    if said.get("made_by") != FORMAT:
        raise InputError(
            f"{path} does not say what model it is\n"
            "Make such a file: dfer-prompts export RUN --format safetensors"
        )
    try:
        name, sha256 = said["descriptions"], said["descriptions_sha256"]
        told = {"name": name, "sha256": sha256, "texts": json.loads(said["texts"])}
        class_names, by_class = checked_texts(json.loads(said["class_names"]), told, path)
        known = ClassTexts(name, sha256, class_names, tuple(by_class.values()))
        config = {
            "settings": json.loads(said["settings"]),
            "clip": json.loads(said["clip"]),
            "temperature": checked_temperature(said.get("temperature", 1)),
        }
    except InputError as error:
        raise InputError(str(error).replace(f"{path}/", f"{path}: ")) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: what it says of its model does not hold {error}") from error
    return Run(path, config, known)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
