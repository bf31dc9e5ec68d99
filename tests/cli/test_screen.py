"""`compare --screen`, alone and to choose what is fine-tuned, from the command line and from Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfer_model.comparison.record import ComparisonRecord
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_prompts import DescriptionStore, Interrupted, Workspace, compare, load
from dfer_prompts.cli import main
from dfer_prompts.description_set import Seen

from ..model import tiny

# So a CLIP with random weights does not answer the same to all clips.
QUICK = [
    "epochs=2",
    "frames=2",
    "contexts=2",
    "batch_size=4",
    "workers=0",
    "temporal_depth=0",
    "lr_context=1",
]
SETS = ("v1@1", "v1@2", "v1@4")


def packed_clips(path: Path, moved: int = 0) -> PackedClips:
    """Clips in three folds; those of fold `moved` are called what the next class is called."""
    following = dict(zip(tiny.CLASSES, (*tiny.CLASSES[1:], tiny.CLASSES[0]), strict=True))
    rows = [
        {**row, "class_name": following[row["class_name"]] if row["fold"] == moved else row["class_name"]}
        for row in tiny.rows(per_class=6, folds=3)
    ]
    return write_packed(rows, tiny.CLASSES, path, {"dataset": "tiny"})


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return packed_clips(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture
def of_command(
    packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """What `compare` with these words prints on both streams."""

    def run(*words: str, status: int = 0) -> tuple[str, str]:
        command = ["dfer-prompts", "compare", *words, "--dataset", str(packed.path)]
        command += ["--clip", tiny.register(), "--set", "weights=random"]
        monkeypatch.setattr(sys, "argv", command + [word for each in QUICK for word in ("--set", each)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == status
        return capsys.readouterr()

    return run


def compared(packed: PackedClips, *sets: str, **options: Any) -> ComparisonRecord:
    """Three sets, or those given, judged by fold 1."""
    chosen = {"clip": tiny.register(), "weights": "random", "overrides": QUICK}
    result = compare(*(sets or SETS), dataset=packed, **{"folds": [1], "seeds": [1], **chosen, **options})
    assert isinstance(result, ComparisonRecord)
    return result


def test_a_screening_leaves_no_run_and_is_found_again(
    packed: PackedClips, of_command: Callable[..., tuple[str, str]]
) -> None:
    words = ("v1@2", "v1@4", "--screen", "--folds", "1,3", "--seeds", "1,2", "--json")
    out, err = of_command(*words)
    result = json.loads(out)
    assert "screening: 8 trainings on stored frame features (2 sets x 2 folds x 2 seeds)" in err
    assert (result["measures"], result["runs"], result["seeds"]) == (["zero-shot", "screened"], [], [1, 2])
    assert (result["selection"], result["settings"]["lr_image"]) == ("last", 0)
    assert any(
        "screened is trained on features of a frozen image tower" in each for each in result["caveats"]
    )
    assert json.loads((Path(result["folder"]) / "comparison.json").read_text()) == result
    assert (Path(result["folder"]) / "screened.svg").is_file()
    assert not Path("runs").exists()
    times = {path: path.stat().st_mtime_ns for path in Path(".dfer").rglob("*") if path.is_file()}
    options: dict[str, Any] = {"folds": [1, 3], "seeds": [1, 2], "screen": True}
    again = compared(packed, "v1@2", "v1@4", **options)
    # The request has the options as they were given: there as --set, here as keywords.
    assert {**again.as_dict(), "request": None} == {**result, "request": None}
    assert {path: path.stat().st_mtime_ns for path in Path(".dfer").rglob("*") if path.is_file()} == times
    assert compared(packed, "v1@2", "v1@4", **options, overrides=[*QUICK, "epochs=1"]).folder != again.folder


def test_the_best_sets_of_a_screening_are_compared_as_usual(
    packed: PackedClips, of_command: Callable[..., tuple[str, str]]
) -> None:
    words = ("--screen", "--then", "2", "--control", "swapped", "--folds", "1", "--seeds", "1")
    out, err = of_command(*SETS, *words)
    assert "Chosen by a screening on 12 clips of fold 2, 3, each in turn" in out
    assert "screening: 6 trainings" in err
    (path,) = Path("comparisons").glob("*/comparison.json")
    result = json.loads(path.read_text())
    ranking = result["screening"]["sets"]
    means = [each["uar"]["mean"] for each in ranking]
    assert (means, {each["name"] for each in ranking}) == (sorted(means, reverse=True), {*SETS})
    assert [each["chosen"] for each in ranking] == [True, True, False]
    best = [name for name in SETS if name in {each["name"] for each in ranking[:2]}]
    plain = compared(packed, *best, control=["swapped"])
    assert plain.folder != path.parent
    told_plain = json.loads(json.dumps(plain.as_dict()))
    for key in ("runs", "texts", "sets", "pairs", "verdicts", "controls"):
        assert result[key] == told_plain[key]
    assert (len(result["runs"]), told_plain["screening"]) == (3, None)
    assert result["caveats"][-1].endswith("the test folds were not used.")


def test_the_choice_does_not_use_the_test_folds(packed: PackedClips, tmp_path: Path) -> None:
    options: dict[str, Any] = {"screen": True, "then": 2, "measure": "zero-shot"}
    moved = packed_clips(tmp_path / "judging", moved=1)
    assert (moved.labels != packed.labels).sum() == 6
    choice = compared(packed, **options).screening
    assert choice is not None
    assert choice == compared(moved, **options).screening


def test_a_set_with_the_choosing_folds_in_its_provenance_is_named(packed: PackedClips) -> None:
    of = load("v1")
    seen = (Seen(dataset="tiny", fingerprint="of another packing", folds=(2,)),)
    chosen = replace(of, manifest=of.manifest.model_copy(update={"seen": seen, "files": {}}))
    DescriptionStore(Workspace.find(None)).save(chosen, "chosen")
    result = compared(
        packed, "chosen@2", "v1@1", control=["swapped"], screen=True, then=1, measure="zero-shot"
    )
    flattered = [each for each in result.comparison.caveats if "may be optimistically biased" in each]
    assert len(flattered) == 1
    assert "chosen@2 was chosen with the labels of fold 2 of tiny" in flattered[0]


def test_a_stopped_screening_reports_what_is_stored(packed: PackedClips) -> None:
    @contextmanager
    def stopped(stage: str) -> Iterator[Callable[..., None]]:
        def report(done: int, total: int, note: str = "") -> None:
            if "epoch" in note:
                raise KeyboardInterrupt

        yield report

    with pytest.raises(Interrupted, match=r"finished screenings are in .*features\nGive the same command"):
        compared(packed, screen=True, progress=stopped)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--then", "2"], "Add it, or leave --then out"),
        (["--screen", "--measure", "few-shot"], "--screen excludes other measures"),
        (["--screen", "--shots", "1"], "--screen excludes other measures"),
        (["--screen", "--select", "val"], "a screening uses the last epoch"),
        (["--screen", "--engine", "local"], "a screening trains all sets at once, in this process"),
        (["--screen", "--then", "0"], "--then 0: give the number of sets"),
        (["--screen", "--then", "3"], "there are only 3 sets besides controls"),
        (["--screen", "--then", "1"], "one set alone cannot be compared"),
        (["--screen", "--then", "2"], "Test on fewer folds, such as --folds 1"),
        (["--screen", "--strategy", "linear-probe"], "classifier=linear"),
        (["--screen", "--folds", "7"], "has no fold 7"),
    ],
)
def test_wrong_input_is_an_error(
    words: list[str], message: str, of_command: Callable[..., tuple[str, str]]
) -> None:
    out, err = of_command(*SETS, *words, status=2)
    assert (message in err, out) == (True, "")
    assert not Path("runs").exists()
