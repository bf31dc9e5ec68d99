"""Late reading of losses, and prefetch of batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dfer_model.data import prefetch
from dfer_model.data.loaders import Batches
from dfer_model.data.packed import PackedClips
from dfer_model.data.prefetch import LateLosses, Loss, prefetched
from dfer_model.training.loop import train_epoch
from dfer_model.training.setup import Training

from .. import tiny

CPU = torch.device("cpu")


def losses_read(device: torch.device, steps: int = 5) -> Iterator[tuple[Loss, int]]:
    """Each loss, and how many steps were done when it was read."""
    late = LateLosses(device)
    for step in range(1, steps + 1):
        for loss in late.push(step, torch.tensor(step / 2), torch.tensor([step, step + 10])):
            yield loss, step
    for loss in late.flush():
        yield loss, steps


def test_on_a_cpu_losses_are_read_immediately() -> None:
    assert list(losses_read(CPU)) == [(Loss(n, n / 2, [n, n + 10]), n) for n in range(1, 6)]


def test_on_a_gpu_losses_are_read_late_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "STEPS_BEHIND", 2)
    seen = list(losses_read(torch.device("cuda")))
    assert [loss for loss, _ in seen] == [Loss(n, n / 2, [n, n + 10]) for n in range(1, 6)]
    assert [begun for _, begun in seen] == [3, 4, 5, 5, 5]


def test_on_a_cpu_batches_are_unchanged() -> None:
    batches = [{"frames": torch.zeros(1), "index": torch.zeros(1)} for _ in range(3)]
    assert [batch is own for batch, own in zip(prefetched(batches, CPU), batches, strict=True)] == [True] * 3


class _Reads(TorchDispatchMode):
    """Counts what makes a host wait for a GPU: a value that is read, or whose number of values is."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):  # type: ignore[no-untyped-def]
        if function.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "masked_select", "equal"):
            self.seen.append(str(function))
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize(
    "changed",
    [{}, {"mixup": 0.4, "cutmix": 1.0, "ema": 0.9, "label_smoothing": 0.1, "learned_temperature": True}],
)
def test_a_step_reads_only_its_loss_from_the_device(tmp_path, changed: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    clips: PackedClips = tiny.pack(tmp_path / "packed")
    training: Any = Training(tiny.spec(clips, precision="bf16", **changed), clips, tmp_path / "run", CPU)
    training.batches = list(training.batches)
    read_at: list[int] = []
    with _Reads() as reads:
        train_epoch(training, 1, lambda *_: read_at.append(len(reads.seen)))
    assert reads.seen == ["aten._local_scalar_dense.default"] * len(training.batches)
    assert read_at == list(range(1, len(training.batches) + 1))


@pytest.mark.parametrize("changed", [{}, {"mixup": 0.4, "brightness_jitter": 0.3, "accumulate": 2}])
def test_frames_resized_on_the_device_train_to_the_same_bits(tmp_path, changed: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    """The path of a GPU, on a CPU: workers send decoded frames, the step crops and resizes them."""
    clips: PackedClips = tiny.pack(tmp_path / "packed")
    spec = tiny.spec(clips, lr_image=1e-3, **changed)
    losses, weights = [], []
    for later in (False, True):
        training: Any = Training(spec, clips, tmp_path / "run", CPU, resize_on_device=later)
        assert ("draw" in next(iter(training.batches))) == later
        losses.append([train_epoch(training, epoch, lambda *_: None) for epoch in (1, 2)])
        weights.append(training.model.state_dict())
    assert losses[0] == losses[1]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_job_reads_with_its_share_of_the_cores(tmp_path) -> None:  # type: ignore[no-untyped-def]
    clips: PackedClips = tiny.pack(tmp_path / "packed")
    spec = tiny.spec(clips, workers="auto")
    assert Training(spec, clips, tmp_path / "run", CPU, cores=1).workers == 1


def test_memory_is_pinned_for_a_gpu_only(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    clips: PackedClips = tiny.pack(tmp_path / "packed")
    training: Any = Training(tiny.spec(clips), clips, tmp_path / "run", CPU)
    assert not training.batches.loader.pin_memory
    assert Batches(training.dataset, 4, workers=0, pin=True).loader.pin_memory


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_epoch_on_a_gpu_has_no_synchronisation(tmp_path) -> None:  # type: ignore[no-untyped-def]
    clips: PackedClips = tiny.pack(tmp_path / "packed", per_class=16)
    spec = tiny.spec(clips, precision="bf16")
    training: Any = Training(spec, clips, tmp_path / "run", torch.device("cuda"))
    train_epoch(training, 1, lambda *_: None)  # allocates what is allocated once
    training.batches = [
        {name: value.pin_memory() for name, value in batch.items()} for batch in training.batches
    ]
    losses: list[str] = []
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")  # a synchronising call raises; waiting for an event does not
    try:
        train_epoch(training, 2, lambda *what: losses.append(what[-1]))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(losses) == len(training.batches) > 1
