"""The LaTeX tables of reports: balanced, escaped, as many cells as columns, and only known commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_prompts import Workspace, report

from ..stored_comparisons import store
from ..stored_reproductions import store_reproduction

SPECIAL = "a_b & 50%"
# Of LaTeX's kernel in the default encoding, and the packages that the file names.
KERNEL = {
    "begin", "end", "centering", "small", "scriptsize", "setlength", "tabcolsep", "caption", "label", "pm",
    "ifdim", "else", "fi", "width", "linewidth", "char", "ldots",
    "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar",
}  # fmt: skip
PACKAGES = {"booktabs": {"toprule", "midrule", "bottomrule"}, "graphicx": {"rotatebox", "resizebox"}}


def comparison(names: list[str], classes: list[str]) -> Callable[[Path], Path]:
    def make(workspace: Path) -> Path:
        return store(
            workspace, names, ["control:swapped"], folds=(1, 2), seeds=(1, 2), clips=2, class_names=classes
        )

    return make


REPORTS: dict[str, Callable[[Path], Path]] = {
    "special names": comparison(
        [SPECIAL, '~^{x}#$"[1]\\<|>', "*starred", "[1] set"], ["gl_ad", "50%", '"&"']
    ),
    "many classes": comparison(["v1@2", "v1@4"], [f"class_{number}" for number in range(43)]),
    "reproduction": store_reproduction,
}


def tables(latex: str) -> list[tuple[str, list[str]]]:
    """The column specification of each tabular, and its rows."""
    found = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", latex, re.DOTALL)
    rules = r"^\s*\\(toprule|midrule|bottomrule)\s*$"
    return [(spec, re.sub(rules, "", body, flags=re.MULTILINE).strip().splitlines()) for spec, body in found]


def depth(text: str) -> int:
    """The number of braces that are still open; fails if one is closed too often."""
    level = 0
    for brace in re.findall(r"(?<!\\)(?:\\\\)*([{}])", text):
        level += 1 if brace == "{" else -1
        assert level >= 0, text
    return level


@pytest.fixture(scope="module", params=REPORTS)
def latex(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(request.param, tmp_path_factory.mktemp("workspace"))


def written(name: str, workspace: Path) -> str:
    """The LaTeX tables of one of REPORTS."""
    folder = REPORTS[name](workspace)
    made = report(folder, out=workspace / "tables.tex", workspace=Workspace(workspace))
    return made.path.read_text(encoding="utf-8")


def without_comments(latex: str) -> str:
    return re.sub(r"(?<!\\)%.*", "", latex)


def test_rows_have_as_many_cells_as_columns_and_braces_are_balanced(latex: str) -> None:
    found = tables(latex)
    assert len(found) == latex.count(r"\begin{tabular}") >= 3
    for spec, rows in found:
        for row in filter(str.strip, rows):
            assert row.endswith(r" \\"), row
            assert len(re.findall(r"(?<!\\)&", row)) + 1 == len(spec), row
            assert depth(row) == 0, row
            assert row.strip()[0] not in "*[", row  # \\ would take it as its argument
    assert depth(without_comments(latex)) == 0
    environments = re.findall(r"\\(begin|end)\{(\w+)\}", latex)
    assert environments == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table"),
    ] * len(found)  # fmt: skip


def test_special_characters_are_escaped_and_commands_are_known(latex: str) -> None:
    code = without_comments(latex)
    named = set(re.findall(r"\\usepackage\{(\w+)\}", latex))
    known = KERNEL.union(*(PACKAGES[name] for name in named))
    assert set(re.findall(r"\\([A-Za-z]+)", code)) <= known
    rest = re.sub(r"\\[&%$#_{}]|\\\\", "", code)
    assert not re.findall(r"[#_~^\"<|]", rest)
    assert rest.count(">") == code.count(r"\ifdim\width>")
    assert all(line.count("$") % 2 == 0 for line in rest.splitlines())


def test_labels_are_plain_and_unique(latex: str) -> None:
    labels = re.findall(r"\\label\{(.*)\}", latex)
    assert len(labels) == len(set(labels)) == latex.count(r"\begin{table}")
    assert all(re.fullmatch(r"tab:[A-Za-z0-9-]+", label) for label in labels)


def test_names_are_their_escaped_texts(tmp_path: Path) -> None:
    rows = [row for _, rows in tables(written("special names", tmp_path)) for row in rows]
    assert any(row.startswith(r"a\_b \& 50\% & ") for row in rows)
    assert any(row.startswith(r"{*}starred & ") for row in rows)
    hard = (
        r"\textasciitilde{}\textasciicircum{}\{x\}\#\${\char34}{[}1{]}\textbackslash{}\textless{}\textbar{}"
    )
    assert any(row.startswith(rf"{hard}\textgreater{{}} & ") for row in rows)


def test_a_page_has_at_most_forty_rows(latex: str) -> None:
    assert max(len(rows) for _, rows in tables(latex)) <= 41  # with the header
    assert ("(part 2 of 2)" in latex) == (r"class\_42" in latex)
