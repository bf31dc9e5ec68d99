"""Losses that are read late, and batches that are sent ahead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dfer_model.data import prefetch as ahead
from dfer_model.data.packed import PackedClips
from dfer_model.data.prefetch import Loss, on_device, read_late
from dfer_model.training.loop import Training

from .. import tiny

CPU = torch.device("cpu")


def steps(given: list[int], number: int = 5) -> Iterator[tuple[Tensor, Tensor]]:
    for step in range(number):
        given.append(step)
        yield torch.tensor(step / 2), torch.tensor([step, step + 10])


def test_on_a_cpu_a_loss_is_read_at_once() -> None:
    given: list[int] = []
    for loss in read_late(steps(given), CPU):
        assert loss == Loss(len(given), (len(given) - 1) / 2, [len(given) - 1, len(given) + 9])
    assert len(given) == 5


def test_on_a_gpu_losses_are_read_late_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "STEPS_BEHIND", 2)
    given: list[int] = []
    seen = [(loss, len(given)) for loss in read_late(steps(given), torch.device("cuda"))]
    assert [loss for loss, _ in seen] == [Loss(n + 1, n / 2, [n, n + 10]) for n in range(5)]
    assert [begun for _, begun in seen] == [3, 4, 5, 5, 5]


def test_on_a_cpu_batches_come_as_they_are() -> None:
    batches = [{"frames": torch.zeros(1), "index": torch.zeros(1)} for _ in range(3)]
    assert [batch is own for batch, own in zip(on_device(batches, CPU), batches, strict=True)] == [True] * 3


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
def test_a_step_reads_nothing_from_the_device(tmp_path, changed: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    clips: PackedClips = tiny.pack(tmp_path / "packed")
    training = Training(tiny.spec(clips, precision="bf16", **changed), clips, tmp_path / "run", CPU)
    training.model.train()
    batches = list(training.batches)
    with _Reads() as reads:
        losses = [training.step(batch, 1, number) for number, batch in enumerate(batches, 1)]
    assert reads.seen == []
    with _Reads() as reads:
        losses[0].item()
    assert reads.seen == ["aten._local_scalar_dense.default"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_epoch_on_a_gpu_waits_for_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    clips: PackedClips = tiny.pack(tmp_path / "packed", per_class=16)
    training = Training(tiny.spec(clips, precision="bf16"), clips, tmp_path / "run", torch.device("cuda"))
    training.train_epoch(1, lambda *_: None)  # what is made once
    batches = [{name: value.pin_memory() for name, value in batch.items()} for batch in training.batches]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")  # by which a wait raises
    try:
        losses = [
            training.step(batch, 2, number)
            for number, batch in enumerate(on_device(batches, training.device), 1)
        ]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(losses) == len(batches) > 1
    assert torch.stack(losses).isfinite().all()
