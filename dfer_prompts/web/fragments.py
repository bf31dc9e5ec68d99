"""HTML fragments of the page, with all inserted text escaped, and components used by several tabs."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import gradio as gr

from ..llm.redaction import PROBLEMS, sentence
from ..markdown import html_environment, shows

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


TEMPLATES = Path(__file__).parent / "templates"
Given = ParamSpec("Given")


def fragment(name: str, /, **values: object) -> str:
    """The template `name` with these values, which are escaped."""
    return _environment().get_template(f"{name}.html.j2").render(values)


def or_problem(make: Callable[Given, str]) -> Callable[Given, str]:
    """Wrap `make` so that an error for the user is shown as a message in place of its HTML."""

    @wraps(make)
    def safely(*args: Given.args, **kwargs: Given.kwargs) -> str:
        try:
            return make(*args, **kwargs)
        except PROBLEMS as error:
            return problem(error)

    return safely


def problem(error: Exception) -> str:
    """The error message, as on the command line."""
    return fragment("problem", lines=sentence(error).splitlines())


def picture(data: bytes | str, kind: str) -> Markup:
    """A data URL of a picture: the text of an SVG or the bytes of a JPEG."""
    from markupsafe import Markup

    raw = data.encode() if isinstance(data, str) else data
    coded = base64.b64encode(raw).decode("ascii")
    return Markup(f"data:image/{kind};base64,{coded}")  # noqa: S704 - letters, digits, + / and =


@cache
def _environment() -> Environment:
    environment = html_environment(TEMPLATES)
    environment.filters["lines"] = _lines
    environment.filters["whole"] = _whole
    return environment


def _lines(text: str) -> object:
    """Text of several lines, for a <pre>."""
    from markupsafe import Markup, escape

    shown = "".join(char for char in text if shows(char) or char in "\n\t")
    return Markup(escape(shown))  # noqa: S704 - escaped


def _whole(text: str) -> object:
    """An HTML page as an attribute value: only escaped."""
    from markupsafe import Markup, escape

    return Markup(escape(text))  # noqa: S704 - escaped


def piece(value: str = "", name: str | None = None) -> gr.HTML:
    """A component for an HTML fragment, without Gradio's style; `name` is its id in the page."""
    return gr.HTML(value, js_on_load=None, apply_default_css=False, elem_classes="piece", elem_id=name)
