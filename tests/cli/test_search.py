"""`descriptions search`: what it keeps and says, and that the fold that judges is never looked at."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_prompts import load, load_class_set
from dfer_prompts.cli import main
from dfer_prompts.provenance import seen_folds

from ..model import tiny


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(command: str, *words: str, status: int = 0, **settings: int) -> tuple[str, str]:
        argv = ["dfer-prompts", *command.split(), *words]
        if command not in ("generate", "evaluate"):
            quick = {"frames": 2, "workers": 0, "weights": "random", **settings}
            argv += ["--clip", tiny.register()]
            argv += [word for key, value in quick.items() for word in ("--set", f"{key}={value}")]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == status
        return capsys.readouterr()

    return run


def search(run: Any, clips: PackedClips, *words: str, **options: Any) -> tuple[str, str]:
    printed: tuple[str, str] = run(
        "descriptions search", "v1", "--dataset", str(clips.path), "--k", "2", *words, **options
    )
    return printed


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=6, folds=3)


def test_the_version_records_the_folds_that_chose_it(run: Any, packed: PackedClips) -> None:
    result = json.loads(search(run, packed, "--folds", "2,3", "--version", "mine", "--json")[0])
    made = load("mine")
    of = load("v1")
    assert made.class_names == ("happiness", "sadness", "fear")
    for name in made.class_names:
        (member,) = made.members[name]
        assert [each.text for each in member] == result["classes"][name]
        assert len(member) == 2
        ranks = [next(d.rank for d in of.members[name][0] if d.text == each.text) for each in member]
        assert ranks == sorted(ranks)
    manifest = made.manifest
    assert manifest.parents == ["v1"]
    assert manifest.parent_sha256 == {"v1": of.sha256}
    assert [(each.dataset, each.fingerprint, each.folds) for each in manifest.seen] == [
        ("tiny", packed.fingerprint, (2, 3))
    ]
    assert seen_folds(made, "other", packed.fingerprint) == (2, 3)
    how = manifest.derivation
    assert (how["command"], how["folds"], how["k"], how["weights"]) == ("search", [2, 3], 2, "random")
    assert how["steps"][0]["move"] == "first"
    assert how["uar_on_the_folds_that_chose"] == result["uar"]["mine"]
    assert result["folds_left_to_judge"] == [1]
    assert result["uar"]["mine"] >= result["uar"]["first 2"]
    assert "tiny" in Path("descriptions/mine/README.md").read_text()


def test_only_the_given_folds_are_read(run: Any, packed: PackedClips, tmp_path: Path) -> None:
    # Fold 1 gets other labels, and frames that no decoder reads.
    poisoned = [
        {**row, "class_name": "fear", "frames": [b"no image"]} if row["fold"] == 1 else row
        for row in tiny.rows(per_class=6, folds=3)
    ]
    other = write_packed(poisoned, tiny.CLASSES, tmp_path / "poisoned", {"dataset": "tiny"})
    first, second = (
        json.loads(search(run, clips, "--folds", "2,3", "--json")[0]) for clips in (packed, other)
    )
    for key in ("classes", "steps", "clips", "sentences"):
        assert first[key] == second[key]
    assert list(first["uar"].values()) == list(second["uar"].values())


def test_derived_sets_are_not_tested_on_these_folds(run: Any, packed: PackedClips) -> None:
    search(run, packed, "--folds", "2", "--version", "mine")
    run("generate", "--source", "control:swapped", "--of", "mine", "--version", "theirs")
    data = ("--dataset", str(packed.path))
    for name in ("mine", "mine@1", "theirs"):
        _, err = run("compare", name, "v1@2", *data, status=2)
        assert f"{name} was chosen with the labels of fold 2 of tiny, so it cannot be tested there" in err
    _, err = run("compare", "v1@2", "mine", *data, "--folds", "1-2", status=2)
    assert "cannot be tested there" in err
    quick = {"epochs": 1, "contexts": 2, "batch_size": 4}
    _, err = run("train", "--descriptions", "mine", *data, "--fold", "2", **quick)
    assert "Note: mine was chosen with the labels of fold 2" in err
    out, err = run("train", "--descriptions", "mine", *data, "--fold", "1", "--json", **quick)
    assert "was chosen" not in err
    trained = json.loads(out)["run"]
    assert json.loads(run("evaluate", trained, "--json")[0])["notes"] == []
    flattered = json.loads(run("evaluate", trained, "--all", "--json")[0])["notes"]
    assert "mine was chosen with the labels of fold 2 of tiny, so it cannot be tested there" in flattered


def test_a_person_reads_that_the_score_is_too_good(run: Any, packed: PackedClips) -> None:
    out, _ = search(run, packed, "--folds", "1-3")
    assert "optimistically biased" in out
    assert "No fold of tiny is left to test it" in out
    out, _ = search(run, packed, "--folds", "2-3")
    assert "Fold 1 is left to test it: compare v3 ... --folds 1" in out


def test_a_training_split_that_is_never_tested_may_choose(run: Any, tmp_path: Path) -> None:
    rows = [{**row, "fold": row["fold"] - 1} for row in tiny.rows()]
    split = write_packed(rows, tiny.CLASSES, tmp_path / "split", {"dataset": "split"})
    search(run, split, "--folds", "0", "--version", "mine")
    assert load("mine").manifest.seen[0].folds == (0,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--folds", "9"), "has no fold 9"),
        (("--folds", "x"), "--folds 'x' is not a list of numbers"),
        (("--folds", "2", "--k", "4"), "nothing to choose"),
        (("--folds", "2", "--k", "5"), "'happiness' has 4 descriptors, fewer than 5"),
        (("--folds", "2", "--version", "../x"), "a version cannot be named"),
    ],
)
def test_wrong_input_is_an_error(run: Any, packed: PackedClips, words: tuple[str, ...], message: str) -> None:
    out, err = search(run, packed, *words, status=2)
    assert (message in err, out) == (True, "")
    assert not Path("descriptions").exists()


def test_chosen_sets_keep_the_words_of_their_classes(run: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("name: own\nclasses: [{name: fear, words: great fear}, happiness, sadness, anger]")
    run("generate", "--classes", str(own), "--source", "facs", "--version", "facs")
    clips = tiny.pack(tmp_path / "clips", classes=("sadness", "fear"))
    run("descriptions search", "facs", "--dataset", str(clips.path), "--folds", "1", "--version", "mine")
    manifest = load("mine").manifest
    assert manifest.class_set == {
        "name": "own", "class_names": ["fear", "sadness"], "words": {"fear": "great fear"},
    }  # fmt: skip
    assert manifest.source == "facs"
    assert manifest.citation
    assert load_class_set(str(own)).names[0] == "fear"
