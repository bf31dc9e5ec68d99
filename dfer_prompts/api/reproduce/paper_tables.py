"""The paper's tables as trainable rows, and the published figures, read from tables.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import InputError, unknown
from ...yaml_files import first_problem, read_yaml

FILE = Path(__file__).with_name("tables.yaml")
OWN_FILE = "published.yaml"  # of a workspace; its figures replace the shipped ones
MOST_ROWS = 1000

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(_Strict):
    """A row's published figures on one dataset, in percent, and their source."""

    uar: Percent
    war: Percent
    source: str
    doubt: str | None = None  # a reason to doubt them


class Row(_Strict):
    """One row: the settings that override a preset, and its texts. tables.yaml documents each key."""

    name: str
    strategy: str | None = None
    settings: dict[str, Any] = {}
    image_tower: Literal["trained"] | None = None
    random: bool = True
    sentence: str | None = None
    top: int | None = None
    members: Literal[1, 2] | None = None
    needs: Literal["farl", "second"] | None = None
    published_only: bool = False
    in_paper: bool = True


class Table(_Strict):
    """One table; `assumed` are sentences on what paper and released code do not say about its rows."""

    title: str
    assumed: tuple[str, ...]
    rows: tuple[Row, ...]

    def numbered(self) -> list[tuple[int, Row]]:
        """The rows with their numbers, from 1."""
        return list(enumerate(self.rows, start=1))


class Protocol(_Strict):
    """The paper's number of seeds, and each dataset's number of folds."""

    seeds: int
    folds: dict[str, int]


Figures = dict[str, dict[str, dict[str, Published]]]  # table, row, dataset


class Paper(_Strict):
    """The content of tables.yaml."""

    protocol: Protocol
    tables: dict[str, Table]
    source: str
    published: dict[str, dict[str, dict[str, tuple[Percent, Percent]]]]  # table, row, dataset: UAR, WAR

    def figures(self) -> Figures:
        """The published figures, each with its source: the paper and the table."""
        return {
            table: {
                row: {
                    dataset: Published(uar=uar, war=war, source=f"{self.source}, {_title(table)}")
                    for dataset, (uar, war) in by_dataset.items()
                }
                for row, by_dataset in rows.items()
            }
            for table, rows in self.published.items()
        }


class _OwnFigures(_Strict):
    sources: dict[str, str] = {}
    published: Figures


@cache
def paper() -> Paper:
    """The shipped tables."""
    return Paper.model_validate(read_yaml(FILE, "it holds the paper's tables"))


def listed() -> dict[str, dict[str, Any]]:
    """Every table by name as plain values; each row has `number` and `published`: UAR and WAR by dataset."""
    tables = {}
    for name, table in paper().tables.items():
        figures = paper().published.get(name, {})
        rows = [
            {
                **row.model_dump(mode="json"),
                "number": number,
                "published": {
                    dataset: {"uar": uar, "war": war}
                    for dataset, (uar, war) in figures.get(row.name, {}).items()
                },
            }
            for number, row in table.numbered()
        ]
        tables[name] = {**table.model_dump(mode="json"), "rows": rows}
    return tables


def dataset_title(name: str) -> str:
    """A dataset's name as its authors write it."""
    return "FERV39k" if name == "ferv39k" else name.upper()


def _title(table: str) -> str:
    """ "Table 1" for table1."""
    return f"Table {table.removeprefix('table')}"


def find_tables(given: Sequence[str]) -> list[str]:
    """The names of the tables given, case-insensitive, without repetition. Raises InputError."""
    known = {name.casefold(): name for name in paper().tables}
    for name in given:
        if name.casefold() not in known:
            raise unknown("table", name, paper().tables)
    return list(dict.fromkeys(known[name.casefold()] for name in given))


def find_rows(tables: Sequence[str], selected: Sequence[str]) -> dict[str, list[tuple[int, Row]]]:
    """The selected rows of each table, by case-insensitive name or by number ("2", "1-3,5"), or all.

    A name or number selects that row in every table that has it. Raises InputError if none has.
    """
    numbered = {name: paper().tables[name].numbered() for name in tables}
    if not selected:
        return numbered
    chosen: set[tuple[str, int]] = set()
    for each in selected:
        found = {
            (table, number)
            for table, rows in numbered.items()
            for number, row in rows
            if row.name.casefold() == each.strip().casefold() or number in _numbers(each)
        }
        missing = _numbers(each) - {number for _, number in found}
        if not found or missing:
            names = [row.name for rows in numbered.values() for _, row in rows]
            raise unknown("row", each, dict.fromkeys(names), where=f" in {', '.join(tables)}")
        chosen |= found
    return {
        table: [(number, row) for number, row in rows if (table, number) in chosen]
        for table, rows in numbered.items()
    }


def _numbers(text: str) -> set[int]:
    """ "1-3,5" as a set; empty for anything else, such as a name."""
    if not re.fullmatch(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*", text.strip()):
        return set()
    spans = [part.partition("-") for part in text.strip().split(",")]
    return {number for first, _, last in spans for number in range(int(first), int(last or first) + 1)} or {
        MOST_ROWS
    }


def published_figures(files: Sequence[Path]) -> Figures:
    """The shipped figures, replaced by those of `files`; later files take precedence.

    A file has `published:` like tables.yaml, and optional `sources:`. Raises InputError for an unknown table
    or row, and for an invalid figure.
    """
    merged = paper().figures()
    for path in files:
        own = _read(path)
        for table, rows in _sourced(own.published, own.sources).items():
            try:
                (home,) = find_tables([table])
                for name, by_dataset in rows.items():
                    ((_, row),) = find_rows([home], [name])[home]
                    figures = merged.setdefault(home, {}).setdefault(row.name, {})
                    figures |= {dataset.casefold(): each for dataset, each in by_dataset.items()}
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
    return merged


def _read(path: Path) -> _OwnFigures:
    shape = "it has the key `published:` (table: row: dataset: {uar: 59.6, war: 71.3, source: ...})"
    try:
        return _OwnFigures.model_validate(read_yaml(path, shape))
    except FileNotFoundError:
        raise InputError(f"no file {path} of published figures") from None
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}\n{shape[0].upper()}{shape[1:]}") from None


def _sourced(figures: Figures, sources: Mapping[str, str]) -> Figures:
    """The figures with each source in full if `sources` has it."""
    return {
        table: {
            row: {
                dataset: each.model_copy(update={"source": sources.get(each.source, each.source)})
                for dataset, each in by_dataset.items()
            }
            for row, by_dataset in rows.items()
        }
        for table, rows in figures.items()
    }
