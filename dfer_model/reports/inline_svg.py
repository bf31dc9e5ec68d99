"""Figures inside an HTML page: SVG with colours of the page and unique ids.

The page sets the colours as CSS variables, for light and dark backgrounds; the defaults are those of
`COLOURS`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = 4.7  # at 96 pixels per inch the width of a column, so that text keeps its size
SIZES = {"font.size": 9.0, "svg.fonttype": "none", "svg.hashsalt": "dfer"}
INK, FAINT, CONTROL, CHANCE = "#1c2328", "#d5dade", "#7d858c", "#b03031"
LINES = ("#2f6f8e", "#c2631a", "#3c8d4e", "#7a4f99", "#b8433e", "#00838e", "#8a6d1f")
COLOURS = {INK: "ink", FAINT: "faint", CONTROL: "control", CHANCE: "chance"} | {
    colour: f"line{number}" for number, colour in enumerate(LINES, 1)
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def inline_svg(
    name: str, label: str, height: float, draw: Callable[[list[Axes]], None], panels: int = 1, across: int = 1
) -> str:
    """The SVG of what `draw` draws on `panels` axes, `across` in a row, `height` inches high.

    `name` must be unique in a page; `label` is the text for screen readers.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    stream = io.StringIO()
    colours = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK)
    lines: Any = {
        **SIZES,
        **colours,
        "axes.edgecolor": CONTROL,
        "xtick.color": CONTROL,
        "ytick.color": CONTROL,
    }
    with rc_context(lines), warnings.catch_warnings():
        # The page's font draws the text, so glyphs that matplotlib's font lacks do not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(INCHES, height), layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        rows = -(-panels // across)
        axes = list(figure.subplots(rows, across, squeeze=False, sharex=panels > 1, sharey=panels > 1).flat)
        for each in axes:
            each.set_facecolor("none")
            each.spines[["top", "right"]].set_visible(False)
        draw(axes[:panels])
        for each in axes[panels:]:
            each.remove()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return _for_a_page(stream.getvalue(), name, label)


def _for_a_page(svg: str, name: str, label: str) -> str:
    """The SVG without file header, style sheet and unused ids."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - written by matplotlib
    for element in [*root.findall(f".//{{{_SVG}}}style/.."), root]:
        for kind in ("style", "metadata"):
            for unwanted in element.findall(f"{{{_SVG}}}{kind}"):
                element.remove(unwanted)
    used = {each.get(f"{{{_XLINK}}}href", "")[1:] for each in root.iter()}
    used |= {each.get("clip-path", "")[5:-1] for each in root.iter()}
    for element in root.iter():
        _adapt(element, name, used)
    root.attrib |= {"role": "img", "aria-label": label, "stroke-linejoin": "round", "stroke-linecap": "butt"}
    for prefix, uri in (("", _SVG), ("xlink", _XLINK)):
        ElementTree.register_namespace(prefix, uri)
    return ElementTree.tostring(root, encoding="unicode")


def _adapt(element: ElementTree.Element, name: str, used: set[str]) -> None:
    own = element.attrib.pop("id", None)
    if own in used:
        element.set("id", f"{name}-{own}")
    if href := element.attrib.pop(f"{{{_XLINK}}}href", None):
        element.set("href", f"#{name}-{href[1:]}")
    if clip := element.get("clip-path"):
        element.set("clip-path", f"url(#{name}-{clip[5:]}")
    if style := element.get("style"):
        for colour, variable in COLOURS.items():
            style = style.replace(colour, f"var(--{variable}, {colour})")
        element.set("style", style.replace("'DejaVu Sans', ", ""))
