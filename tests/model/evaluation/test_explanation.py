"""Explanations against cosines and attention computed separately, on a run with a trained image tower."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from dfer_model.data.dataset import ClipDataset
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.evaluation.evaluate import predict_logits
from dfer_model.evaluation.explanation import REFERENCE, Evidence, Explainer, Explanation, text_clip
from dfer_model.evaluation.trained_model import load_trained
from dfer_model.models.clip import load_clip
from dfer_model.reports.explanation_figure import explanation_figure
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from .. import tiny
from .test_classify import CPU

DESCRIPTORS = {
    "happiness": ["a smiling mouth", "raised cheeks"],
    "sadness": ["tears"],
    "fear": ["parted lips"],
}
SECONDS = (0.5, 1.0, 1.5, 2.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="module")
def trained(clips: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Run:
    spec = tiny.spec(clips, epochs=1, lr_image=1e-2)
    return train_run(spec, clips, tmp_path_factory.mktemp("runs"), device="cpu")


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    return Run.open(shutil.copytree(trained.folder, tmp_path / trained.id))


def frames_of(clips: PackedClips, index: int) -> Tensor:
    frames: Tensor = ClipDataset(clips, [index], frames=4, image_size=32)[0]["frames"]
    return frames


def unit_features(run: Run, frames: Tensor) -> Tensor:
    """(T, width), by the image tower alone, normalised here as CLIP says."""
    model: Any = load_trained(run, CPU)
    mean, std = (torch.tensor(run.config["clip"][key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        return F.normalize(model.model.image_tower((frames / 255 - mean) / std), dim=-1)


def word_features() -> Tensor:
    """(descriptors, width), by open_clip's own encode_text of the CLIP that the run began from."""
    clip = load_clip(tiny.register(), "random")
    texts = [text for each in DESCRIPTORS.values() for text in each]
    with torch.no_grad():
        return F.normalize(clip.model.encode_text(clip.tokenizer(texts)), dim=-1)


def test_evidence_is_relative_to_the_training_folds(run: Run, clips: PackedClips) -> None:
    index = int(clips.test_indices(1)[0])
    explained = Explainer(run, DESCRIPTORS, clips, device="cpu")(frames_of(clips, index), SECONDS)
    others = torch.cat([unit_features(run, frames_of(clips, int(at))) for at in clips.train_indices(1)])
    cosines = word_features() @ unit_features(run, frames_of(clips, index)).T
    expected = cosines - (word_features() @ others.T).mean(dim=1, keepdim=True)
    assert explained.evidence.rise == pytest.approx(expected.numpy(), abs=2e-5)
    assert explained.reference == "the frames of 6 clips of the training folds on average"
    assert explained.seconds == SECONDS
    logits = predict_logits(load_trained(run, CPU), clips, np.array([index]), run.settings, CPU)
    expected = torch.from_numpy(logits[0]).softmax(dim=0)
    assert list(explained.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_many_training_clips_are_sampled_evenly(
    run: Run, clips: PackedClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfer_model.evaluation.explanation.REFERENCE_CLIPS", 3)
    frames = frames_of(clips, int(clips.test_indices(1)[0]))
    explained = Explainer(run, DESCRIPTORS, clips, device="cpu")(frames, SECONDS)
    assert explained.reference == "the frames of 3 clips of the training folds on average"
    taken = clips.train_indices(1)[[0, 2, 5]]  # of 6: 0, 2.5 and 5, halves to the even one
    others = torch.cat([unit_features(run, frames_of(clips, int(at))) for at in taken])
    cosines = word_features() @ unit_features(run, frames).T
    expected = cosines - (word_features() @ others.T).mean(dim=1, keepdim=True)
    assert explained.evidence.rise == pytest.approx(expected.numpy(), abs=2e-5)


def test_the_reference_is_stored_and_used_without_the_clips(run: Run, clips: PackedClips) -> None:
    frames = frames_of(clips, 0)
    first = Explainer(run, DESCRIPTORS, clips, device="cpu")(frames, SECONDS)
    again = Explainer(run, DESCRIPTORS, None, device="cpu")(frames, SECONDS)
    assert again == replace(first, evidence=again.evidence)
    assert again.evidence.rise.tolist() == first.evidence.rise.tolist()
    (run.folder / REFERENCE).write_bytes(b"spoiled")
    with pytest.raises(InputError, match="is damaged"):
        Explainer(run, DESCRIPTORS, None, device="cpu")


def test_without_a_reference_evidence_is_relative_to_the_mean(run: Run, clips: PackedClips) -> None:
    explained = Explainer(run, DESCRIPTORS, None, device="cpu")(frames_of(clips, 0), SECONDS)
    assert explained.evidence.rise.sum(axis=1) == pytest.approx(0, abs=1e-5)
    assert explained.reference == "the frames of this video on average"
    assert not (run.folder / REFERENCE).exists()


def test_attention_is_that_of_torch_with_the_same_weights(run: Run, clips: PackedClips) -> None:
    frames = frames_of(clips, 0)
    explained = Explainer(run, DESCRIPTORS, None, device="cpu")(frames, SECONDS)
    model: Any = load_trained(run, CPU)
    temporal = model.model.temporal
    layer = temporal.layers[0]
    mean, std = (torch.tensor(run.config["clip"][key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        features = model.model.image_tower((frames / 255 - mean) / std)
        tokens = layer.attention_norm(torch.cat([temporal.class_token[None], features]) + temporal.positions)
        q, k, _ = (tokens @ part.T for part in layer.attention.qkv.weight.chunk(3))
        # torch's own attention of 8 heads, told to leave the queries and keys, 512 wide, as they are.
        torchs = torch.nn.MultiheadAttention(512, 8, bias=False, batch_first=True)
        torchs.in_proj_weight.copy_(torch.eye(512).repeat(3, 1))
        _, shares = torchs(q[None], k[None], k[None], need_weights=True, average_attn_weights=True)
    assert explained.attention is not None
    assert explained.attention_on_itself is not None
    assert [explained.attention_on_itself, *explained.attention] == pytest.approx(
        shares[0, 0].tolist(), abs=1e-5
    )
    assert explained.attention_on_itself + sum(explained.attention) == pytest.approx(1)


def test_another_number_of_frames_is_refused(run: Run, clips: PackedClips) -> None:
    explainer = Explainer(run, DESCRIPTORS, None, device="cpu")
    with pytest.raises(InputError, match="takes 4 frames; 3 are given"):
        explainer(frames_of(clips, 0)[:3], SECONDS[:3])


def test_frames_of_several_samples_are_in_order_of_time(run: Run, clips: PackedClips) -> None:
    samples = frames_of(clips, 0), frames_of(clips, 5)
    first, second = (Explainer(run, DESCRIPTORS, clips, device="cpu")(each, SECONDS) for each in samples)
    several = Run(
        run.folder, run.config | {"settings": run.config["settings"] | {"test_segments": 2}}, run.texts
    )
    between = tuple(second - 0.2 for second in SECONDS)
    both = Explainer(several, DESCRIPTORS, clips, device="cpu")([*samples[0], *samples[1]], SECONDS + between)
    assert both.order == (4, 0, 5, 1, 6, 2, 7, 3)
    assert both.seconds == pytest.approx((0.3, 0.5, 0.8, 1.0, 1.3, 1.5, 1.8, 2.0))
    for explained, column in ((first, 1), (second, 0)):
        assert both.evidence.rise[:, column::2] == pytest.approx(explained.evidence.rise, abs=1e-5)
        assert explained.attention is not None
        assert both.attention is not None
        assert both.attention[column::2] == pytest.approx(
            [each / 2 for each in explained.attention], abs=1e-5
        )
    shares = [first.probabilities, second.probabilities]
    means = np.sqrt([each["happiness"] * other["happiness"] for each, other in [shares]])
    expected = means / sum(np.sqrt(shares[0][name] * shares[1][name]) for name in shares[0])
    assert both.probabilities["happiness"] == pytest.approx(expected[0], abs=1e-5)  # the mean of logits


def test_an_unavailable_text_tower_is_an_error(run: Run, tmp_path: Path) -> None:
    def with_settings(**changed: object) -> Run:
        return Run(run.folder, run.config | {"settings": run.config["settings"] | changed}, run.texts)

    with pytest.raises(InputError, match=r"no weight file(.|\n)*stores no text tower(.|\n)*--weights FILE"):
        text_clip(with_settings(weights=str(tmp_path / "gone.pt")))
    with pytest.raises(InputError, match="has no text tower"):
        text_clip(with_settings(classifier="r3d-18", weights="KINETICS400_V1"))
    imported = Run(run.folder, run.config | {"imported": {"file": "model.pth"}}, run.texts)
    with pytest.raises(InputError, match="was imported"):
        text_clip(imported)
    other = Run(run.folder, run.config | {"clip": run.config["clip"] | {"sha256": "00"}}, run.texts)
    with pytest.raises(InputError, match=r"not the weights(.|\n)*--weights FILE"):
        text_clip(other)
    assert text_clip(with_settings(weights=str(tmp_path / "gone.pt")), "random").name == tiny.NAME


def test_a_run_without_a_temporal_model_has_no_attention(clips: PackedClips, tmp_path: Path) -> None:
    run = train_run(tiny.spec(clips, epochs=0, temporal_depth=0), clips, tmp_path, device="cpu")
    explained = Explainer(run, DESCRIPTORS, None, device="cpu")(frames_of(clips, 0), SECONDS)
    assert explained.attention is None
    assert explained.as_dict()["attention"] is None


@pytest.mark.parametrize("suffix", ["png", "svg"])
@pytest.mark.parametrize("known", [True, False])
def test_the_figure_shows_the_most_probable_classes(tmp_path: Path, suffix: str, known: bool) -> None:
    names = [f"class {number} $x" for number in range(14)]
    explained = Explanation(
        probabilities={name: (number + 1) / 105 for number, name in enumerate(names)},
        evidence=Evidence(
            tuple((name, f"of {name} <b>") for name in names), np.linspace(-1, 1, 42).reshape(14, 3)
        ),
        seconds=(0.1, 0.2, 0.3) if known else (None, None, None),
        order=(0, 1, 2),
        attention=(0.2, 0.3, 0.1) if known else None,
        attention_on_itself=0.4 if known else None,
        reference="the frames of a test",
    )
    path = tmp_path / f"why.{suffix}"
    explanation_figure(path, explained, torch.zeros(3, 3, 8, 8, dtype=torch.uint8), "a title & more")
    content = path.read_bytes()
    assert len(content) > 5000
    if suffix == "svg":
        assert b"of class 13 $x &lt;b&gt;" in content
        assert b"of class 1 $x" not in content
        assert b"2 less probable classes are not shown" in content
        assert (b"attention (%)" in content) == known
