"""`compare` of models that are there: runs and imported checkpoints on the same clips, by class name."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from dfer_model.comparison.statistics import paired_difference, uar_weights
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.evaluation.evaluate import evaluate_run
from dfer_model.runs import Run
from dfer_prompts import Workspace, compare
from dfer_prompts.cli import main

from ..model import released, tiny
from .test_train import Terminal, train_words

MAFW = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear", "contempt", "anxiety")
MAFW += ("helplessness", "disappointment")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=8)


@pytest.fixture(scope="module")
def made(packed: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two runs of v1@2, the second of another seed, on fold 1, and an import for fold 1."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in (
            train_words(packed),
            [*train_words(packed), "--seed", "2", "--select", "test-best"],
            [*train_words(packed), "--fold", "2"],
        ):
            called(patch, words)
        texts = [f"a face of {name}." for name in MAFW]
        path = released.save(folder / "theirs.pth", released.random_state(texts), patch)
        called(patch, ["import-checkpoint", path, "--classes", "mafw", "--clip", tiny.register()])
    return folder


def called(patch: pytest.MonkeyPatch, words: list[object]) -> None:
    patch.setattr(sys, "argv", ["dfer-prompts", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


@pytest.fixture
def runs(made: Path, isolated: Path) -> dict[str, str]:
    """The runs' ids in a workspace of their own: `one`, `two`, `other fold`, `theirs`."""
    shutil.copytree(made / "runs", isolated / "runs")
    found = sorted(path.name for path in (isolated / "runs").iterdir())
    beginnings = {
        "theirs": "theirs-imported-fold1",
        "one": "v1@2-fold1-seed1",
        "two": "v1@2-fold1-seed2",
        "other fold": "v1@2-fold2",
    }
    return {key: next(name for name in found if name.startswith(each)) for key, each in beginnings.items()}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def right(run: str, clips: PackedClips) -> np.ndarray:
    answered = evaluate_run(Run.open(Path("runs") / run), clips, clips.test_indices(1), device="cpu")
    return answered.logits.argmax(axis=1) == answered.labels


def test_runs_are_paired_on_the_same_clips(
    run: Terminal, runs: dict[str, str], packed: PackedClips, isolated: Path
) -> None:
    given = [runs["one"], str(isolated / "runs" / runs["two"]), "theirs"]
    output = json.loads(run("compare", *given, "--dataset", packed.path, "--device", "cpu", "--json")[0])
    names = [runs["one"], runs["two"], runs["theirs"]]
    assert [each["name"] for each in output["sets"]] == names
    assert output["runs"] == names
    assert output["clips_judged"] == "the 12 clips of test fold 1 of tiny"
    assert [(pair["first"], pair["second"]) for pair in output["pairs"]] == [
        (names[1], names[0]), (names[2], names[0]),
    ]  # fmt: skip
    labels, folds = packed.labels[packed.test_indices(1)], np.ones(12, dtype=np.int64)
    answers = {name: right(name, packed) for name in names}
    for each in output["sets"]:
        recalls = [answers[each["name"]][labels == label].mean() for label in range(3)]
        assert each["trained_uar"]["mean"] == pytest.approx(100 * np.mean(recalls))
        assert each["trained_war"]["mean"] == pytest.approx(100 * answers[each["name"]].mean())
    for pair in output["pairs"]:
        first, second = answers[pair["first"]], answers[pair["second"]]
        expected = paired_difference(first[None], second[None], uar_weights(labels, folds), labels, folds)
        assert (pair["uar"]["value"], pair["uar"]["low"], pair["uar"]["p"]) == pytest.approx(
            (expected.value, expected.low, expected.p)
        )
        counts = int((first & ~second).sum()), int((second & ~first).sum())
        assert (pair["mcnemar"]["first_only"], pair["mcnemar"]["second_only"]) == counts
        exact = binomtest(counts[0], sum(counts)).pvalue if sum(counts) else 1.0
        assert pair["mcnemar"]["p"] == pytest.approx(exact)
    assert json.loads((Path(output["folder"]) / "comparison.json").read_text()) == output
    caveats = " ".join(output["caveats"])
    assert f"{runs['two']}: the epoch was selected by test-best on the test fold" in caveats
    last = Run.open(Path("runs") / runs["two"]).measures("last")
    assert f"UAR of {last.uar:.1f} and a WAR of {last.war:.1f}" in caveats
    assert f"{runs['theirs']} was imported" in caveats
    assert "classes that these clips do not have: neutral, anger" in caveats
    assert "for these models" in caveats


def test_a_person_reads_verdicts_and_p_values(
    run: Terminal, runs: dict[str, str], packed: PackedClips
) -> None:
    out, err = run("compare", runs["one"], runs["theirs"], "--dataset", packed.path, "--device", "cpu")
    assert f"- {runs['theirs']}, trained: " in out
    assert "p McNemar" in out
    assert "Stored in" in err


def test_the_default_dataset_is_that_of_the_runs_also_in_python(run: Terminal, runs: dict[str, str]) -> None:
    output = json.loads(run("compare", runs["one"], runs["two"], "--device", "cpu", "--json")[0])
    runs_folder = Workspace.find(None).runs
    compared = compare(Run.open(runs_folder / runs["one"]), runs_folder / runs["two"], device="cpu")
    assert json.loads(json.dumps(compared.as_dict())) == output


def test_a_set_is_trained_beside_a_run_on_its_fold(
    run: Terminal, runs: dict[str, str], packed: PackedClips
) -> None:
    words = [*train_words(packed)[3:], "--seeds", "1,2", "--json"]
    output = json.loads(run("compare", "v1@3", runs["theirs"], "v1@2", *words)[0])
    assert [each["name"] for each in output["sets"]] == ["v1@3", runs["theirs"], "v1@2"]
    assert (output["folds"], output["seeds"], output["selection"]) == ([1], [1, 2], "last")
    assert len(output["runs"]) == 1 + 4
    theirs, trained = output["sets"][1]["trained_war"], output["sets"][2]["trained_war"]
    assert (theirs["std"], theirs["mean"]) == (0.0, pytest.approx(100 * right(runs["theirs"], packed).mean()))
    wars = [Run.open(path).measures("last").war for path in Path("runs").glob("v1@2-fold1-seed[12]-*")
            if Run.open(path).settings.select == "last"]  # fmt: skip
    assert trained["mean"] == pytest.approx(np.mean(wars))


def test_runs_that_cannot_be_compared_are_an_error(
    run: Terminal, runs: dict[str, str], packed: PackedClips
) -> None:
    refused: list[tuple[list[object], str]] = [
        ([runs["one"]], "one run alone cannot be compared"),
        ([runs["one"], runs["one"]], "given twice"),
        ([runs["one"], runs["other fold"]], "compared on their common test fold: "),
        ([runs["one"], runs["two"], "--folds", "2"], "leave --folds out"),
        ([runs["one"], runs["two"], "--epochs", "3"], "epochs has no effect"),
        ([runs["one"], runs["two"], "--controls"], "runs are compared without training"),
        ([runs["one"], runs["two"], "--measure", "few-shot"], "runs are compared without training"),
        ([runs["one"], "v9"], "no description set 'v9'"),
        (["v1@2-fold1", runs["theirs"]], "matches 2 runs"),
    ]
    for words, message in refused:
        out, err = run("compare", *words, "--dataset", packed.path, "--device", "cpu", status=2)
        assert (message in err, out) == (True, ""), err
    assert not Path("comparisons").exists()
    with pytest.raises(InputError, match="no run 'nowhere'"):
        compare(Path("nowhere"), runs["one"], dataset=packed)
