"""The cells of the first sheet of an .xlsx file (Office Open XML, ECMA-376 part 1, section 18.3)."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

from dfer_model.errors import InputError

LARGEST = 256 << 20  # bytes of a part of the file, uncompressed
_PLACE = re.compile(r"([A-Z]{1,3})[0-9]+")
_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sheet_rows(path: Path) -> list[list[str]]:
    """The rows of the first sheet as text, "" for an empty cell. Raises InputError if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            sheets = sorted(name for name in names if re.fullmatch(r"xl/worksheets/sheet[0-9]+\.xml", name))
            strings = _part(archive, "xl/sharedStrings.xml") if "xl/sharedStrings.xml" in names else None
            shared = [] if strings is None else [_text(each) for each in strings.iter(f"{_SPACE}si")]
            rows = _part(archive, min(sheets, key=len)).iter(f"{_SPACE}row")
            return [_cells(row, shared) for row in rows]
    except (OSError, zipfile.BadZipFile, ET.ParseError, ValueError, IndexError) as error:
        raise InputError(f"{path} is not a readable .xlsx file: {error}\nSave it as CSV") from error


def _part(archive: zipfile.ZipFile, name: str) -> ET.Element:
    if archive.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{name} has more than {LARGEST >> 20} MiB")
    return ET.fromstring(archive.read(name))  # noqa: S314 - expat limits the expansion of entities


def _cells(row: ET.Element, shared: list[str]) -> list[str]:
    cells: list[str] = []
    for cell in row.iter(f"{_SPACE}c"):
        place = _PLACE.fullmatch(cell.get("r", ""))
        column = _column(place[1]) if place else len(cells)
        cells += [""] * (column - len(cells))
        value = cell.findtext(f"{_SPACE}v", "")
        kind = cell.get("t")
        cells.append(
            shared[int(value)] if kind == "s" else _text(cell) if kind == "inlineStr" else value.strip()
        )
    return cells


def _column(letters: str) -> int:
    """The position of a column: 0 for A, 26 for AA."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _text(element: ET.Element) -> str:
    return "".join(each.text or "" for each in element.iter(f"{_SPACE}t")).strip()
