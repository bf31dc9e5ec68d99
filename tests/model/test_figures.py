"""The confusion matrix as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfer_model.metrics import measures
from dfer_model.report.figures import confusion_figure


@pytest.mark.parametrize("count", [2, 11, 43])
def test_draws_any_number_of_classes(tmp_path: Path, count: int) -> None:
    names = [f"class_{number}" for number in range(count)]
    confusion_figure(tmp_path / "confusion.png", measures(range(count), range(count), names), names, "title")
    with Image.open(tmp_path / "confusion.png") as image:
        assert image.format == "PNG"
        assert min(image.size) >= 500
    assert [path.name for path in tmp_path.iterdir()] == ["confusion.png"]


def test_rows_are_percent_of_the_true_class(tmp_path: Path) -> None:
    # Same recalls, ten times the clips: the same picture. Other recalls: another one.
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
    # A lone `$` or an unknown command between two is an error to matplotlib's mathematics.
    names = [r"$\nothing$", "a$"]
    confusion_figure(tmp_path / "c.png", measures([0, 1], [0, 0], names), names, r"$\frac$")
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_a_class_without_clips(tmp_path: Path) -> None:
    confusion_figure(tmp_path / "c.png", measures([0], [1], ["a", "b"]), ["a", "b"], "")
    assert (tmp_path / "c.png").is_file()
