"""Results by group of clips and top-2 accuracy, in `report` and `evaluate`, against values by hand."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.metrics import accuracy_score, recall_score

from dfer_model.data.annotations import read_frame_lists, read_label_file
from dfer_model.evaluation.groups import Groups
from dfer_prompts import InputError, report

from ..stored_comparisons import store
from ..stored_runs import NAMES, store_run, without_top2
from .conftest import run
from .report_files import csv_rows, table_rows
from .test_train import Terminal

__all__ = ["run"]  # a fixture

HAPPY, SAD, FEAR = NAMES
FORMATS = ("html", "md", "tex", "csv")
HEAD = "clip_id,actor\n"
CLIPS = {  # true class, first and second choice
    "Action/Happy/0001": (HAPPY, HAPPY, SAD),
    "Action/Happy/0002": (HAPPY, HAPPY, SAD),
    "Action/Sad/0001": (SAD, SAD, FEAR),
    "Action/Sad/0002": (SAD, FEAR, SAD),
    "Crime/Happy/0001": (HAPPY, SAD, FEAR),
    "Crime/Fear/0001": (FEAR, FEAR, SAD),
    "Crime/Fear/0002": (FEAR, FEAR, SAD),
    "War/Fear/0001": (FEAR, SAD, FEAR),
    "War/Fear/0002": (FEAR, HAPPY, SAD),
}
ACTORS = "clip_id,actor,age\n" + "".join(f"{clip},{'ab'[n % 2]},{n}\n" for n, clip in enumerate(CLIPS))


@pytest.fixture
def stored(isolated: Path) -> Path:
    """The folder of a run with the predictions of CLIPS."""
    return store_run(isolated / "runs" / "one", CLIPS)


def by_scene(text: str) -> dict[str, list[str]]:
    """The rows of the table by scene in a Markdown report of one run."""
    return {row[1]: row[2:] for row in table_rows(text, "**UAR and WAR by scene")[1:]}


def test_groups_of_a_run(stored: Path) -> None:
    text = report(stored, out="r.md", groups="scene").path.read_text()
    found = by_scene(text)
    assert list(found) == ["Action", "Crime", "War"]
    # Action: recalls of 100 and 50; Crime: 0 and 100; War has clips of one class.
    assert [row[:2] for row in found.values()] == [["4", "2"], ["3", "2"], ["2", "1"]]
    assert [row[2].split(" ")[0] for row in found.values()] == ["75.00", "50.00", "0.00"]
    assert [row[3].split(" ")[0] for row in found.values()] == ["75.00", "66.67", "0.00"]
    assert found["War"][2] == "0.00"  # every resample of its clips is the same, so there is no interval
    assert re.fullmatch(r"75\.00 \(\d+\.\d\d to 100\.00\)", found["Action"][2])
    (worst,) = table_rows(text, "**Worst-group UAR by scene")[1:]
    # All clips: recalls of 2 of 3, 1 of 2, and 2 of 4.
    assert worst[0] == "last"
    assert worst[1].startswith("55.56 (")
    assert worst[2].startswith("50.00 (")
    assert worst[3:] == ["Crime", "3"]


def test_the_interval_is_the_bootstrap_within_classes(isolated: Path) -> None:
    rng = np.random.default_rng(0)
    clips = {
        f"War/{name}/{n}": (name, name if rng.random() < 0.7 else FEAR, SAD)
        for name in (HAPPY, SAD)
        for n in range(40)
    }
    store_run(isolated / "runs" / "one", clips)
    (found,) = report("one", out="r.md", groups="scene").groups
    (war,) = found.grouped.groups
    hits = {
        name: [first == true for true, first, _ in clips.values() if true == name] for name in (HAPPY, SAD)
    }
    # The variance of a mean of n draws is p (1 - p) / (n - 1) without bias; the UAR is half of each recall.
    variance = sum(np.var(each, ddof=1) / len(each) for each in hits.values()) / 4
    assert war.uar.low == pytest.approx(war.uar.mean - 196 * variance**0.5, abs=1)
    assert war.uar.high == pytest.approx(war.uar.mean + 196 * variance**0.5, abs=1)


def test_report_json_and_every_format_have_the_groups(run: Terminal, stored: Path) -> None:
    found = json.loads(run("report", "one", "--groups", "scene", "--json")[0])["groups"]
    assert [(each["measure"], each["set"], each["by"]) for each in found] == [
        ("by epoch selection", "last", "scene")
    ]
    assert (found[0]["worst_group"], found[0]["worst_group_uar"]) == ("Crime", 50.0)
    crime = found[0]["groups"][1]
    assert (crime["group"], crime["clips"], crime["classes"]) == ("Crime", 3, 2)
    assert {name: each["mean"] for name, each in crime["recalls"].items()} == {HAPPY: 0, FEAR: 100}
    page = (stored / "report.html").read_text()
    assert "Results by scene" in page
    assert "Worst-group UAR by scene in percent" in page
    run("report", "one", "--groups", "scene", "--out", "r.tex")
    latex = Path("r.tex").read_text()
    assert r"\label{tab:worst-group-by-epoch-selection}" in latex
    assert re.search(r"last & Crime & 3 & 2 & 50\.00", latex)
    assert json.loads(run("report", "one", "--json")[0])["groups"] == []
    assert "scene" not in (stored / "report.html").read_text()


def test_csv_has_rows_for_groups_and_the_worst_one(stored: Path) -> None:
    found = csv_rows(report(stored, out="r.csv", groups="scene").path)
    assert [(each["fold"], each["group"], each["clips"]) for each in found] == [
        ("1", "", ""),
        ("pooled", "Action", "4"), ("pooled", "Crime", "3"), ("pooled", "War", "2"),
        ("worst group", "Crime", "3"),
    ]  # fmt: skip
    assert [each["UAR"] for each in found] == ["55.56", "75.00", "50.00", "0.00", "50.00"]
    assert [each["recall fear"] for each in found] == ["50.00", "", "100.00", "0.00", "100.00"]
    assert found[0]["top-2 accuracy"] == "77.78"  # 7 of 9
    plain = csv_rows(report(stored, out="plain.csv").path)
    assert plain[0].keys() == found[0].keys() - {"group", "clips"}


def test_groups_from_a_column(stored: Path) -> None:
    Path("actors.csv").write_text(ACTORS)
    grouped = report(stored, out="r.md", groups="actors.csv:actor").groups[0].grouped
    for each in grouped.groups:
        mine = list(CLIPS.values())["ab".index(each.group) :: 2]
        true, first = [true for true, *_ in mine], [first for _, first, _ in mine]
        recalls = recall_score(true, first, labels=sorted({*true}), average=None)
        assert each.clips == len(mine)
        assert each.uar.mean == pytest.approx(100 * recalls.mean())
        assert each.war.mean == pytest.approx(100 * accuracy_score(true, first))
    ages = report(stored, out="r.md", groups="actors.csv:age").groups[0].grouped
    assert [each.group for each in ages.groups] == [str(n) for n in range(9)]
    assert ages.worst is None  # every group has one clip
    assert "none has two classes" in Path("r.md").read_text()


def test_files_of_spreadsheets_are_read(isolated: Path) -> None:
    clips = {f"{n:05d}": (HAPPY, HAPPY, SAD) for n in range(1, 4)}
    store_run(isolated / "runs" / "one", clips)
    # A byte order mark, semicolons, numbers without their zeros, a blank row, an empty cell, spare cells.
    Path("a.csv").write_bytes("\ufeffclip_id;Géschlecht\r\n1;w\r\n2.0;\r\n;\r\n00003;w;;\r\n9;x\r\n".encode())
    grouped = report("one", out="r.md", groups="a.csv").groups[0].grouped
    assert grouped.by == "Géschlecht"
    assert [(each.group, each.clips) for each in grouped.groups] == [("(no value)", 1), ("w", 2)]


def test_names_of_groups_stay_text_in_every_format(stored: Path) -> None:
    names = ["<b>x</b>", "=1+1", "a|b_$", '"two\nlines"']
    lines = [f"{clip},{names[n % 4]}\n" for n, clip in enumerate(CLIPS)]
    Path("a.csv").write_text(HEAD + "".join(lines))
    text = {end: report(stored, out=f"r.{end}", groups="a.csv").path.read_text() for end in FORMATS}
    assert "<b>x</b>" not in text["html"]
    assert "&lt;b&gt;x&lt;/b&gt;" in text["html"]
    assert r"| a\|b\_\$ | 2 |" in text["md"]
    assert r"a\textbar{}b\_\$ & 2 &" in text["tex"]
    assert ",'=1+1," in text["csv"]
    assert all("two lines" in each for each in text.values())


def test_too_many_groups_are_refused(isolated: Path) -> None:
    store_run(isolated / "runs" / "one", {f"clip{n}": (HAPPY, HAPPY, SAD) for n in range(501)})
    Path("a.csv").write_text("clip_id,file\n" + "".join(f"clip{n},{n}.mp4\n" for n in range(501)))
    with pytest.raises(InputError, match=r"--groups a.csv:file has 501 values for 501 clips\nChoose"):
        report("one", groups="a.csv")


PART = "".join(f"{clip},a\n" for clip in list(CLIPS)[3:])


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        (ACTORS, "a.csv:actr", "no column 'actr' in a.csv; did you mean actor?\nThere are: actor, age"),
        (ACTORS, "a.csv:", "no column '' in a.csv\nThere are: actor, age"),
        (ACTORS, "a.csv", "a.csv has several columns: actor, age\nName one of them: --groups a.csv:actor"),
        (HEAD + PART, "a.csv", "a.csv lacks 3 of 9 test clips: Action/Happy/0001, Action/Happy/0002, Action"),
        ("id,actor\n1,a\n", "a.csv", "a.csv has no column clip_id; its columns are id, actor"),
        ("clip_id\n1\n", "a.csv", "a.csv has no column besides clip_id"),
        ("", "a.csv", "a.csv is empty"),
        (HEAD, "a.csv", "a.csv has no rows below its header"),
        (HEAD + "x,a\nx,b\n", "a.csv", "row 3: clip x has actor 'b', but 'a' in row 2"),
        (HEAD + "01,a\n1,b\n", "a.csv", "row 3: clip 1 has actor 'b', but 'a' in row 2"),
        (HEAD + "x\n", "a.csv", "a.csv, row 2: expected a clip_id and a value of actor"),
        ("clip_id,a,a\nx,1,2\n", "a.csv:a", "a.csv has two columns a"),
        ("clip_id,Gr\xf6\xdfe\n".encode("latin-1"), "a.csv", "a.csv is not a text file in UTF-8"),
        (HEAD + "x," + "y" * 200_000, "a.csv", "a.csv is not a CSV file: field larger"),
        (HEAD, "b.csv:actor", "--groups b.csv:actor: there is no such file\nGive --groups scene"),
        (HEAD, "scenes", "--groups scenes: there is no such file"),
    ],
)  # fmt: skip
def test_wrong_groups_are_refused(
    content: str | bytes, given: str, message: str, run: Terminal, stored: Path
) -> None:
    Path("a.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    _, err = run("report", "one", "--groups", given, status=2)
    assert message in err
    assert len(err.strip().splitlines()) <= 2
    assert not (stored / "report.html").exists()


def test_scenes_are_those_of_ferv39k(isolated: Path, test_data: Path) -> None:
    store_run(isolated / "runs" / "one", {"mine/0001": (HAPPY, HAPPY, SAD), "a/b/1": (HAPPY, HAPPY, SAD)})
    with pytest.raises(InputError, match="2 of 2 clips have no scene in their id: mine/0001, a/b/1\n"):
        report("one", groups="scene")
    (clips,) = read_frame_lists([read_label_file(test_data / "annotations/frame_lists/FERV39K_test.txt", 3)])
    found = Groups.read("scene").of([each.clip_id for each in clips])
    assert len({*found}) == 22  # the scenes of FERV39k (Wang et al., CVPR 2022)
    assert (found.count("Action"), found.count("War"), len(found)) == (164, 493, len(clips))
    assert Groups.read("scene").of(["/data/2_ClipsforFaceCrop/War/Sad/0001"]) == ["War"]


def compared(isolated: Path, folds: int = 2) -> tuple[Path, dict[tuple[str, int, int], Any]]:
    """A comparison of two sets, folds and seeds whose runs store predictions, and these."""
    rng = np.random.default_rng(1)
    of_folds = range(1, folds + 1)
    folder = store(isolated, ["v1", "v2"], folds=of_folds, seeds=(1, 2), class_names=NAMES)
    runs = iter(json.loads((folder / "comparison.json").read_text())["runs"])
    found = {}
    for fold in of_folds:
        ids = [
            f"{scene}/{n % 3}/{fold}{n}" for n, scene in enumerate(["War"] * 12 + ["Crime"] * 9 * (3 - fold))
        ]
        for seed in (1, 2):
            for name in ("v1", "v2"):
                order = rng.permutation(len(ids))  # the order of rows is not part of the result
                choices = [rng.permutation(NAMES) for _ in ids]
                clips = {ids[n]: (NAMES[n % 3], *map(str, choices[n][:2])) for n in order}
                store_run(isolated / "runs" / next(runs), clips, fold=fold, seed=seed)
                found[name, fold, seed] = clips
    Path("scenes.csv").write_text(
        "clip_id,place\n"
        + "".join(f"{clip},{clip.split('/')[0]}\n" for clips in found.values() for clip in clips)
    )
    return folder, found


def test_groups_of_a_comparison_are_pooled_over_folds(isolated: Path) -> None:
    folder, predicted = compared(isolated)
    made = report(folder, out="r.md", groups="scenes.csv:place")
    assert [(each.measure, each.name, each.seeds) for each in made.groups] == [
        ("trained", "v1", 2), ("trained", "v2", 2),
    ]  # fmt: skip
    for each in made.groups:
        for group in each.grouped.groups:
            by_seed = []
            for seed in (1, 2):
                mine = [
                    clip
                    for fold in (1, 2)
                    for name, clip in predicted[each.name, fold, seed].items()
                    if name.startswith(group.group)
                ]
                true, first = [clip[0] for clip in mine], [clip[1] for clip in mine]
                by_seed.append(100 * recall_score(true, first, average="macro"))
                assert group.clips == len(mine)
            assert group.uar.mean == pytest.approx(np.mean(by_seed))
            assert group.uar.std == pytest.approx(np.std(by_seed, ddof=1))
        worst = min(each.grouped.groups, key=lambda group: group.uar.mean)
        assert each.grouped.worst == worst
    text = made.path.read_text()
    assert f"dfer-prompts report {folder.name} --groups scenes.csv:place" in text
    assert "zero-shot: no results by group, because this measure stores no predictions." in text
    assert "UAR and WAR by place in percent, trained, ± over seeds, with 95% intervals" in text


def test_few_shot_figures_are_means_over_the_numbers_of_shots(isolated: Path) -> None:
    folder, first = compared(isolated, folds=1)
    stored = json.loads((folder / "comparison.json").read_text().replace('"trained', '"few-shot'))
    for each in stored["sets"]:
        uar, war = each.pop("few-shot_uar"), each.pop("few-shot_war")
        each |= {"few_shot_uar": uar, "few_shot_war": war, "few_shot_curve_uar": {"1": uar, "2": uar}}
    stored["runs"] += [f"{name}-2" for name in stored["runs"]]  # one shot, then two
    (folder / "comparison.json").write_text(json.dumps(stored))
    rng, second = np.random.default_rng(2), {}
    for name, (key, clips) in zip(stored["runs"][4:], first.items(), strict=True):
        second[key] = {
            clip: (true, *map(str, rng.permutation(NAMES)[:2])) for clip, (true, *_) in clips.items()
        }
        store_run(isolated / "runs" / name, second[key], seed=key[2])
    made = report(folder, out="r.md", groups="scenes.csv:place")
    assert [(each.measure, each.name) for each in made.groups] == [("few-shot", "v1"), ("few-shot", "v2")]
    top2 = {
        row[0]: row[1] for row in table_rows(made.path.read_text(), "**Top-2 accuracy in percent, few-shot")
    }
    for each in made.groups:
        runs = [clips[each.name, 1, seed].values() for clips in (first, second) for seed in (1, 2)]
        uars = [recall_score(*list(zip(*clips, strict=True))[:2], average="macro") for clips in runs]
        assert each.grouped.all_clips.uar.mean == pytest.approx(100 * np.mean(uars))
        share = np.mean([[true in both for true, *both in clips] for clips in runs])
        assert top2[each.name].startswith(f"{100 * share:.2f} (")


def test_a_comparison_without_predictions_cannot_be_grouped(run: Terminal, isolated: Path) -> None:
    folder, _ = compared(isolated, folds=1)
    shutil.rmtree(next((isolated / "runs").iterdir()))
    _, err = run("report", folder.name, "--groups", "scenes.csv:place", status=2)
    assert "has no stored predictions to group by place" in err


@pytest.mark.parametrize("recorded", [True, False])
def test_top2_accuracy_by_fold(recorded: bool, isolated: Path) -> None:
    folder, predicted = compared(isolated)
    if not recorded:
        for each in (isolated / "runs").iterdir():
            without_top2(each)
    text = report(folder, out="r.md").path.read_text()
    found = {row[0]: row[1:] for row in table_rows(text, "**Top-2 accuracy in percent, trained, by fold")}
    assert found.pop("set") == ["fold 1", "fold 2", "mean", "pooled"]
    assert list(found) == ["v1", "v2"]
    for name, cells in found.items():
        share = [
            [
                np.mean([true in both for true, *both in predicted[name, fold, seed].values()])
                for seed in (1, 2)
            ]
            for fold in (1, 2)
        ]
        by_fold = 100 * np.array(share)
        values = [*by_fold, by_fold.mean(axis=0), (30 * by_fold[0] + 21 * by_fold[1]) / 51]
        assert cells == [f"{each.mean():.2f} (±{each.std(ddof=1):.2f})" for each in values]
    shown = [each["top-2 accuracy"] for each in csv_rows(report(folder, out="r.csv").path)]
    assert shown[:2] == ["", ""]  # zero-shot
    assert shown[2:6] == [cell.split(" ")[0] for cell in found["v1"]]


def test_runs_of_earlier_versions_have_top2_accuracy(stored: Path) -> None:
    without_top2(stored)
    text = report(stored, out="r.md").path.read_text()
    assert re.search(r"^\| last \| 55\.6 \| 55\.6 \| .* \| 77\.8 \|$", text, re.MULTILINE)
    (stored / "predictions.parquet").unlink()
    text = report(stored, out="r.md").path.read_text()
    assert "top-2" not in text
    assert re.search(r"^\| last \| 55\.6 \| 55\.6 \|", text, re.MULTILINE)


def test_evaluate_prints_groups_and_top2_accuracy(run: Terminal, trained: Path) -> None:
    (name,) = [each.name for each in Path("runs").iterdir()]
    Path("a.csv").write_text(
        "clip_id,place\n" + "".join(f"{c}-{n},{'ab'[n > 1]}\n" for c in NAMES for n in range(4))
    )
    words = ["evaluate", name, "--groups", "a.csv:place", "--out", "p.parquet", "--device", "cpu"]
    output = json.loads(run(*words, "--json")[0])
    table = pandas.read_parquet("p.parquet")
    best = [{*np.argsort(each)[-2:]} for each in table["probabilities"]]
    top2 = np.mean([label in both for label, both in zip(table["label"], best, strict=True)])
    assert output["top2_accuracy"] == pytest.approx(100 * top2)
    by_place = table.groupby(table["clip_id"].str[-1].isin(["2", "3"]).map({False: "a", True: "b"}))
    for group, (place, mine) in zip(output["groups"]["groups"], by_place, strict=True):
        uar = recall_score(mine["class_name"], mine["predicted"], average="macro", labels=NAMES)
        assert (group["group"], group["clips"], group["classes"]) == (place, len(mine), 3)
        assert group["uar"]["mean"] == pytest.approx(100 * uar)
    worst = min(output["groups"]["groups"], key=lambda each: each["uar"]["mean"])
    assert output["groups"]["worst_group"] == worst["group"]
    out, _ = run(*words)
    assert re.search(rf"top-2 accuracy +6 +{100 * top2:.2f}", out)
    assert re.search(rf"^ +b +3 +3 +{output['groups']['groups'][1]['uar']['mean']:.2f}", out, re.MULTILINE)
    assert f"Worst-group UAR: {worst['uar']['mean']:.2f} ({worst['group']}, {worst['clips']} clips)" in out
    _, err = run("evaluate", name, "--groups", "scene", status=2)
    assert "6 of 6 clips have no scene in their id: happiness-0, " in err
