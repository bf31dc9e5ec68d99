"""`report` on the command line: content of the page, formats and errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_prompts import InputError, Workspace, report
from dfer_prompts.api.report.set_texts import parts
from dfer_prompts.classes import load_class_set

from ..stored_comparisons import store
from ..stored_reproductions import store_reproduction
from .report_files import Page

FOUR = [f"control:{name}" for name in ("class-name", "random-words", "scrambled", "swapped")]
HOSTILE = ("<script>alert(1)</script>", 'a "$x_1$" & 50% #', "悲しみ|*fear*")


def test_a_page_is_below_2_mib_and_self_contained(isolated: Path) -> None:
    store(
        isolated, [f"v{number}@4" for number in range(1, 11)], ["control:swapped"],
        folds=(1, 2), seeds=range(1, 4), clips=1, epochs=50,
    )  # fmt: skip
    made = report()
    assert made.path.stat().st_size < 2 * 2**20
    page = Page(made.path)
    assert not {"script", "link", "img", "iframe", "object"} & {name for name, _ in page.tags}
    outward = [
        value
        for _, attributes in page.tags
        for key, value in attributes.items()
        if key in ("href", "src", "xlink:href") and not str(value).startswith("#")
    ]
    assert outward == []
    assert "url(http" not in made.path.read_text(encoding="utf-8")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    text = made.path.read_text(encoding="utf-8")
    referred = {*re.findall(r'href="#([^"]+)"', text), *re.findall(r"url\(#([^)]+)\)", text)}
    assert referred <= set(ids)
    assert (
        len(page.named("svg")) == 2 + 2 * 2 + 1
    )  # figures, differences from the first and a control, losses
    assert all(each.get("role") == "img" and each.get("aria-label") for each in page.named("svg"))
    assert all(each.get("scope") in ("row", "col") for each in page.named("th"))
    assert len(page.named("table")) == len(page.named("caption"))


def test_sections_of_the_page_in_order(isolated: Path) -> None:
    folder = store(isolated, ["v1@2", "v1@4"], ["control:swapped"])
    page = Page(report(folder).path)
    headings = [
        "Verdict", "Figures", "Paired differences", "Fold by fold", "Recall of each class",
        "Confusion matrices", "Learning curves", "Text diagnostics", "Between the sets",
        "The texts, word for word", "How to repeat it",
    ]  # fmt: skip
    contents = [each for each in page.text if each in headings]
    assert contents == headings * 2  # once in the contents, once above the section
    stored = json.loads((folder / "comparison.json").read_text())
    for sentence in [*stored["verdicts"], *stored["caveats"]]:
        assert sentence in page.text
    first = stored["sets"][0]["trained_uar"]
    assert f"{first['mean']:.1f} ± {first['std']:.1f}" in page.text
    assert f"{first['low']:.1f} to {first['high']:.1f}" in page.text


def test_recalls_and_confusions_equal_those_of_the_runs(isolated: Path) -> None:
    folder = store(isolated, ["one", "two"], folds=(1,), class_names=("glad", "sad"))
    runs = json.loads((folder / "comparison.json").read_text())["runs"]
    # Seed by seed, and within a seed set by set: the first set has the first run and the third.
    for run, confusion in ((runs[0], [[3, 1], [0, 4]]), (runs[2], [[4, 0], [2, 2]])):
        path = isolated / "runs" / run / "result.json"
        result = json.loads(path.read_text())
        result["measures"]["last"]["confusion"] = confusion
        path.write_text(json.dumps(result))
    text = report(folder, out="report.md").path.read_text(encoding="utf-8")
    by_class = text.split("## Recall of each class")[1]
    trained = by_class[by_class.index("percent, trained") :]
    # UAR and WAR are 87.5 and 75 by seed: 81.25 and 12.5 over the root of 2.
    # Recalls are 75 and 100, and 100 and 50; the deviations of two are 25 and 50 over the root of 2.
    assert re.search(
        r"^\| one \| 81.2 \(±8.8\) \| 81.2 \(±8.8\) \| 88 \(±18\) \| 75 \(±35\) \|$", trained, re.MULTILINE
    )
    matrix = by_class[by_class.index("**one, trained**") :]
    assert re.search(r"^\| glad \| 88 \| 12 \|\n\| sad \| 25 \| 75 \|$", matrix, re.MULTILINE)


def test_layout_of_many_classes_and_pairs(isolated: Path) -> None:
    classes = [each.name for each in load_class_set("mafw-compound").classes]
    store(isolated, ["one", "two", "three"], folds=(1,), seeds=(1,), clips=1, class_names=classes)
    page = Page(report(out="page.html").path)
    heat = [str(each["class"]) for each in page.named("div") if "heat" in str(each.get("class"))]
    assert len(heat) == 2 + 2 * 3
    assert all("many" in each and "piece" not in each for each in heat)  # small cells, a row for each
    assert [each for each in page.text if each.endswith(" more")] == ["zero-shot: 1 more", "trained: 1 more"]
    text = Path("page.html").read_text(encoding="utf-8")
    assert "<span>fear_surprise_anxiety</span>" in text  # a column's name is in one piece, a row's may break
    assert '<th scope="row">fear_<wbr>surprise_<wbr>anxiety</th>' in text
    latex = report(out="page.tex").path.read_text(encoding="utf-8")
    columns = [len(line.split("&")) for line in latex.splitlines() if line.endswith(r"\\")]
    assert max(columns) <= 5
    recalls = latex[latex.index(r"\label{tab:recalls-trained-1}") :]
    head = r"class & \rotatebox{90}{one} & \rotatebox{90}{two} & \rotatebox{90}{three} \\"
    assert recalls.count(head) == 2  # in two parts, for a page has room for 40 rows
    assert recalls.count(r"\\") == 2 + 2 + len(classes)  # UAR and WAR above the classes


def test_long_latex_tables_are_split(isolated: Path) -> None:
    names = [f"v{number}" for number in range(1, 12)]
    store(isolated, names, FOUR, folds=(1,), seeds=(1,), clips=1, class_names=("glad", "sad"), epochs=1)
    latex = report(out="page.tex").path.read_text(encoding="utf-8")
    labels = re.findall(r"\\label{tab:(.+?)}", latex)
    assert labels == [
        "figures", "differences-zero-shot-1", "differences-zero-shot-2", "differences-trained-1",
        "differences-trained-2", "folds-trained", "recalls-zero-shot", "recalls-trained",
    ]  # fmt: skip
    tables = dict(zip(labels, latex.split(r"\begin{table}")[1:], strict=True))
    both = [tables[f"differences-trained-{part}"] for part in (1, 2)]
    # 10 sets against the first, and 11 against each of four controls.
    assert [each.count(" minus ") for each in both] == [27, 27]
    assert [f"(part {part} of 2)" in each for part, each in enumerate(both, 1)] == [True, True]


def test_spread_over_seeds_is_named_only_with_several_seeds(isolated: Path) -> None:
    folder = store(isolated, ["one", "two"], folds=(1, 2), seeds=(1, 2))
    several = report(folder, out="several.md").path.read_text(encoding="utf-8")
    for text in ("trained, in percent, ± over seeds", "below it ± over seeds"):
        assert text in several
    assert "zero-shot, in percent, with 95% intervals" in several  # nothing is trained for it
    page = report(folder).path.read_text(encoding="utf-8")
    assert "training loss, the mean over trainings, ± one standard deviation over seeds." in page
    store(isolated / "alone", ["one", "two"], folds=(2,), seeds=(1,))
    alone = Workspace(isolated / "alone")
    page = report(out="alone.html", workspace=alone).path.read_text(encoding="utf-8")
    assert "trained: training loss." in page
    assert "over seeds" not in page


def test_foreign_text_is_escaped_in_every_format(isolated: Path) -> None:
    texts = {name: [[f"{each} {name}, and brows"] for each in HOSTILE] for name in ("v1", "v<b>$&_2")}
    store(isolated, list(texts), class_names=HOSTILE, texts=texts)
    page = Page(report(out="page.html").path)
    assert not {"script", "b"} & {name for name, _ in page.tags}
    shown = " ".join(page.text)
    for name in HOSTILE:
        assert name in shown
    assert "v<b>$&_2" in shown
    markdown = report(out="page.md").path.read_text(encoding="utf-8")
    assert "<script>" not in markdown
    assert r"悲しみ\|\*fear\*" in markdown
    latex = report(out="page.tex").path.read_text(encoding="utf-8")
    assert r"a {\char34}\$x\_1\${\char34} \& 50\% \#" in latex
    assert r"\textless{}script\textgreater{}alert(1)" in latex
    assert r"v\textless{}b\textgreater{}\$\&\_2" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == latex.count(r"\begin{table}") == 6
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert all("悲しみ" in row or row.isascii() for row in rows)


def test_a_report_trains_nothing_and_imports_no_torch(isolated: Path) -> None:
    store(isolated, ["v1@2", "v1@4"], folds=(1,), seeds=(1,))
    reproduction = store_reproduction(isolated).name
    before = sorted(path for path in isolated.rglob("*") if path.is_file())
    program = (
        "import sys; from dfer_prompts import report; report(out='r.html'); "
        f"report('{reproduction}', out='r2.html'); print('torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=isolated
    )
    assert ended.stdout == "False\n"
    assert sorted(path for path in isolated.rglob("*") if path.is_file()) == sorted(
        [*before, isolated / "r.html", isolated / "r2.html"]
    )


def test_a_comparison_is_found_by_id_prefix_file_or_folder(isolated: Path) -> None:
    older = store(isolated, ["v1@2", "v1@4"], folds=(1,), seeds=(1,), name="abcdef000000")
    newer = store(isolated / "other", ["v1@2", "v1@4"], folds=(1,), seeds=(1,), name="abcd11111111")
    newer = newer.rename(isolated / "comparisons" / newer.name)
    assert report(out="a.md").of == newer
    assert report("abcdef", out="a.md").of == older
    assert report(older / "comparison.json", out="a.md").of == older
    assert report(Path("comparisons") / older.name, out="a.md").of.resolve() == older
    with pytest.raises(InputError, match="did you mean abcdef000000"):
        report("abcdfe00000")
    with pytest.raises(InputError, match="'abcd' matches 2 ids: abcd11111111, abcdef000000"):
        report("abcd")


def test_errors_of_report(
    isolated: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command("report", status=2)
    assert "no comparison in" in capsys.readouterr().err
    folder = store(isolated, ["v1@2", "v1@4"], folds=(1,), seeds=(1,))
    command("report", "--out", "page.pdf", status=2)
    assert "Use a name that ends in .html, .htm, .md, .tex, .csv" in capsys.readouterr().err
    command("report", "--format", "markdwon", status=2)
    assert "did you mean markdown?" in capsys.readouterr().err
    record = folder / "comparison.json"
    stored = json.loads(record.read_text())
    record.write_text(json.dumps({**stored, "sets": [{"name": "v1"}]}))
    command("report", status=2)
    assert "is damaged (KeyError: 'uar')" in capsys.readouterr().err
    record.write_text(json.dumps({key: value for key, value in stored.items() if key != "pairs"}))
    command("report", status=2)
    assert "does not hold pairs" in capsys.readouterr().err
    record.write_text("{")
    command("report", status=2)
    assert "is damaged" in capsys.readouterr().err
    begun = Path("runs") / "begun"
    begun.mkdir()
    (begun / "config.yaml").write_text("fold: 1\n")
    command("report", "begun", status=2)
    assert "is not finished" in capsys.readouterr().err


def test_a_report_without_its_runs_names_what_is_missing(isolated: Path) -> None:
    folder = store(isolated, ["v1@2", "v1@4"], folds=(1,), seeds=(1,))
    (isolated / "runs").rename(isolated / "elsewhere")
    text = report(folder, out="r.md", workspace=Workspace(isolated)).path.read_text()
    assert "trained: confusion matrices are not stored here" in text
    assert "The runs no longer exist" in text


def test_the_summary_counts_sets_better_than_every_control(isolated: Path) -> None:
    folder = store(isolated, ["v1", "v2", "v3"], ["control:swapped"], folds=(1,), seeds=(1,))
    stored = json.loads((folder / "comparison.json").read_text())
    verdicts = {
        ("v1", "control:swapped"): "better",
        ("v3", "control:swapped"): "worse",
        ("v2", "v1"): "worse",
    }
    for pair in stored["pairs"]:
        pair["verdict"] = verdicts.get((pair["first"], pair["second"]), "indistinguishable")
    (folder / "comparison.json").write_text(json.dumps(stored))
    shown = Page(report().path).text
    assert "zero-shot: better than every control: v1; of the other 2 that is not shown." in shown
    assert "zero-shot: worse than v1: v2; indistinguishable from v1: v3." in shown


def test_texts_are_compared_by_descriptor(isolated: Path) -> None:
    assert parts("a smile, raised cheeks, and bright eyes.") == ["a smile", "raised cheeks", "bright eyes"]
    assert parts("tears; wide, staring eyes; and pale skin.") == ["tears", "wide, staring eyes", "pale skin"]
    assert parts("tears and a frown.") == ["tears", "a frown"]
    assert parts("happiness") == ["happiness"]
    texts = {
        "v1": [["a smile and bright eyes."], ["tears."]],
        "v2": [["a smile and raised cheeks."], ["tears."]],
    }
    store(isolated, ["v1", "v2"], folds=(1,), seeds=(1,), class_names=("glad", "sad"), texts=texts)
    text = report(out="r.md").path.read_text()
    changes = text[text.index("## Between the sets") : text.index("## The texts, word for word")]
    assert "1 added, 1 removed in 1 of 2 classes" in changes
    assert "| glad | bright eyes |  |" in changes
    assert "| glad |  | raised cheeks |" in changes
