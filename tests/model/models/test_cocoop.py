"""CoCoOp: contexts conditioned on the clip, against DFER-CLIP with the same contexts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import dfer_model.models.cocoop
from dfer_model.config import ModelSettings
from dfer_model.models.clip import Clip
from dfer_model.models.cocoop import CoCoOp
from dfer_model.models.dfer_clip import DferClip

TEXTS = [["a smiling mouth.", "raised cheeks."], ["tears."], ["furrowed eyebrows."]]
FRAMES = torch.randn(5, 4, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def made(clip: Clip, **changes: object) -> CoCoOp:
    chosen = {"classifier": "cocoop", "frames": 4, "contexts": 3, "context_kind": "unified", **changes}
    torch.manual_seed(0)
    return CoCoOp(clip, TEXTS, ModelSettings.model_validate(chosen))


def without_meta_net(model: CoCoOp, clip: Clip, **changes: object) -> DferClip:
    chosen = {"frames": 4, "contexts": 3, "context_kind": "unified", **changes}
    plain = DferClip(clip, TEXTS, ModelSettings.model_validate(chosen))
    plain.load_state_dict(
        {name: each for name, each in model.state_dict().items() if not name.startswith("meta_net")}
    )
    return plain


@pytest.mark.parametrize("depth", [0, 1])
def test_with_a_zeroed_meta_net_it_is_coop(tiny_clip: Clip, depth: int) -> None:
    model = made(tiny_clip, temporal_depth=depth)
    with torch.no_grad():
        for parameter in model.meta_net.parameters():
            parameter.zero_()
        expected = without_meta_net(model, tiny_clip, temporal_depth=depth)(FRAMES)
        torch.testing.assert_close(model(FRAMES), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("ensemble", ["mean-embedding", "mean-similarity", "max"])
@pytest.mark.parametrize("kind", ["unified", "class-specific"])
def test_every_clip_shifts_all_contexts_by_one_vector(tiny_clip: Clip, kind: str, ensemble: str) -> None:
    model = made(tiny_clip, context_kind=kind, ensemble=ensemble, temporal_depth=0)
    plain = without_meta_net(model, tiny_clip, context_kind=kind, ensemble=ensemble, temporal_depth=0)
    first, _, second = model.meta_net
    assert (first.weight.shape, second.weight.shape) == ((3, 48), (64, 3))  # 48 / 16 between
    with torch.no_grad():
        got = model(FRAMES)
        contexts = plain.prompt_learner.contexts.clone()
        for number, of_clip in enumerate(FRAMES):
            video = tiny_clip.model.encode_image(of_clip).mean(0)
            hidden = (first.weight @ (video / video.norm()) + first.bias).clamp(min=0)
            plain.prompt_learner.contexts.copy_(contexts + second.weight @ hidden + second.bias)
            expected = plain(of_clip[None])[0]
            torch.testing.assert_close(got[number], expected, rtol=1e-4, atol=2e-3)
    assert (got - plain(FRAMES)).abs().max() > 0.1  # the contexts of another clip would show


def test_parts_of_a_batch_change_neither_logits_nor_gradients(
    tiny_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for at_once in (1, 8, 1000):  # 4 prompts a clip: clip by clip, two by two, all
        monkeypatch.setattr(dfer_model.models.cocoop, "PROMPTS_AT_ONCE", at_once)
        model = made(tiny_clip, learned_temperature=True)
        logits = model(FRAMES)
        F.cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1])).backward()
        trained = [each for part in model.trained_parameters().values() for each in part]
        found.append([logits.detach(), *(each.grad for each in trained)])
    assert all(each.abs().sum() > 0 for each in found[0])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-3, atol=1e-3)


def test_the_text_tower_is_frozen_and_kept(tiny_clip: Clip) -> None:
    model = made(tiny_clip, lr_image=0.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parts = model.trained_parameters()
    assert {name for name, part in parts.items() if part} == {"temporal", "context"}
    F.cross_entropy(model(FRAMES), torch.tensor([0, 1, 2, 0, 1])).backward()
    torch.optim.SGD([each for part in parts.values() for each in part], lr=0.1).step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in changed} == {"temporal", "prompt_learner", "meta_net"}
    assert model.left_out == ()
    assert model.class_weights().numel() == 0
