"""Logits of several members per class, by hand on three vectors."""

from __future__ import annotations

import math

import pytest
import torch

from dfer_model.config import ModelSettings
from dfer_model.models.clip import Clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.models.prompt_learner import Members

# Two members of the first class at a right angle, one of the second; a video at 30 degrees to the first.
WEIGHTS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
VIDEO = torch.tensor([[math.cos(math.pi / 6), math.sin(math.pi / 6)]])
TEXTS = [["a smiling mouth.", "raised cheeks."], ["tears."], ["a frown.", "lowered brows.", "thin lips."]]


@pytest.mark.parametrize(
    ("ensemble", "first"),
    [
        ("mean-embedding", math.cos(math.pi / 12)),  # 15 degrees from the members' mean, at 45
        ("mean-similarity", (math.sqrt(3) / 2 + 1 / 2) / 2),
        ("max", math.sqrt(3) / 2),
    ],
)
def test_three_ways_by_hand(ensemble: str, first: float) -> None:
    members = Members((2, 1), ensemble)
    cosines = members.cosines(VIDEO @ members.weights(WEIGHTS).T)
    torch.testing.assert_close(cosines, torch.tensor([[first, -math.sqrt(3) / 2]]))


@pytest.mark.parametrize("ensemble", ["mean-embedding", "mean-similarity", "max"])
def test_a_single_member_gives_its_own_logits(ensemble: str) -> None:
    members = Members((1, 1, 1), ensemble)
    cosines = members.cosines(VIDEO @ members.weights(WEIGHTS).T)
    torch.testing.assert_close(cosines, VIDEO @ WEIGHTS.T)


@pytest.mark.parametrize("ensemble", ["mean-embedding", "mean-similarity", "max"])
def test_logits_of_members_equal_those_from_open_clip(tiny_clip: Clip, ensemble: str) -> None:
    chosen = {"frames": 3, "contexts": 0, "temporal_depth": 0, "ensemble": ensemble}
    model = DferClip(tiny_clip, TEXTS, ModelSettings.model_validate(chosen)).eval()
    frames = torch.randn(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        video = torch.stack([tiny_clip.model.encode_image(of_clip).mean(0) for of_clip in frames])
        video = video / video.norm(dim=1, keepdim=True)
        columns = []
        for texts in TEXTS:
            each = tiny_clip.model.encode_text(tiny_clip.tokenizer(texts), normalize=True)
            mean = each.mean(0) / each.mean(0).norm()
            answers = {
                "mean-embedding": video @ mean,
                "mean-similarity": (video @ each.T).mean(1),
                "max": (video @ each.T).max(1).values,
            }
            columns.append(100 * answers[ensemble])
        torch.testing.assert_close(model(frames), torch.stack(columns, 1), rtol=1e-4, atol=1e-3)
        read_once = model.class_weights()
        assert len(read_once) == (3 if ensemble == "mean-embedding" else 6)
        assert torch.equal(model(frames, read_once), model(frames))


def test_contexts_are_shared_by_members_or_their_own(tiny_clip: Clip) -> None:
    weights = {}
    for whose, sets in (("shared", 3), ("own", 6)):
        chosen = {"contexts": 2, "ensemble": "max", "member_contexts": whose}
        model = DferClip(tiny_clip, TEXTS, ModelSettings.model_validate(chosen)).eval()
        contexts = model.prompt_learner.contexts
        assert contexts.shape == (sets, 2, 64)
        with torch.no_grad():
            before = model.class_weights()
            contexts[1] += torch.randn_like(contexts[1])
            weights[whose] = ((model.class_weights() - before).abs().amax(dim=1) > 1e-4).tolist()
    assert weights["shared"] == [False, False, True, False, False, False]  # tears, the second class
    assert weights["own"] == [False, True, False, False, False, False]  # raised cheeks, the second member
