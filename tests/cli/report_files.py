"""What tests read in the files of `report`: tags and text, command lines, tables, and CSV rows."""

from __future__ import annotations

import csv
import html
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """Tags with their attributes, and all text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def commands(page: Path) -> list[list[str]]:
    """The command lines printed in a page, split as a shell does."""
    found = re.findall(r"<pre><code>(.*?)</code></pre>", page.read_text(encoding="utf-8"))
    return [shlex.split(html.unescape(each)) for each in found]


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table_rows(text: str, title: str) -> list[list[str]]:
    """The rows of a Markdown table, by the beginning of its title."""
    lines = text[text.index(title) :].splitlines()[2:]
    lines = lines[: lines.index("")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
