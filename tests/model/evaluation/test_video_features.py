"""Video features of clips, against the logits of the run, and their t-SNE map."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.numpy import load_file

from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.evaluation.video_features import drawn, perplexity, tsne, video_features
from dfer_model.reports.feature_figure import class_points
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from .. import tiny


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def trained(clips: PackedClips, folder: Path, **changed: object) -> Run:
    return train_run(tiny.spec(clips, epochs=1, **changed), clips, folder, device="cpu")


def test_features_give_the_logits_of_a_run_by_cosine(clips: PackedClips, tmp_path: Path) -> None:
    run = trained(clips, tmp_path)
    features = video_features(run, clips, clips.test_indices(1), device="cpu")
    assert np.linalg.norm(features, axis=1) == pytest.approx(np.ones(len(features)), abs=1e-5)
    weights = load_file(run.folder / "model.safetensors")["class_weights"]
    expected = run.predictions("last").logits
    np.testing.assert_allclose(features @ weights.T / 0.01, expected, atol=1e-3)


def test_features_give_the_logits_of_a_linear_head_over_all_views(clips: PackedClips, tmp_path: Path) -> None:
    run = trained(clips, tmp_path, classifier="linear", test_segments=2, test_crops=3)
    features = video_features(run, clips, clips.test_indices(1), device="cpu")
    held = load_file(run.folder / "model.safetensors")
    # The mean of the views' logits is that of their features, because the head is linear.
    logits = features @ held["head.weight"].T + held["head.bias"]
    np.testing.assert_allclose(logits, run.predictions("last").logits, atol=1e-4)


def test_a_map_keeps_groups_apart_and_is_the_same_again() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 12)
    features = (10 * labels[:, None] + rng.normal(size=(24, 5))).astype(np.float32)
    points = tsne(features, 2)
    assert points.shape == (24, 2)
    np.testing.assert_array_equal(points, tsne(features, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()
    with pytest.raises(InputError, match="at least 4 clips; there are 3"):
        tsne(features[:3], 1)


@pytest.mark.parametrize(
    ("clips", "classes", "expected"), [(4, 3, 1.0), (60, 3, 10.0), (2000, 7, 30.0), (2000, 43, 2000 / 86)]
)
def test_the_perplexity_is_at_most_half_a_class(clips: int, classes: int, expected: float) -> None:
    assert perplexity(clips, classes) == pytest.approx(expected)


def test_too_many_clips_are_drawn_once_each_and_always_the_same() -> None:
    indices = np.arange(100, 400)
    np.testing.assert_array_equal(drawn(indices, 300), indices)
    chosen = drawn(indices, 40)
    assert len(set(chosen.tolist())) == 40
    assert set(chosen.tolist()) <= set(indices.tolist())
    np.testing.assert_array_equal(chosen, drawn(indices, 40))


@pytest.mark.parametrize("classes", [7, 43])
def test_the_figure_has_a_mark_for_each_clip_and_a_name_for_each_class(classes: int) -> None:
    labels = np.arange(3 * classes) % classes
    labels[labels == 1] = 0  # no clip of class 1
    points = np.random.default_rng(1).normal(size=(len(labels), 2)).astype(np.float32)
    names = [f"class {number}" for number in range(classes)]
    svg = class_points("figure", "said", points, labels, names)
    assert svg == class_points("figure", "said", points, labels, names)
    used = [each.attrib for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("use")]
    marks = [(each["href"], each["style"]) for each in used]
    shown = classes - 1
    assert len(marks) == len(labels) + shown  # and one in the legend for each class
    assert len(set(marks)) == shown  # each class with its own shape and colour
    assert [f"({6 if number == 0 else 3})" for number in range(classes) if number != 1] == re.findall(
        r"class \d+ (\(\d+\))", svg
    )
