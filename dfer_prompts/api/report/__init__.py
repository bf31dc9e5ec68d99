"""Reports: the stored results of a comparison or a run as a page or as tables for a paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from dfer_model.io import write_atomically

from ...errors import InputError, system_errors, unknown
from ...workspace import Workspace
from .render import Content
from .stored import AGAIN, RECORD, find

Format = Literal["html", "markdown", "latex", "csv"]
SUFFIXES: dict[str, Format] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".tex": "latex",
    ".csv": "csv",
}
USUAL = {"html": "report.html", "markdown": "report.md", "latex": "report.tex", "csv": "report.csv"}


@dataclass(frozen=True)
class Report:
    """A report: its file, its format, and the folder of the comparison or run."""

    path: Path
    format: Format
    of: Path

    def as_dict(self) -> dict[str, Any]:
        """What `report --json` prints."""
        return {"path": str(self.path), "format": self.format, "of": str(self.of)}


@system_errors()
def report(
    of: Path | str | None = None,
    *,
    out: Path | str | None = None,
    format: Format | None = None,  # noqa: A002 - the word of the command line
    workspace: Workspace | None = None,
) -> Report:
    """Report the stored results of a comparison or a finished run in one file; no model is loaded.

    `of` is its folder, its id or the beginning of one, by default the newest comparison of the workspace.
    `format` is "html" (one self-contained page), "markdown", "latex" (tables for booktabs) or "csv" (UAR,
    WAR and recalls by fold), by default from the ending of `out`, else "html"; `out` is by default
    report.html, .md, .tex or .csv in its folder. Raises InputError if it is missing, unfinished or damaged.
    """
    place = workspace or Workspace.find()
    chosen = _format(Path(out) if out is not None else None, format)
    folder = find(of, place)
    path = Path(out) if out is not None else folder / USUAL[chosen]
    from . import render as pages

    write = {"html": pages.html, "markdown": pages.markdown, "latex": pages.latex, "csv": pages.csv_table}[
        chosen
    ]
    write_atomically(path, _written(folder, write))
    return Report(path, chosen, folder)


def _format(out: Path | None, given: str | None) -> Format:
    if given is None:
        if out is None:
            return "html"
        if out.suffix.lower() not in SUFFIXES:
            ends = ", ".join(SUFFIXES)
            raise InputError(f"--out {out}: unknown format\nUse a name that ends in {ends}, or add --format")
        return SUFFIXES[out.suffix.lower()]
    for each in get_args(Format):
        if each == given:
            return each  # type: ignore[no-any-return]
    raise unknown("format", given, get_args(Format))


def _content(folder: Path) -> Content:
    """The content of the report."""
    if (folder / RECORD).is_file():
        from .comparison_report import comparison_content

        return comparison_content(folder)
    from .run_report import run_content

    return run_content(folder)


def _written(folder: Path, write: Callable[[Content], str]) -> str:
    """The report's text. Raises InputError if the stored files are inconsistent."""
    try:
        return write(_content(folder))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"the files in {folder} are damaged ({said})\n{AGAIN}") from error
