"""The stored files of a comparison, and the lookup of what is reported, by id or folder."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dfer_model.io import read_json

from ...errors import InputError, listed
from ...optimization.log import SUFFIX, logs
from ...workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.comparison.record import ComparisonRecord
    from dfer_model.comparison.results import Comparison


AGAIN = "Repeat its compare command: finished runs are reused"


class Trained(NamedTuple):
    """A training of a comparison: `variant` is the 0-based index of the shots or the held-out class."""

    measure: str
    variant: int
    name: str
    fold: int
    seed: int
    run: str


@dataclass(frozen=True)
class Stored:
    """A stored comparison: its record and the folder of its runs."""

    record: ComparisonRecord
    runs: Path

    @classmethod
    def open(cls, folder: Path) -> Stored:
        """The comparison in `folder`. Raises InputError if it is damaged or incomplete."""
        from dfer_model.comparison.record import ComparisonRecord

        return cls(ComparisonRecord.read(folder), folder.parent.parent / "runs")

    @property
    def comparison(self) -> Comparison:
        """The figures, pairs and verdicts."""
        return self.record.comparison

    @property
    def names(self) -> list[str]:
        """The sets in the order of their trainings."""
        return [each.name for each in self.comparison.sets]

    @cached_property
    def texts(self) -> dict[str, dict[str, Any]]:
        """Each set's class names, texts and sha256, as far as they are stored."""
        if not self.record.of_runs:
            return {each.name: asdict(each) for each in self.record.texts}
        found = {each.run: run_texts(Path(each.folder)) for each in self.record.models}
        found |= {each.name: run_texts(self.runs / each.run) for each in self.trained}
        return {name: texts for name, texts in found.items() if texts}

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """By id, the result.json of the runs that exist and are valid."""
        found = {}
        for name in dict.fromkeys(self.record.runs):
            path = self.runs / name / RUN
            if path.is_file():
                found[name] = stored_json(path)
        return found

    @cached_property
    def confusions(self) -> dict[str, Any]:
        """The content of confusions.json; empty if there is none."""
        path = self.record.folder / "confusions.json"
        return dict(stored_json(path)) if path.is_file() else {}

    @cached_property
    def trained(self) -> list[Trained]:
        """The trainings of each measure; empty if not recorded."""
        found = list(self._trained())
        ids = self.record.runs
        beside = len(self.record.models)
        if len(found) != len(ids) - beside:
            return []
        return [each._replace(run=str(run)) for each, run in zip(found, ids[beside:], strict=True)]

    def measured(self, training: Trained) -> tuple[str, dict[str, Any]]:
        """The epoch selection of a training and its measures; both empty if its run does not exist.

        It is that of the comparison, or the run's first if the run does not have it.
        """
        measures: dict[str, dict[str, Any]] = self.results.get(training.run, {}).get("measures", {})
        chosen = self.comparison.selection
        selection = chosen if chosen in measures else next(iter(measures), "")
        return selection, measures.get(selection, {})

    def _trained(self) -> Iterator[Trained]:
        """Every training in the order of the runs, without its id."""
        given = {each.run for each in self.record.models}
        names = [name for name in self.names if name not in given]
        for measure in self.comparison.measures:
            for variant in range(self._variants(measure)):
                for fold in self.comparison.folds:
                    for seed in self.comparison.seeds:
                        for name in names:
                            yield Trained(measure, variant, name, fold, seed, "")

    def _variants(self, measure: str) -> int:
        """The number of variants of each training of a measure."""
        if measure in ("zero-shot", "screened"):
            return 0
        if measure == "few-shot":
            return sum(each != "0" for each in self.comparison.sets[0].measures[measure].curves["curve_uar"])
        return len(self.class_names) if measure == "held-out-class" else 1

    @property
    def class_names(self) -> list[str]:
        """The classes of the training clips, in label order."""
        return list(self.record.class_names)

    def config(self) -> dict[str, Any]:
        """The config.yaml of the first run that exists; empty if there is none."""
        for name in self.record.runs:
            path = self.runs / name / "config.yaml"
            if path.is_file():
                return read_config(path)
        return {}


def stored_json(path: Path, again: str = AGAIN) -> Any:
    """The content of a JSON file. Raises InputError if it is missing or damaged."""
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except ValueError as error:
        raise InputError(f"{path.parent} is damaged: {error}\n{again}") from error


def read_config(path: Path) -> dict[str, Any]:
    """A run's config.yaml. Raises InputError if it is damaged."""
    from dfer_model.runs import read_mapping

    return read_mapping(path)


def run_texts(folder: Path) -> dict[str, Any]:
    """The class names and texts of a run; empty if there are none."""
    if not (folder / "texts.json").is_file():
        return {}
    names, record = stored_json(folder / "classes.json"), stored_json(folder / "texts.json")
    texts = [record["texts"][name] for name in names]
    return {"name": record["name"], "sha256": record["sha256"], "class_names": names, "texts": texts}


def learned(folder: Path) -> list[Mapping[str, Any]]:
    """The rows of a run's metrics.jsonl, one per epoch; empty if it is missing.

    Raises InputError if it is damaged.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}") from error


RECORD, RUN, REPRODUCTION = "comparison.json", "result.json", "reproduction.json"


def find(given: Path | str | None, workspace: Workspace) -> Path:
    """The folder of a comparison, reproduction or finished run, by its folder, id or beginning of an id.

    Of an optimisation it is the log, by its path or the name of its version. None is the newest comparison.
    Raises InputError, with the most similar name.
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
    """The folder or log of a path, relative to the current folder or the workspace."""
    for path in (given, workspace.root / given):
        if path.suffix == SUFFIX and path.is_file():
            return path
        folder = path.parent if path.name in (RECORD, RUN, REPRODUCTION) else path
        if any((folder / name).is_file() for name in (RECORD, REPRODUCTION, "config.yaml")):
            return _finished(folder)
    return None


def _by_id(given: str, comparisons: dict[str, Path], workspace: Workspace) -> Path:
    runs = {path.parent.name: path.parent for path in workspace.runs.glob("*/config.yaml")}
    reproductions = {
        path.parent.name: path.parent for path in (workspace.root / "reproductions").glob(f"*/{REPRODUCTION}")
    }
    optimizations = {path.stem: path for path in logs(workspace)}
    known = {**optimizations, **runs, **reproductions, **comparisons}
    matches = (
        [given] if given in known else sorted(name for name in known if given and name.startswith(given))
    )
    if len(matches) == 1:
        found = known[matches[0]]
        return found if found.suffix == SUFFIX and found.is_file() else _finished(found)
    if matches:
        raise InputError(f"{given!r} matches {len(matches)} ids: {listed(matches)}\nGive more of the id")
    near = difflib.get_close_matches(given, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    kinds = {"comparisons": comparisons, "reproductions": reproductions, "runs": runs}
    kinds["optimisations"] = optimizations
    there = [f"{kind}: {listed(sorted(found))}" for kind, found in kinds.items() if found]
    raise InputError(
        f"no comparison, reproduction, run or optimisation {given!r}{hint}\n"
        + (f"There are {'; '.join(there)}" if there else "Make one: dfer-prompts compare --help")
    )


def _finished(folder: Path) -> Path:
    if not any((folder / name).is_file() for name in (RECORD, REPRODUCTION, RUN)):
        raise InputError(f"the run {folder} is not finished\nRepeat its train command to continue")
    return folder
