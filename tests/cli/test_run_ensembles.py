"""Averages of runs: `evaluate RUN RUN --ensemble RULE`, and `compare RUN+RUN RUN`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dfer_model.data.packed import PackedClips
from dfer_model.evaluation.evaluate import evaluate_run
from dfer_model.runs import Run
from dfer_prompts import InputError, evaluate, report

from .test_compare_runs import made, packed, run, runs
from .test_train import Terminal

__all__ = ["made", "packed", "run", "runs"]  # fixtures


def logits_of(name: str, clips: PackedClips) -> np.ndarray:
    found = Run.open(Path("runs") / name)
    return evaluate_run(found, clips, clips.test_indices(1), device="cpu").logits.astype(np.float64)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("rule", ["mean-probability", "mean-logit"])
def test_an_ensemble_is_the_average_of_its_runs(
    rule: str, run: Terminal, runs: dict[str, str], packed: PackedClips
) -> None:
    names = [runs["one"], runs["two"]]
    words = ["evaluate", *names, "--ensemble", rule, "--out", "both.parquet", "--device", "cpu", "--json"]
    result = json.loads(run(*words)[0])
    assert (result["run"], result["runs"], result["ensemble"]) == ("+".join(names), names, rule)
    assert result["selection"] == "mixed"  # the last epoch, and the best on the test fold
    first, second = (logits_of(name, packed) for name in names)
    if rule == "mean-logit":
        expected = softmax((first + second) / 2)
    else:
        expected = (softmax(first) + softmax(second)) / 2
    table = pq.read_table("both.parquet")
    written = np.array(table["probabilities"].to_pylist())
    np.testing.assert_allclose(written, expected, atol=1e-5)
    class_names = Run.open(Path("runs") / names[0]).class_names
    best = [class_names[place] for place in expected.argmax(axis=1)]
    assert table["predicted"].to_pylist() == best
    hits = np.array(best) == np.array(table["class_name"].to_pylist())
    assert result["war"] == pytest.approx(100 * hits.mean())


def test_an_ensemble_is_compared_like_a_run(run: Terminal, runs: dict[str, str], packed: PackedClips) -> None:
    both = f"{runs['one']}+{runs['two']}"
    words = ["compare", both, runs["one"], "--dataset", packed.path, "--device", "cpu", "--json"]
    result = json.loads(run(*words)[0])
    assert [each["name"] for each in result["sets"]] == [both, runs["one"]]
    uar = evaluate([runs["one"], runs["two"]], ensemble="mean-probability", device="cpu").measures.uar
    (model,) = [each for each in result["models"] if each["run"] == both]
    assert model["uar"] == pytest.approx(uar)
    ids = [packed.clip_ids[index] for index in packed.test_indices(1)]
    Path("a.csv").write_text("clip_id,place\n" + "".join(f"{clip},{clip[-1]}\n" for clip in ids))
    found = report(groups="a.csv", out="r.md").groups
    assert [(each.name, each.grouped.all_clips.uar.mean) for each in found] == [
        (each["name"], pytest.approx(each["trained_uar"]["mean"])) for each in result["sets"]
    ]
    other = Path("runs") / runs["two"] / "predictions.parquet"
    shutil.copy(Path("runs") / runs["one"] / "predictions.parquet", other)
    with pytest.raises(InputError, match="has changed since the run was finished"):
        report(groups="a.csv", out="r.md")


def test_wrong_ensembles_are_refused(runs: dict[str, str], packed: PackedClips) -> None:
    def refused(*names: str, rule: str | None = "mean-logit") -> str:
        with pytest.raises(InputError) as raised:
            evaluate([runs.get(name, name) for name in names], ensemble=rule, device="cpu")  # type: ignore[arg-type]
        return str(raised.value)

    assert "2 runs are given\nAverage them with --ensemble" in refused("one", "two", rule=None)
    assert "at least two runs" in refused("one")
    assert "given twice" in refused("one", "one")
    assert "no ensemble rule 'median'" in refused("one", "two", rule="median")
    assert "is tested on fold 1" in refused("one", "other fold")
    assert "average" in refused("one", "other fold")
    assert "have different classes: happiness, sadness, fear; " in refused("one", "theirs")
    other = Path("runs") / runs["two"] / "config.yaml"
    other.write_text(re.sub(r"fingerprint: .*", "fingerprint: other", other.read_text()))
    assert "were trained with different clips\nGive the clips" in refused("one", str(other.parent))
