"""Parameters and FLOPs of a model, counted, and its latency, measured.

FLOPs are those of torch's FlopCounterMode: matrix products, convolutions and attention, with 2 FLOPs per
multiply-add; norms, activations and sums are not counted.
"""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dfer_model.config import Settings
from dfer_model.devices import choose_device, device_name, inference_precision
from dfer_model.models.classifier import Classifier
from dfer_model.models.strategies import load_base
from dfer_model.runs import Run

from .cost_record import Cost, Latency
from .trained_model import TrainedModel, load_trained

WARM_UP = 3  # passes that are not measured
LEAST, MOST, SECONDS = 5, 50, 10.0  # passes that are measured, and the time after which they end
_COUNTED: dict[Any, int] = {}


def model_cost(model: Classifier, settings: Settings, image_size: int) -> Cost:
    """The cost of `model`, built with its text tower, on a test clip; `model` is not changed."""
    views = settings.test_segments * settings.test_crops
    return Cost(
        parameters=sum(value.numel() for value in model.parameters()),
        trained_parameters=_trained(model, settings),
        flops_per_clip=views * flops_of(model, settings.frames, image_size),
        frames=settings.frames,
        image_size=image_size,
        views=views,
        texts_included=settings.classifier == "cocoop",
    )


def _trained(model: Classifier, settings: Settings) -> int:
    """The number of parameters that `make_optimizer` trains."""
    if not settings.epochs:
        return 0
    parts = model.trained_parameters()
    values = [value for part, of in parts.items() if getattr(settings, f"lr_{part}") > 0 for value in of]
    return sum(
        value.numel() for value in {id(value): value for value in values if value.requires_grad}.values()
    )


def flops_of(model: Classifier, frames: int, image_size: int) -> int:
    """FLOPs of one forward pass of `model` for one clip in float32, with the class weights given."""
    values = [*model.named_parameters(), *model.named_buffers()]
    shapes = tuple((name, value.shape) for name, value in values)
    key = type(model), str(model), shapes, frames, image_size
    if key not in _COUNTED:  # once for all runs of a grid with equal shapes
        _COUNTED[key] = _count(model, frames, image_size)
    return _COUNTED[key]


def _count(model: Classifier, frames: int, image_size: int) -> int:
    """Count the operations of a pass that is computed on the model's own device."""
    device, training = next(model.parameters()).device, model.training
    pixels = torch.zeros(1, frames, 3, image_size, image_size, device=device)
    class_weights = torch.zeros(model.class_weights_shape(), device=device)
    counter = FlopCounterMode(display=False)
    model.eval()
    try:
        with _visible_operations(model), _frozen(model), torch.inference_mode(), counter:
            # Not model(...), because Accelerate's forward may compute in bfloat16.
            type(model).forward(model, pixels, class_weights)
    finally:
        model.train(training)
    return int(counter.get_total_flops())


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """With no parameter that requires a gradient.

    The counter fails without a graph if a module's input is such a parameter, as in attention pooling.
    """
    trained = [value for value in model.parameters() if value.requires_grad]
    for value in trained:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in trained:
            value.requires_grad_(True)


@contextmanager
def _visible_operations(model: nn.Module) -> Iterator[None]:
    """Without fused attention layers and LSTMs, whose FLOPs the counter does not see."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        if any(isinstance(each, nn.RNNBase) for each in model.modules()):
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", UserWarning)  # of torch about TF32 settings that `flags` saves
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


def run_cost(run: Run) -> Cost:
    """The cost of a run's model, built anew from its config; no weights are needed.

    Raises InputError if the model cannot be built.
    """
    settings = run.settings.model_copy(update={"weights": "random", "gradient_checkpointing": False})
    base = load_base(settings)
    return model_cost(base.build(run.texts.texts, run.class_names), run.settings, base.image_size)


def run_latency(run: Run, device: str | None = None) -> Latency:
    """The latency of a finished run's model on `device`. Raises InputError if it cannot be loaded."""
    where = choose_device(device, tf32=run.settings.tf32)
    return measure_latency(load_trained(run, where), run.settings, where)


def measure_latency(model: TrainedModel, settings: Settings, device: torch.device) -> Latency:
    """The median time of a forward pass of `model` on `device` for one clip with all its views.

    5 to 50 passes are measured, until they have taken 10 seconds.
    """
    views, size = settings.test_segments * settings.test_crops, model.image_size
    frames = torch.randint(0, 256, (views, settings.frames, 3, size, size), dtype=torch.uint8, device=device)
    with torch.inference_mode(), inference_precision(settings.precision, device):
        for _ in range(WARM_UP):
            _seconds(model, frames)
        measured: list[float] = []
        while len(measured) < LEAST or (len(measured) < MOST and sum(measured) < SECONDS):
            measured.append(_seconds(model, frames))
    return Latency(
        median_ms=round(1000 * median(measured), 3),
        passes=len(measured),
        device=device_name(device) if device.type == "cuda" else processor_name(),
        threads=torch.get_num_threads(),
        precision=settings.precision,
    )


def _seconds(model: TrainedModel, frames: Tensor) -> float:
    started = time.perf_counter()
    model(frames)
    if frames.is_cuda:
        torch.cuda.synchronize(frames.device)
    return time.perf_counter() - started


def processor_name() -> str:
    """The name of this machine's processor."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8", errors="replace").splitlines() if known.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine() or "CPU")
