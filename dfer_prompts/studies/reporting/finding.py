"""Which comparison or run a person means."""

from __future__ import annotations

import difflib
from pathlib import Path

from ...errors import InputError, listed
from ...workspace import Workspace

RECORD, RUN = "comparison.json", "result.json"


def find(given: Path | str | None, workspace: Workspace) -> Path:
    """The folder of the comparison or finished run that a folder, an id or the beginning of one means.

    None is the newest comparison. Raises InputError, with the nearest name there is.
    """
    comparisons = {
        path.parent.name: path.parent for path in (workspace.root / "comparisons").glob(f"*/{RECORD}")
    }
    if given is None:
        if not comparisons:
            raise InputError(
                f"no comparison in {workspace.root / 'comparisons'}\nMake one: dfer-prompts compare --help"
            )
        return max(comparisons.values(), key=lambda each: (each / RECORD).stat().st_mtime_ns)
    folder = _folder(Path(given), workspace)
    return folder or _by_id(str(given), comparisons, workspace)


def _folder(given: Path, workspace: Workspace) -> Path | None:
    """The folder that a path means, from here or from the workspace."""
    for path in (given, workspace.root / given):
        folder = path.parent if path.name in (RECORD, RUN) else path
        if (folder / RECORD).is_file() or (folder / "config.yaml").is_file():
            return _finished(folder)
    return None


def _by_id(given: str, comparisons: dict[str, Path], workspace: Workspace) -> Path:
    runs = {path.parent.name: path.parent for path in workspace.runs.glob("*/config.yaml")}
    known = {**runs, **comparisons}
    matches = (
        [given] if given in known else sorted(name for name in known if given and name.startswith(given))
    )
    if len(matches) == 1:
        return _finished(known[matches[0]])
    if matches:
        raise InputError(f"{given!r} begins {len(matches)} ids: {listed(matches)}\nGive more of the id")
    near = difflib.get_close_matches(given, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    there = [f"comparisons: {listed(sorted(comparisons))}"] if comparisons else []
    there += [f"runs: {listed(sorted(runs))}"] if runs else []
    raise InputError(
        f"no comparison or run {given!r}{hint}\n"
        + (f"There are {'; '.join(there)}" if there else "Make one: dfer-prompts compare --help")
    )


def _finished(folder: Path) -> Path:
    if not (folder / RECORD).is_file() and not (folder / RUN).is_file():
        raise InputError(f"the run {folder} is not finished\nGive its train command again to go on")
    return folder
