"""Tables with one row per descriptor, as in `descriptors.jsonl`: CSV, YAML and parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...description_set import MOST, Count, DescriptionSet, Descriptor
from ...errors import InputError
from ...yaml_files import first_problem, parse_yaml
from .file_content import LARGEST, Content, Members, decoded, one_line, ranked
from .sentence_lists import class_lists, ordered

COLUMNS = ("class_name", "label", "member", "rank", "descriptor", "support", "samples", "wordings")
_DERIVED = ("normal_form",)  # columns that are computed from the descriptor
_MOST_ROWS = 200_000
_FORMULA = ("=", "+", "-", "@")


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    class_name: str
    descriptor: str
    label: Count | None = None
    member: Count | None = None
    rank: int | None = Field(None, ge=1, le=MOST)
    support: Count = 1
    samples: Count = 1
    wordings: tuple[str, ...] = ()


def rows(descriptions: DescriptionSet) -> list[dict[str, Any]]:
    """The set as rows, one per descriptor, ordered by label, member and rank."""
    return [
        {
            "class_name": name,
            "label": label,
            "member": number,
            "rank": each.rank,
            "descriptor": each.text,
            "support": each.support,
            "samples": each.samples,
            "wordings": list(each.wordings),
        }
        for label, (name, members) in enumerate(ordered(descriptions))
        for number, member in enumerate(members)
        for each in member
    ]


def write_csv(descriptions: DescriptionSet) -> bytes:
    """The rows without wordings, comma-separated with a header."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS[:-1], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(descriptions))
    return stream.getvalue().encode("utf-8")


def write_yaml(descriptions: DescriptionSet) -> bytes:
    """A list of rows, each a mapping."""
    return yaml.dump(
        rows(descriptions),
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        sort_keys=False,
        allow_unicode=True,
        encoding="utf-8",
        width=1000,
    )


def write_parquet(descriptions: DescriptionSet) -> bytes:
    """The rows as a table."""
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows(descriptions), schema=_schema())
    parquet.write_table(table, stream, write_page_checksum=True)
    return stream.getvalue()


def formulas(descriptions: DescriptionSet) -> int:
    """The number of descriptors and class names that a spreadsheet would read as formulas."""
    texts = {each[column] for each in rows(descriptions) for column in ("class_name", "descriptor")}
    return sum(text.startswith(_FORMULA) for text in texts)


def read_csv(data: bytes, where: str) -> Content:
    """Rows with a header, separated by commas, semicolons or tabs. Raises InputError with the line."""
    text = decoded(data, where)
    header = text.splitlines()[0]
    delimiter = max(",;\t", key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [each.strip() for each in next(lines)]
        notes = _checked_columns(columns, where)
        read = []
        for cells in lines:
            place = f"{where}, line {lines.line_num}"
            if not cells:
                continue
            if len(cells) != len(columns):
                raise InputError(f"{place} has {len(cells)} cells under {len(columns)} columns")
            read.append(
                (place, {name: cell for name, cell in zip(columns, cells, strict=True) if cell.strip()})
            )
    except csv.Error as error:
        raise InputError(f"{where}, line {lines.line_num} is not valid CSV: {error}") from error
    if "wordings" in columns:
        notes.append("the column wordings is ignored: a CSV cell cannot store a list")
    return Content(_members([_row(row, place, skip="wordings") for place, row in read], where), notes)


def read_yaml(data: bytes, where: str) -> Content:
    """A list of rows, or a mapping of classes to lists of descriptors. Raises InputError."""
    text = decoded(data, where)
    value = parse_yaml(text, where)
    if not isinstance(value, list):
        return Content({name: [ranked(texts)] for name, texts in class_lists(value, where).items()})
    if not all(isinstance(each, dict) for each in value):
        raise InputError(
            f"{where}: each item of the list must be a row, {{class_name: ..., descriptor: ...}}"
        )
    columns = [str(name) for name in dict.fromkeys(name for each in value for name in each)]
    notes = _checked_columns(columns, where)
    read = [_row(each, f"{where}, item {number}") for number, each in enumerate(value, start=1)]
    return Content(_members(read, where), notes)


def read_parquet(data: bytes, where: str) -> Content:
    """The rows of a table; its size is checked before any row is read. Raises InputError."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data), page_checksum_verification=True)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if file.metadata.num_rows > _MOST_ROWS or size > 4 * LARGEST:
            raise InputError(
                f"{where} has {file.metadata.num_rows} rows, {size / 2**20:.0f} MiB; "
                f"the limits are {_MOST_ROWS} rows and {4 * LARGEST / 2**20:.0f} MiB"
            )
        notes = _checked_columns(file.schema_arrow.names, where)
        known = [name for name in file.schema_arrow.names if name in COLUMNS]
        read = file.read(columns=known).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{where} is not a parquet file, or damaged: {str(error).splitlines()[0]}"
        ) from error
    given = [{name: value for name, value in each.items() if value is not None} for each in read]
    made = [_row(each, f"{where}, row {number}") for number, each in enumerate(given, start=1)]
    return Content(_members(made, where), notes)


def _row(value: dict[Any, Any], where: str, skip: str = "") -> _Row:
    try:
        row = _Row.model_validate({name: each for name, each in value.items() if name != skip})
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error)}") from error
    texts = {"class_name": row.class_name, "descriptor": row.descriptor}
    cleaned = {name: one_line(text, f"{where}: the {name}") for name, text in texts.items()}
    wordings = tuple(one_line(text, f"{where}: a wording") for text in row.wordings)
    return row.model_copy(update={**cleaned, "wordings": wordings})


def _checked_columns(columns: Sequence[str], where: str) -> list[str]:
    for name in ("class_name", "descriptor"):
        if list(columns).count(name) != 1:
            found = ", ".join(map(repr, columns[:10])) or "none"
            raise InputError(
                f"{where} has {'two columns' if name in columns else 'no column'} {name}; it has {found}\n"
                f"The columns are {', '.join(COLUMNS)}; class_name and descriptor are required"
            )
    strange = [name for name in dict.fromkeys(columns) if name not in (*COLUMNS, *_DERIVED)]
    return [f"ignored columns: {', '.join(map(repr, strange))}"] if strange else []


def _members(read: Sequence[_Row], where: str) -> dict[str, Members]:
    """The members of each class, ordered by label if there are labels, else by first row."""
    if not read:
        raise InputError(f"{where} has no rows")
    for column in ("label", "member", "rank"):
        if len({getattr(row, column) is None for row in read}) > 1:
            raise InputError(f"{where} has a {column} in some rows but not in others")
    by_class: dict[str, list[_Row]] = {}
    for row in read:
        by_class.setdefault(row.class_name, []).append(row)
    labels = {name: {row.label for row in listed} for name, listed in by_class.items()}
    for name, found in labels.items():
        if len(found) > 1:
            raise InputError(
                f"{where}: the class {name!r} has more than one label: {sorted(map(str, found))}"
            )
    numbers = [next(iter(found)) for found in labels.values()]
    if numbers[0] is not None and len(set(numbers)) < len(numbers):
        raise InputError(f"{where}: two classes have the same label")
    names = sorted(by_class, key=lambda name: next(iter(labels[name])) or 0)
    return {name: _ordered_members(by_class[name], f"{where}: the class {name!r}") for name in names}


def _ordered_members(listed: Sequence[_Row], where: str) -> Members:
    members: dict[int, list[_Row]] = {}
    for row in listed:
        members.setdefault(row.member or 0, []).append(row)
    if sorted(members) != list(range(len(members))):
        raise InputError(f"{where} has the members {_numbers(members)}; they must count from 0 without gaps")
    made = []
    for number in range(len(members)):
        ranks = [row.rank or place for place, row in enumerate(members[number], start=1)]
        if sorted(ranks) != list(range(1, len(ranks) + 1)):
            raise InputError(f"{where} has the ranks {_numbers(ranks)}; they must count from 1 without gaps")
        in_order = sorted(zip(ranks, members[number], strict=True), key=lambda pair: pair[0])
        made.append([_descriptor(row, rank) for rank, row in in_order])
    return made


def _descriptor(row: _Row, rank: int) -> Descriptor:
    return Descriptor(row.descriptor, rank, row.support, row.samples, row.wordings)


def _numbers(found: Iterable[int]) -> str:
    listed = sorted(found)
    return ", ".join(map(str, listed[:12])) + (", ..." if len(listed) > 12 else "")


def _schema() -> Any:
    import pyarrow

    kinds = dict.fromkeys(COLUMNS, pyarrow.int32())
    kinds |= {"class_name": pyarrow.string(), "descriptor": pyarrow.string()}
    return pyarrow.schema(kinds | {"wordings": pyarrow.list_(pyarrow.string())})
