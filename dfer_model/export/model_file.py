"""One safetensors file that is all of a model: weights, class names, settings, preprocessing."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from dfer_model.inference.trained_model import load_trained

from ..digests import check_tensors, write_tensors
from ..errors import InputError
from ..file_kinds import refuse_other_kinds
from ..runs import Run
from .facts import described_run, facts

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

    Raises InputError for a file that is missing, damaged or says nothing of its model.
    """
    refuse_other_kinds(path)
    try:
        with safe_open(path, framework="pt") as stream:
            said = stream.metadata() or {}
        check_tensors(path)
    except FileNotFoundError as error:
        raise InputError(f"no model file {path}") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no safetensors file: {error}") from error
    return described_run(said, path)
