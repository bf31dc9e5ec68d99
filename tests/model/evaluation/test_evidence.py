"""Evidence against cosines computed with open_clip's own encode_text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from dfer_model.evaluation.explanation import descriptor_evidence
from dfer_model.models.clip import Clip

DESCRIPTORS = {"happiness": ["a smiling mouth", "raised cheeks"], "sadness": ["tears"]}


def test_rise_is_the_cosine_above_that_of_other_frames(tiny_clip: Clip) -> None:
    generator = torch.Generator().manual_seed(0)
    frames, reference = (F.normalize(torch.randn(n, 48, generator=generator), dim=-1) for n in (4, 9))
    evidence = descriptor_evidence(frames, reference, DESCRIPTORS, tiny_clip)
    with torch.no_grad():
        words = tiny_clip.model.encode_text(
            tiny_clip.tokenizer(["a smiling mouth", "raised cheeks", "tears"])
        )
    words = F.normalize(words, dim=-1)
    expected = words @ frames.T - (words @ reference.T).mean(dim=1, keepdim=True)
    assert evidence.descriptors == (
        ("happiness", "a smiling mouth"),
        ("happiness", "raised cheeks"),
        ("sadness", "tears"),
    )
    assert evidence.rise == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_frame_that_is_a_descriptor_is_its_strongest_evidence(tiny_clip: Clip) -> None:
    with torch.no_grad():
        tears = F.normalize(tiny_clip.model.encode_text(tiny_clip.tokenizer(["tears"])), dim=-1)
    others = F.normalize(torch.randn(3, 48, generator=torch.Generator().manual_seed(1)), dim=-1)
    frames = torch.cat([others[:2], tears, others[2:]])
    evidence = descriptor_evidence(frames, others, DESCRIPTORS, tiny_clip)
    ((class_name, descriptor, frame, rise),) = evidence.strongest(1)
    assert (class_name, descriptor, frame) == ("sadness", "tears", 2)
    assert rise == pytest.approx(float(evidence.rise.max()))
    assert evidence.best_frames("sadness", 1) == [2]


def test_best_frames_follow_the_mean_of_the_class(tiny_clip: Clip) -> None:
    frames = F.normalize(torch.randn(6, 48, generator=torch.Generator().manual_seed(2)), dim=-1)
    evidence = descriptor_evidence(frames, frames, DESCRIPTORS, tiny_clip)
    mean = (evidence.rise[0] + evidence.rise[1]) / 2
    assert evidence.best_frames("happiness", 2) == sorted(np.argsort(-mean)[:2].tolist())
