"""Export of a finished run as an ONNX graph with uint8 frames as input, verified against PyTorch."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dfer_model.evaluation.trained_model import TrainedModel, load_trained

from ..errors import InputError, WorkError
from ..runs import Run
from .model_file import facts

NEEDED = ("onnx", "onnxruntime", "onnxscript")
TOLERANCE = 1e-4  # absolute for logits up to 1, relative above
BATCHES = (1, 3)  # clips in the checks; the traced example has 2
CLASSES_OUT = ("logits", "probabilities")


class _LogitsAndProbabilities(nn.Module):
    """uint8 frames (clips, T, 3, S, S) -> logits and the run's probabilities, both (clips, classes)."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(frames)
        return logits, self.model.probabilities(logits)


def export_onnx(run: Run, path: Path) -> float:
    """Write the run's model to `path` and return the largest difference of its logits from PyTorch's.

    The graph includes class weights and pixel scaling; the number of clips is dynamic. Weights above ONNX's
    limit of 2 GB are stored beside `path`, with the suffix `.data`. Arithmetic is float32. Raises InputError
    for an unfinished or damaged run and if the extra `onnx` is not installed, and WorkError, leaving no file,
    for a model that cannot be exported or whose graph gives other logits.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(
            f"ONNX export needs {', '.join(missing)}, which is not installed\n"
            "Install: pip install 'dfer-prompts[onnx]'"
        )
    model = load_trained(run, torch.device("cpu"))
    shape = (run.settings.frames, 3, model.image_size, model.image_size)
    program = _graph(model, shape, run)
    program.model.metadata_props.update(facts(run))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            program.save(temporary)
            difference = _checked(temporary, model, shape)
            for each in sorted(
                Path(folder).iterdir(), reverse=True
            ):  # weights before the graph that refers to them
                shutil.move(each, path.parent / each.name)
    except OSError as error:
        error.filename = str(path)  # not the temporary folder, which no longer exists
        raise
    return difference


def _graph(model: TrainedModel, shape: tuple[int, ...], run: Run) -> Any:
    """torch's ONNXProgram of the model, first dimension dynamic. Raises WorkError if it cannot be made."""
    example = _frames(2, shape)
    try:
        with _quietly(), torch.no_grad():
            return torch.onnx.export(
                _LogitsAndProbabilities(model).eval(),
                (example,),
                dynamo=True,
                input_names=["frames"],
                output_names=list(CLASSES_OUT),
                dynamic_shapes={"frames": {0: torch.export.Dim("clips", min=1)}},
                verbose=False,
            )
    except Exception as error:  # tracing runs the model, which may raise anything
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
        raise WorkError(
            f"{run.id} cannot be exported as an ONNX graph: {reason}\n"
            "Export it as safetensors: --format safetensors"
        ) from error


def _checked(path: Path, model: TrainedModel, shape: tuple[int, ...]) -> float:
    """The largest difference of logits over the checks. Raises WorkError for one beyond the tolerance."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    largest = 0.0
    for clips in BATCHES:
        frames = _frames(clips, shape)
        with torch.inference_mode():
            expected = model(frames).numpy()
        try:
            found: npt.NDArray[np.float32] = session.run(["logits"], {"frames": frames.numpy()})[0]
        except Exception as error:  # of onnxruntime's compiled module
            raise WorkError(f"the ONNX graph fails for {clips} clips: {error}") from error
        difference = np.abs(found - expected)
        if not (difference <= TOLERANCE * np.maximum(1, np.abs(expected))).all():
            raise WorkError(
                f"the logits of the ONNX graph differ from PyTorch's by up to {difference.max():.2g}\n"
                "Nothing was written; export it as safetensors: --format safetensors"
            )
        largest = max(largest, float(difference.max()))
    return largest


def _frames(clips: int, shape: tuple[int, ...]) -> Tensor:
    """Random frames with a fixed seed."""
    generator = torch.Generator().manual_seed(clips)
    return torch.randint(0, 256, (clips, *shape), dtype=torch.uint8, generator=generator)


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress log messages and warnings of the exporter."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
