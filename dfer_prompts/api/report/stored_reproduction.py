"""A stored reproduction of the paper's tables: reproduction.json and the runs of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from ...errors import InputError
from ...yaml_files import first_problem
from ..reproduce.paper_tables import Published
from ..reproduce.results import Ours
from .stored import REPRODUCTION, RUN, stored_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dfer_model.runs import Run

AGAIN = "Repeat its reproduce command: finished runs are reused"

RunId = Annotated[str, Field(pattern=r"^[^/\\]*[^/\\.][^/\\]*$")]  # a name under `runs`, never a path


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class StoredTexts(_Stored):
    """The class texts of a row."""

    name: str
    sha256: str = ""
    class_names: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]


class StoredRow(_Stored):
    """A row; `note` is the reason why it has no figures. `in_paper` is False for a row of this project."""

    table: str
    number: int
    name: str
    note: str = ""
    runs: tuple[RunId, ...] = ()
    texts: StoredTexts | None = None
    ours: Ours | None = None
    last: Ours | None = None
    published: Published | None = None
    difference: tuple[FiniteFloat, FiniteFloat] | None = None
    confusion: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] | None = None
    in_paper: bool = True


class StoredReproduction(_Stored):
    """The content of reproduction.json."""

    dataset: str
    class_names: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    titles: dict[str, str]  # by table
    assumed: dict[str, tuple[str, ...]] = {}
    rows: tuple[StoredRow, ...]
    protocol: str = ""
    caveats: tuple[str, ...] = ()
    command: tuple[str, ...] = ()  # none in files of earlier versions

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        classes = len(self.class_names)
        for row in self.rows:
            where = f"rows, {row.table}, {row.name}"
            if row.table not in self.titles:
                raise ValueError(f"{where}: the table has no title")
            if row.confusion is not None and [*map(len, row.confusion)] != [classes] * classes:
                raise ValueError(f"{where}: the confusion matrix is not {classes} x {classes}")
        return self

    @classmethod
    def read(cls, folder: Path) -> StoredReproduction:
        """The reproduction in `folder`. Raises InputError if it is missing or damaged."""
        path = folder / REPRODUCTION
        try:
            return cls.model_validate(stored_json(path, AGAIN))
        except ValidationError as error:
            raise InputError(f"{path} is damaged: {first_problem(error)}\n{AGAIN}") from error

    def of(self, table: str) -> list[StoredRow]:
        """The rows of one table."""
        return [each for each in self.rows if each.table == table]

    def texts(self) -> dict[str, dict[str, Any]]:
        """The class texts of the rows by name, each once."""
        given = [each.texts for each in self.rows if each.texts]
        return {each.name: each.model_dump() for each in given if any(each.texts)}


@dataclass(frozen=True)
class Interval:
    """The ends of a 95% interval, in percent."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.2f} to {self.high:.2f}"


@dataclass(frozen=True)
class RowRuns:
    """The runs of a row for the epoch selection of its figures; every fold has the same seeds."""

    runs: Sequence[Run]
    selection: str

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return sorted({run.seed for run in self.runs})

    @cached_property
    def counts(self) -> dict[int, NDArray[np.int64]]:
        """The confusion counts of each fold: (seeds, true classes, predicted classes)."""
        by_key = {
            (run.fold, run.seed): run.result["measures"][self.selection]["confusion"] for run in self.runs
        }
        return {
            fold: np.asarray([by_key[fold, seed] for seed in self.seeds], dtype=np.int64)
            for fold in sorted({run.fold for run in self.runs})
        }

    @cached_property
    def intervals(self) -> tuple[Interval, Interval]:
        """The 95% intervals of UAR and WAR, as `compare` computes them (docs/statistics.md).

        With one seed they include only the sampling variance of the test clips.
        """
        from dfer_model.comparison.results import gathered_answers

        name, texts = "row", [self.runs[0].named("row").texts]
        predictions = {(name, run.fold, run.seed): run.predictions(self.selection) for run in self.runs}
        answers = gathered_answers(predictions, texts)
        uar, war = (answers.figure(name, weights) for weights in (answers.uar, answers.war))
        return _interval(uar.low, uar.high), _interval(war.low, war.high)


def _interval(low: float | None, high: float | None) -> Interval:
    assert low is not None
    assert high is not None
    return Interval(low, high)


def row_runs(row: StoredRow, of: StoredReproduction, places: Sequence[Path]) -> RowRuns | None:
    """The runs of a row, each in the first of the folders `places` that has it; None if one is missing.

    Raises InputError if a run is damaged, or is not one of this reproduction.
    """
    from dfer_model.runs import Run

    if not row.runs or row.ours is None:
        return None
    folders = [_run_folder(name, places) for name in row.runs]
    if not all(folders):
        return None
    runs = [Run.open(folder) for folder in folders if folder]
    keys = {(run.fold, run.seed) for run in runs}
    seeds = {run.seed for run in runs}
    complete = keys == {(fold, seed) for fold in of.folds for seed in seeds} and len(keys) == len(runs)
    if not complete or any(run.class_names != of.class_names for run in runs):
        raise InputError(
            f"the runs of {row.table}, {row.name} are not those of the reproduction: other folds, seeds or "
            f"classes\n{AGAIN}"
        )
    return RowRuns(runs, row.ours.selection)


def run_places(folder: Path, runs: Path) -> list[Path]:
    """Where the runs of the reproduction in `folder` may be: `runs`, or the workspace of `folder`."""
    return [runs, folder.parent.parent / "runs"]


def _run_folder(name: str, places: Sequence[Path]) -> Path | None:
    return next((place / name for place in places if (place / name / RUN).is_file()), None)


@dataclass(frozen=True)
class Reproduction:
    """A stored reproduction, and the runs of each row as far as they exist."""

    folder: Path
    stored: StoredReproduction
    runs: Mapping[tuple[str, int], RowRuns | None]  # by table and number

    @classmethod
    def open(cls, folder: Path, runs: Path) -> Reproduction:
        """The reproduction in `folder`; its runs are in `run_places`.

        Raises InputError if it is missing or damaged.
        """
        stored = StoredReproduction.read(folder)
        places = run_places(folder, runs)
        return cls(
            folder, stored, {(row.table, row.number): row_runs(row, stored, places) for row in stored.rows}
        )

    def runs_of(self, row: StoredRow) -> RowRuns | None:
        """The runs of a row; None if it has none, or one no longer exists."""
        return self.runs[row.table, row.number]
