"""Shell completion: names found on disk, and none if the workspace cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from ..errors import DferError
from ..workspace import Workspace


def _completing(
    names: Callable[[Workspace], Iterable[str]],
) -> Callable[[typer.Context, str], list[str]]:
    """A completion that offers the `names` beginning with the typed text."""

    def offer(context: typer.Context, incomplete: str) -> list[str]:
        # The root command has not run yet, so the workspace is found as it would find it.
        given = context.find_root().params.get("workspace")
        try:
            workspace = Workspace.find(Path(given) if given else None)
            return [name for name in names(workspace) if name.startswith(incomplete)]
        except (DferError, OSError):
            return []

    return offer


def _versions(workspace: Workspace) -> Iterable[str]:
    from ..versions.store import DescriptionStore

    return DescriptionStore(workspace).list()


def _runs(workspace: Workspace) -> Iterable[str]:
    # As `run_ids` of dfer_model.runs, which loads numpy.
    return sorted(path.parent.name for path in workspace.runs.glob("*/config.yaml"))


def _models(workspace: Workspace) -> Iterable[str]:
    return [*_runs(workspace), *_versions(workspace)]


def _class_sets(_: Workspace) -> Iterable[str]:
    from ..classes import class_set_names

    return class_set_names()


def _templates(workspace: Workspace) -> Iterable[str]:
    from ..templates import template_names

    return template_names(workspace)


def _datasets(workspace: Workspace) -> Iterable[str]:
    return workspace.defaults.datasets


versions = _completing(_versions)
runs = _completing(_runs)
models = _completing(_models)
class_sets = _completing(_class_sets)
templates = _completing(_templates)
datasets = _completing(_datasets)
