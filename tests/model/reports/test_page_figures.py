"""Figures that lie in a page: their ids, their colours, and names that are data."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import dfer_prompts
from dfer_model.reports.page_figures import COLOURS, TOGETHER, Bar, Curve, curves, intervals

SHEET = Path(dfer_prompts.__file__).parent / "api" / "report" / "templates" / "page.css"
BARS = [Bar("<b>$x_1$</b> & 悲しみ\x1b", 40.0, 30.0, 50.0), Bar("control", 20.0, None, None, False, True)]


def texts(svg: str) -> list[str]:
    return [
        "".join(each.itertext()) for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("text")
    ]


def test_two_figures_of_a_page_share_no_id_and_find_their_own() -> None:
    drawn = [intervals(name, "said", "UAR", BARS, 25.0) for name in ("first", "second")]
    ids = [re.findall(r' id="([^"]+)"', svg) for svg in drawn]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    for name, svg, own in zip(("first", "second"), drawn, ids, strict=True):
        referred = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert {one or other for one, other in referred} == set(own)
        assert all(each.startswith(f"{name}-") for each in own)
        assert "<style" not in svg  # it would be the style of the whole page


def test_names_are_data_and_what_is_read_aloud_is_there() -> None:
    svg = intervals("figure", 'UAR: "one" < two', "UAR", BARS, 25.0)
    assert "<b>$x_1$</b> & 悲しみ" in texts(svg)
    root = ElementTree.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", 'UAR: "one" < two')


def test_every_colour_follows_the_page() -> None:
    svg = curves("figure", "loss", ("epoch", "loss"), [Curve("v1", [1, 2], [3, 2], [0.1, 0.1])], {})
    colours = set(re.findall(r"(var\(--\w+, #[0-9a-f]{6}\)|#[0-9a-f]{6}\b)", svg))
    assert colours
    assert all(each.startswith("var(") for each in colours)


def test_many_curves_have_axes_of_their_own() -> None:
    few = [Curve(f"v{number}", [1, 2], [3, 2], [0, 0]) for number in range(TOGETHER)]
    many = [*few, Curve("one more", [1, 2], [3, 1], [0, 0])]
    for drawn, own in ((few, False), (many, True)):
        svg = curves("figure", "loss", ("epoch", "loss"), drawn, {})
        assert texts(svg).count("epoch") == 1
        assert {each.name for each in drawn} <= set(texts(svg))
        assert len(re.findall(r'<g clip-path|clip-path="', svg)) >= len(drawn) * (2 if own else 1)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 has it."""
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out_from_what_is_behind_them(scheme: str) -> None:
    light, dark = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part))
        for part in SHEET.read_text(encoding="utf-8").split("@media screen and (prefers-color-scheme: dark)")
    )
    colours = light if scheme == "light" else light | dark
    for name in ("ink", "soft", "link"):
        assert contrast(colours[name], colours["paper"]) >= 4.5
    for name in set(COLOURS.values()) - {"faint"}:
        assert contrast(colours[name], colours["paper"]) >= 3
    full_from = 8 if scheme == "light" else 7  # as the style sheet says
    for shade in range(1, 11):
        text = colours["full" if shade >= full_from else "ink"]
        assert contrast(colours[f"s{shade}"], text) >= 4.5, shade
