"""The state of a training and the weights of a model on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dfer_model.checkpoints import Best, Progress, load_state, load_weights, save_state, save_weights
from dfer_model.errors import InputError, WorkError
from dfer_model.models.clip import Clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.training.setup import make_optimizer

from . import tiny


def parts(
    clip: Clip, seed: int, steps: int
) -> tuple[DferClip, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    settings = tiny.settings(milestones=(1,))
    torch.manual_seed(seed)
    model = DferClip(clip, tiny.TEXTS.texts, settings)
    optimizer, scheduler = make_optimizer(model, settings)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(2, 4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
        scheduler.step()
    return model, optimizer, scheduler


def test_a_saved_state_is_restored(tiny_clip: Clip, tmp_path: Path) -> None:
    model, optimizer, scheduler = parts(tiny_clip, seed=1, steps=2)
    best = Best(1, 62.5, torch.randn(4, 3))
    save_state(tmp_path / "c.pt", Progress(2, best), model, {"optimizer": optimizer, "scheduler": scheduler})
    other, other_optimizer, other_scheduler = parts(tiny_clip, seed=2, steps=0)
    others = {"optimizer": other_optimizer, "scheduler": other_scheduler}
    progress = load_state(tmp_path / "c.pt", other, others)
    assert progress.epoch == 2
    assert progress.best is not None
    assert (progress.best.epoch, progress.best.war) == (1, 62.5)
    assert torch.equal(progress.best.logits, best.logits)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert other_scheduler.state_dict() == scheduler.state_dict()
    momentum, again = (
        [each["momentum_buffer"] for each in o.state_dict()["state"].values()]
        for o in (optimizer, other_optimizer)
    )
    assert len(momentum) > 10
    assert all(map(torch.equal, momentum, again))
    assert [g["lr"] for g in other_optimizer.param_groups] == [g["lr"] for g in optimizer.param_groups]


def test_without_a_state_training_starts_at_epoch_0(tiny_clip: Clip, tmp_path: Path) -> None:
    assert load_state(tmp_path / "none.pt", parts(tiny_clip, 1, 0)[0], {}) == Progress(0, None)


def test_state_without_frozen_parts_and_of_another_model(tiny_clip: Clip, tmp_path: Path) -> None:
    model, optimizer, scheduler = parts(tiny_clip, seed=1, steps=1)
    save_state(tmp_path / "c.pt", Progress(1), model, {"optimizer": optimizer, "scheduler": scheduler})
    weights = torch.load(tmp_path / "c.pt", weights_only=True)["model"]
    assert not any(name.startswith("text_tower") for name in weights)
    settings = tiny.settings(temporal_depth=0)
    other = DferClip(tiny_clip, tiny.TEXTS.texts, settings)
    with pytest.raises(WorkError, match="another model"):
        load_state(tmp_path / "c.pt", other, {})


def test_nothing_unpickles(tiny_clip: Clip, tmp_path: Path) -> None:
    # A pickle that would run a command: it is refused, and the command is not run.
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").touch, ())  # type: ignore[return-value]

    torch.save({"epoch": Evil()}, tmp_path / "c.pt")
    with pytest.raises(WorkError, match=r"c\.pt cannot be used"):
        load_state(tmp_path / "c.pt", parts(tiny_clip, 1, 0)[0], {})
    assert not (tmp_path / "ran").exists()


def test_weights_leave_out_the_text_tower_and_come_back(tiny_clip: Clip, tmp_path: Path) -> None:
    model, *_ = parts(tiny_clip, seed=1, steps=1)
    with torch.no_grad():
        class_weights = model.class_weights()
    save_weights(tmp_path / "m.safetensors", model, class_weights)
    assert not any(name.startswith("text_tower") for name in load_file(tmp_path / "m.safetensors"))
    other, *_ = parts(tiny_clip, seed=2, steps=0)
    assert torch.equal(load_weights(tmp_path / "m.safetensors", other), class_weights)
    frames = torch.randn(2, 4, 3, 32, 32)
    assert torch.equal(other.eval()(frames), model.eval()(frames))


def test_weights_that_do_not_fit(tiny_clip: Clip, tmp_path: Path) -> None:
    model, *_ = parts(tiny_clip, 1, 0)
    path = tmp_path / "m.safetensors"
    with pytest.raises(InputError, match=r"m\.safetensors is missing"):
        load_weights(path, model)
    for content in (b"", b"damaged" * 10):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"m\.safetensors is damaged"):
            load_weights(path, model)
    other = DferClip(tiny_clip, tiny.TEXTS.texts, tiny.settings(temporal_depth=2))
    save_weights(path, other, torch.zeros(3, 48))
    with pytest.raises(InputError, match="does not fit"):
        load_weights(path, model)
