"""Confusion matrices and heat maps as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfer_model.errors import InputError
from dfer_model.metrics import measures
from dfer_model.reports.run_figures import confusion_figure, heat_map_figure


@pytest.mark.parametrize("count", [2, 26])  # from 25 classes the font is smaller
def test_any_number_of_classes_is_drawn(tmp_path: Path, count: int) -> None:
    names = [f"class_{number}" for number in range(count)]
    confusion_figure(tmp_path / "confusion.png", measures(range(count), range(count), names), names, "title")
    with Image.open(tmp_path / "confusion.png") as image:
        assert image.format == "PNG"
        assert min(image.size) >= 500
    assert [path.name for path in tmp_path.iterdir()] == ["confusion.png"]


def test_rows_are_percent_of_the_true_class(tmp_path: Path) -> None:
    # Equal recalls with ten times the clips give the same image, other recalls another one.
    names = ["happiness", "sadness"]
    labels, answers = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    pictures = []
    for these, those in ((labels, answers), (np.tile(labels, 10), np.tile(answers, 10)), (labels, labels)):
        confusion_figure(tmp_path / "c.png", measures(these, those, names), names, "")
        with Image.open(tmp_path / "c.png") as image:
            pictures.append(np.asarray(image.convert("RGB")))
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_names_are_data(tmp_path: Path) -> None:
    # A lone `$` or an unknown command between two is an error in matplotlib's math text.
    names = [r"$\nothing$", "a$"]
    confusion_figure(tmp_path / "c.png", measures([0, 1], [0, 0], names), names, r"$\frac$")
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_a_class_without_clips(tmp_path: Path) -> None:
    confusion_figure(tmp_path / "c.png", measures([0], [1], ["a", "b"]), ["a", "b"], "")
    assert (tmp_path / "c.png").is_file()


def cosines(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


@pytest.mark.parametrize(("count", "sets"), [(2, 1), (7, 2)])
def test_a_heat_map_has_a_panel_per_set(tmp_path: Path, count: int, sets: int) -> None:
    names = [f"class_{number}" for number in range(count)]
    path = tmp_path / "cosines.png"
    heat_map_figure(path, [cosines(count, seed) for seed in range(sets)], names, ["v1", "v2"][:sets])
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size[0] == sets * image.size[1]


def test_a_heat_map_as_svg_keeps_its_text_and_is_reproducible(tmp_path: Path) -> None:
    names = [r"$\nothing$", "<b>anger</b>"]
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        heat_map_figure(path, [np.array([[1.0, 0.25], [0.25, 1.0]])], names, ["control:swapped"])
    written = (tmp_path / "a.svg").read_text()
    assert "control:swapped" in written
    assert "&lt;b&gt;anger&lt;/b&gt;" in written
    assert "0.25" in written
    assert "not accuracy" in written
    assert (tmp_path / "b.svg").read_text() == written


def test_a_heat_map_of_equal_cosines_can_be_drawn(tmp_path: Path) -> None:
    heat_map_figure(tmp_path / "c.svg", [np.ones((3, 3))], ["a", "b", "c"], ["control:shared-random"])
    assert (tmp_path / "c.svg").is_file()


def test_a_heat_map_is_png_or_svg(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        heat_map_figure(tmp_path / "c.pdf", [cosines(2)], ["a", "b"], ["v1"])
    assert list(tmp_path.iterdir()) == []


def test_a_confusion_matrix_as_svg_has_percentages_as_text(tmp_path: Path) -> None:
    names = ["happiness", "sadness"]
    # One of three clips of happiness is predicted as sadness: 67 and 33. Sadness is correct: 0 and 100.
    measured = measures([0, 0, 0, 1], [0, 0, 1, 1], names)
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        confusion_figure(path, measured, names, "v1")
    written = (tmp_path / "a.svg").read_text()
    for message in (">67<", ">33<", ">0<", ">100<", ">happiness<", ">v1<"):
        assert message in written
    assert (tmp_path / "b.svg").read_text() == written
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        confusion_figure(tmp_path / "c.pdf", measured, names, "v1")
