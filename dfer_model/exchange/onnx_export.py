"""A finished run as an ONNX graph that takes uint8 frames as they come, and is checked before it is kept."""

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
TOLERANCE = 1e-4  # of a logit of 1 or less; of a larger one, of its size
BATCHES = (1, 3)  # clips in the checks; the example that is traced has 2
CLASSES_OUT = ("logits", "probabilities")


class _Answering(nn.Module):
    """uint8 frames (clips, T, 3, S, S) -> logits and the run's probabilities, both (clips, classes)."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(frames)
        return logits, self.model.probabilities(logits)


def export_onnx(run: Run, path: Path) -> float:
    """Write the run's model to `path` and return the largest difference of its logits from PyTorch's.

    Class weights and the scaling of pixels are inside; the number of clips is free. Past ONNX's 2 GB the
    weights lie beside `path`, in its name + `.data`. Arithmetic is in float32. Raises InputError for an
    unfinished or damaged run and where the extra `onnx` is not installed, and WorkError, leaving no file, for
    a model that has no such graph or whose graph answers differently.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(
            f"an ONNX file is made with {', '.join(missing)}, not installed here\n"
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
            for each in sorted(Path(folder).iterdir(), reverse=True):  # the weights before what names them
                shutil.move(each, path.parent / each.name)
    except OSError as error:
        error.filename = str(path)  # and not the temporary folder, which is hidden and gone
        raise
    return difference


def _graph(model: TrainedModel, shape: tuple[int, ...], run: Run) -> Any:
    """torch's ONNXProgram of the model, the first dimension free. Raises WorkError where there is none."""
    example = _frames(2, shape)
    try:
        with _quietly(), torch.no_grad():
            return torch.onnx.export(
                _Answering(model).eval(),
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
            f"{run.id} cannot be made an ONNX graph: {reason}\nExport it as safetensors: --format safetensors"
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
            answered: npt.NDArray[np.float32] = session.run(["logits"], {"frames": frames.numpy()})[0]
        except Exception as error:  # onnxruntime's own, of a compiled module
            raise WorkError(f"the ONNX graph does not take {clips} clips: {error}") from error
        difference = np.abs(answered - expected)
        if not (difference <= TOLERANCE * np.maximum(1, np.abs(expected))).all():
            raise WorkError(
                f"the ONNX graph answers otherwise than PyTorch, by {difference.max():.2g} of a logit\n"
                "Nothing was written; export it as safetensors: --format safetensors"
            )
        largest = max(largest, float(difference.max()))
    return largest


def _frames(clips: int, shape: tuple[int, ...]) -> Tensor:
    """Noise, always the same."""
    generator = torch.Generator().manual_seed(clips)
    return torch.randint(0, 256, (clips, *shape), dtype=torch.uint8, generator=generator)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter says of its own inner steps."""
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
