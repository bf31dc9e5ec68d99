"""Class names in Chinese: a font with the characters is used, or the message names one to install."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image

from dfer_model.evaluation.classify import Prediction
from dfer_model.metrics import logit_measures
from dfer_model.reports.fonts import FontWarning, bold_file, font_for, lacking
from dfer_model.reports.run_figures import confusion_figure
from dfer_model.video.overlay import write_overlay
from dfer_model.video.timeline import draw_timeline

from .video.test_pictures import predicted_video

NAMES = ("喜", "怒")


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A font whose two characters are a filled and a hollow square, known to matplotlib for one test."""
    builder = importlib.import_module("fontTools.fontBuilder").FontBuilder(1000, isTTF=True)
    pen_of = importlib.import_module("fontTools.pens.ttGlyphPen").TTGlyphPen

    def square(*sides: int) -> object:
        pen = pen_of(None)
        for number, side in enumerate(sides):
            near, far = 500 - side, 500 + side
            corners = [(near, near), (near, far), (far, far), (far, near)]
            for place, corner in enumerate(corners[:: -1 if number else 1]):
                (pen.lineTo if place else pen.moveTo)(corner)
            pen.closePath()
        return pen.glyph()

    names = [".notdef", "joy", "anger"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord("喜"): "joy", ord("怒"): "anger"})
    builder.setupGlyf(dict(zip(names, (square(), square(450), square(450, 300)), strict=True)))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Two Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "squares.ttf"
    builder.save(str(path))
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(path)
    yield path
    font_manager.fontManager.ttflist[:] = before


def prediction(joy: float) -> Prediction:
    shares = dict(zip(NAMES, (joy, 1 - joy), strict=True))
    return Prediction(Path("clip.mp4"), shares, (0,), (0.0,), 0.0, 1.0, 1, (40, 60, 120, 140))


def test_characters_missing_in_matplotlibs_font() -> None:
    assert lacking(["happiness", "Wut", "Ärger", "radość", "радость"]) == frozenset()
    assert lacking(["joy", *NAMES]) == frozenset(NAMES)
    assert bold_file(["joy"]).name == "DejaVuSans-Bold.ttf"


def test_a_font_that_has_the_characters_is_taken(installed: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert font_for(frozenset(NAMES)) == ("Two Squares", installed)
        assert bold_file(["joy 50%", "怒"]) == installed
        draw_timeline(tmp_path / "t.png", [prediction(0.75)], NAMES)
        draw_timeline(tmp_path / "t.svg", [prediction(0.75)], NAMES)
        measured = logit_measures(np.array([0, 1]), np.eye(2), NAMES)
        confusion_figure(tmp_path / "c.png", measured, NAMES, "怒 of two")
        write_overlay(tmp_path / "o.mp4", predicted_video(1))
    assert "Two Squares" in (tmp_path / "t.svg").read_text()
    # The filled square of the first name: a solid dark block beside the strips.
    dark = np.asarray(Image.open(tmp_path / "t.png").convert("L")) < 40
    blocks = [
        dark[y : y + 6, x : x + 6].all() for y in range(0, 120, 2) for x in range(900, len(dark[0]) - 6, 2)
    ]
    assert any(blocks)


def test_without_a_font_the_message_names_one_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [
        each for each in font_manager.fontManager.ttflist if each.name.startswith(("DejaVu", "Last Resort"))
    ]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    with pytest.warns(FontWarning, match="characters 喜怒: they are drawn as boxes\nInstall one") as caught:
        draw_timeline(tmp_path / "t.png", [prediction(0.75)], NAMES)
    assert len(caught) == 1
