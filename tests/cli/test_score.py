"""`descriptions score`: what it prints, draws and refuses."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfer_model.data.packed import PackedClips
from dfer_prompts import DescriptionStore, Descriptor, Workspace, control_set, load
from dfer_prompts.cli import main
from dfer_prompts.description_set import Seen
from dfer_prompts.provenance import chosen_set

from ..model import tiny


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture
def score(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str, status: int = 0, clip: str | None = None) -> tuple[str, str]:
        command = ["dfer-prompts", "descriptions", "score", *words, "--clip", clip or tiny.register()]
        quick = ["frames=2", "workers=0"] + ([] if clip else ["weights=random"])
        monkeypatch.setattr(sys, "argv", command + [word for each in quick for word in ("--set", each)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == status
        return capsys.readouterr()

    return run


def test_json_holds_what_the_tables_say(score: Any) -> None:
    printed = json.loads(score("v1@2", "v1@4", "--json")[0])
    assert [each["name"] for each in printed["sets"]] == ["v1@2", "v1@4"]
    assert "not accuracy" in printed["note"]
    assert "zero_shot" not in printed
    one = printed["sets"][0]
    row, column = (printed["class_names"].index(one["closest"][side]) for side in ("first", "second"))
    assert one["cosines"][row][column] == pytest.approx(1 - one["margin"])
    assert one["cosines"][row][row] == pytest.approx(1.0, abs=1e-5)
    assert set(one["controls"]) == {
        "control:class-name", "control:template-sentence", "control:random-words",
        "control:random-characters", "control:shared-random", "control:scrambled", "control:swapped",
    }  # fmt: skip
    assert one["nearest_control"] == max(one["controls"], key=one["controls"].get)
    disgust = next(each for each in printed["sets"][1]["classes"] if each["class_name"] == "disgust")
    assert (disgust["descriptors"], disgust["shared"]) == (4, 0.5)  # lowered eyebrows, narrow eyes


def test_a_note_says_that_scores_are_not_accuracies(score: Any) -> None:
    out, _ = score("v1@2", clip="demo")
    assert "v1@2: cosines between classes" in out
    assert "not accuracy" in out
    out, _ = score("--help")
    assert "diagnostics, not accuracy" in " ".join(out.split())


def test_a_control_is_nearest_to_itself(score: Any) -> None:
    of = load("v1@2")
    DescriptionStore(Workspace.find(None)).save(control_set("template-sentence", of), "plain")
    one = json.loads(score("plain", "--json")[0])["sets"][0]
    assert one["controls"]["control:template-sentence"] > 0.99


def test_on_clips_each_way_of_prompting_is_a_row(score: Any, packed: PackedClips) -> None:
    rows = json.loads(score("v1@2", "--dataset", str(packed.path), "--folds", "1", "--json")[0])["zero_shot"][
        "rows"
    ]
    assert [(row["prompts"], row["class_names"], row["ensembling"]) for row in rows] == [
        ("sentence", False, "one prompt"),
        ("sentence", True, "one prompt"),
        ("descriptors", False, "mean of embeddings"),
        ("descriptors", False, "mean of similarities"),
        ("descriptors", True, "mean of embeddings"),
        ("descriptors", True, "mean of similarities"),
    ]
    for row in rows:
        assert 0 <= row["uar"]["low"] <= row["uar"]["value"] <= row["uar"]["high"] <= 100
    out, _ = score("v1@2", "--dataset", str(packed.path))
    assert "Zero-shot, in percent, with 95% intervals" in out
    assert "use compare to test" in out


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_heat_map_is_drawn(score: Any, suffix: str) -> None:
    _, err = score("v1@2", "--figure", f"maps/cosines.{suffix}")
    assert f"Drawn: maps/cosines.{suffix}" in err
    assert Path(f"maps/cosines.{suffix}").stat().st_size > 1000


def test_of_many_near_identical_descriptors_a_few_are_named(score: Any) -> None:
    draft = replace(load("v1@2"), name="")
    same = (Descriptor("narrow eyes", 1), Descriptor("Narrow eyes", 2))
    members = {**draft.members, **dict.fromkeys(draft.class_names[:5], (same,))}
    DescriptionStore(Workspace.find(None)).save(replace(draft, members=members), "same")
    out, _ = score("same")
    assert out.count("say nearly the same") == 3
    assert "- same: 2 more pairs; --json lists them" in " ".join(out.split())


def test_classes_are_those_that_all_sets_describe(score: Any) -> None:
    of = load("v1")
    seen = Seen(dataset="x", fingerprint="y", folds=(1,))
    few = chosen_set(of, {"fear": ["parted lips"], "anger": ["narrow eyes"]}, seen, {})
    DescriptionStore(Workspace.find(None)).save(few, "few")
    assert json.loads(score("v1", "few", "--json")[0])["class_names"] == ["anger", "fear"]


def test_a_set_is_not_scored_on_folds_of_its_provenance(score: Any, packed: PackedClips) -> None:
    of = load("v1")
    seen = Seen(dataset="elsewhere", fingerprint=packed.fingerprint, folds=(2,))
    chosen = chosen_set(of, {name: [of.members[name][0][0].text] for name in of.class_names}, seen, {})
    DescriptionStore(Workspace.find(None)).save(chosen, "chosen")
    out, err = score("chosen", "--dataset", str(packed.path), status=2)
    assert (out, "chosen was chosen with the labels of fold 2" in err) == ("", True)
    score("chosen", "--dataset", str(packed.path), "--folds", "1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["v9"], "no description set 'v9'"),
        (["v1", "--figure", "map.pdf"], "a figure's name must end in .png or .svg"),
        (["v1", "--dataset", "nowhere"], "nowhere"),
        (["v1", "--folds", "1"], "--folds requires --dataset"),
    ],
)
def test_wrong_input_is_an_error(score: Any, words: list[str], message: str) -> None:
    out, err = score(*words, status=2)
    assert (message in err, out) == (True, "")
