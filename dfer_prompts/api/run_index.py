"""The comparisons and finished runs of a workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InputError, unknown
from ..workspace import Workspace
from .report.stored import RECORD, RUN, stored_json


@dataclass(frozen=True)
class Finished:
    """A comparison or a run: its id, a line on what it is, its results, and when it was written."""

    id: str
    is_comparison: bool
    what: str
    found: tuple[str, ...]
    written: datetime


def comparisons(workspace: Workspace) -> list[Finished]:
    """The comparisons, the newest first; one that is damaged says so in its line."""
    return _newest_first((workspace.root / "comparisons").glob(f"*/{RECORD}"), _comparison)


def finished_runs(workspace: Workspace) -> list[Finished]:
    """The finished runs, the newest first; one that is damaged says so in its line."""
    return _newest_first(workspace.runs.glob(f"*/{RUN}"), _run)


def finished(name: str, workspace: Workspace) -> Finished:
    """The comparison or run of this id, in the workspace only. Raises InputError."""
    there = {each.id: each for each in (*finished_runs(workspace), *comparisons(workspace))}
    if name not in there:
        raise unknown("comparison or run", name, there)
    return there[name]


def finished_run_named(name: str, workspace: Workspace) -> str:
    """The name, if it is that of a finished run of the workspace. Raises InputError, also for a path."""
    there = [path.parent.name for path in workspace.runs.glob(f"*/{RUN}")]
    if name not in there:
        raise unknown("finished run", name, sorted(there))
    return name


def _newest_first(
    paths: Iterable[Path], describe: Callable[[Path], tuple[str, tuple[str, ...]]]
) -> list[Finished]:
    found = []
    for path in paths:
        try:
            what, came = describe(path)
        except (InputError, OSError) as error:
            what, came = " ".join(str(error).split()), ()
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            what, came = f"{path} is damaged", ()
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        found.append(Finished(path.parent.name, path.name == RECORD, what, came, written))
    return sorted(found, key=lambda each: (each.written, each.id), reverse=True)


def _comparison(path: Path) -> tuple[str, tuple[str, ...]]:
    from dfer_model.comparison.record import ComparisonRecord

    record = ComparisonRecord.read(path.parent)
    compared = record.comparison
    names = [each.name for each in compared.sets]
    trained = f"{_count(compared.folds, 'fold')}, {_count(compared.seeds, 'seed')}"
    return f"{', '.join(names)} on {record.dataset} ({trained})", compared.verdicts


def _run(path: Path) -> tuple[str, tuple[str, ...]]:
    record = stored_json(path)
    best = record["measures"].get(record["selected"])
    came = (f"UAR {best['uar']:.1f}, WAR {best['war']:.1f} percent",) if best else ()
    texts = stored_json(path.with_name("texts.json"))
    return str(texts.get("name") or "no texts"), came


def _count(values: Sequence[Any], noun: str) -> str:
    return f"{len(values)} {noun}" + ("" if len(values) == 1 else "s")
