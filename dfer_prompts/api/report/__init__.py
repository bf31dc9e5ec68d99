"""Reports of stored comparisons, reproductions, runs and optimisations: a page, or tables for a paper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from dfer_model.io import write_atomically
from dfer_model.progress import Progress, silence

from ...errors import InputError, system_errors, unknown
from ...optimization.log import SUFFIX
from ...workspace import Workspace
from .cost import MethodCost, costed_models, measure_costs, method_costs, with_costs
from .features import features_picture, with_features
from .render import Content
from .stored import AGAIN, RECORD, REPRODUCTION, find

if TYPE_CHECKING:
    from dfer_model.evaluation.groups import Groups

    from .by_group import SetGroups

Format = Literal["html", "markdown", "latex", "csv"]
SUFFIXES: dict[str, Format] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".tex": "latex",
    ".csv": "csv",
}
_WITHOUT = "{option} requires a comparison or a run; {log} is the log of an optimisation\nLeave it out"
USUAL = {"html": "report.html", "markdown": "report.md", "latex": "report.tex", "csv": "report.csv"}


@dataclass(frozen=True)
class Report:
    """A report: its file, its format, and the folder of what it reports.

    `groups` are the results by group of each set under each measure; empty if none were asked for. `costs`
    are those of its models. `rows` are those of a reproduction as plain values: our figures and the published
    ones.
    """

    path: Path
    format: Format
    of: Path
    groups: tuple[SetGroups, ...] = ()
    costs: tuple[MethodCost, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """What `report --json` prints."""
        plain = {"path": str(self.path), "format": self.format, "of": str(self.of)}
        groups, costs = ([each.as_dict() for each in some] for some in (self.groups, self.costs))
        rows = {"rows": list(self.rows)} if self.rows else {}
        return {**plain, "groups": groups, "costs": costs, **rows}


@system_errors()
def report(
    of: Path | str | None = None,
    *,
    out: Path | str | None = None,
    format: Format | None = None,  # noqa: A002 - the word of the command line
    groups: Path | str | None = None,
    latency: bool = False,
    features: bool = False,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
) -> Report:
    """Report the stored results of a comparison, reproduction, finished run or optimisation, untrained.

    `of` is its folder, its id or the beginning of one, by default the newest comparison of the workspace. An
    optimisation is given by the name of its version or by its log, optimizations/VERSION.jsonl.
    `format` is "html" (one self-contained page), "markdown", "latex" (tables for booktabs) or "csv" (UAR,
    WAR and recalls by fold), by default from the ending of `out`, else "html"; `out` is by default
    report.html, .md, .tex or .csv in its folder. `groups` adds results by group of clips: "scene" (from
    FERV39k's clip ids) or "FILE.csv:COLUMN", a file with the column clip_id.

    No model is loaded, except on `device` for two options. `latency` measures the time per clip of each model
    and stores it as cost.json with the run; later reports show it. `features` adds to the HTML page of a run
    the t-SNE figure of the video features of its test clips.

    Raises InputError if it is missing, unfinished or damaged, if the groups lack a clip, and for `features`
    of a comparison, in another format, or without the clips of the training.
    """
    place = workspace or Workspace.find()
    chosen = _format(Path(out) if out is not None else None, format)
    folder = find(of, place)
    path = Path(out) if out is not None else _usual_path(folder, chosen)
    from dfer_model.evaluation.groups import Groups

    from . import render as pages

    clip_groups = Groups.read(groups) if groups is not None else None
    write = {"html": pages.html, "markdown": pages.markdown, "latex": pages.latex, "csv": pages.csv_table}[
        chosen
    ]
    _check_options(folder, chosen, groups is not None, features)
    picture = features_picture(folder, device, progress) if features else None
    if folder.suffix == SUFFIX and folder.is_file():
        if latency:
            raise InputError(_WITHOUT.format(option="--latency", log=folder))
        write_atomically(path, write(_content(folder, place, clip_groups)))
        return Report(path, chosen, folder)
    with _damage_as_input_error(folder):
        models = costed_models(folder, place.runs)
    problems = measure_costs(models, device, progress) if latency else {}
    with _damage_as_input_error(folder):
        costs = method_costs(models, problems)
        content = with_costs(_content(folder, place, clip_groups), costs, _named_by(folder))
        text = write(content if picture is None else with_features(content, picture))
    write_atomically(path, text)
    grouped = content.groups.sets if content.groups else ()
    return Report(path, chosen, folder, grouped, costs, content.records)


def _usual_path(of: Path, chosen: Format) -> Path:
    """report.html in the folder of what is reported; of an optimisation the log's name, ending in .html."""
    return of / USUAL[chosen] if of.is_dir() else of.with_suffix(Path(USUAL[chosen]).suffix)


def _named_by(folder: Path) -> str:
    """What the name of a model stands for, as a column head."""
    return "set" if (folder / RECORD).is_file() else "row" if (folder / REPRODUCTION).is_file() else "run"


def _check_options(folder: Path, chosen: Format, groups: bool, features: bool) -> None:
    """Raises InputError for an option that this report does not have."""
    if folder.is_file() and (groups or features):
        raise InputError(_WITHOUT.format(option="--groups" if groups else "--features", log=folder))
    if features and chosen != "html":
        raise InputError(f"--features adds a figure, and {chosen} reports have none\nUse --format html")
    if groups and (folder / REPRODUCTION).is_file():
        raise InputError(
            f"--groups requires a comparison or a run; {folder} is a reproduction\nReport one of its runs"
        )


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


def _content(folder: Path, place: Workspace, groups: Groups | None) -> Content:
    """The content of the report."""
    if folder.is_file():
        from .optimization_report import optimization_content

        return optimization_content(folder)
    if (folder / RECORD).is_file():
        from .comparison_report import comparison_content

        return comparison_content(folder, groups)
    if (folder / REPRODUCTION).is_file():
        from .reproduction_report import reproduction_content

        return reproduction_content(folder, place.runs)
    from .run_report import run_content

    return run_content(folder, groups)


@contextmanager
def _damage_as_input_error(folder: Path) -> Iterator[None]:
    """Raises InputError if the stored files are inconsistent."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"the files in {folder} are damaged ({message})\n{AGAIN}") from error
