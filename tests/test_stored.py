"""Files that version 0.1.0 wrote still open, with the same content (see tests/stored/README.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas
import pytest

import dfer_prompts
from dfer_model.data.packed import PackedClips

STORED = Path(__file__).parent / "stored"
CHOICES: dict[str, Any] = {
    "clip": "stored-tiny",
    "weights": "random",
    "device": "cpu",
    "overrides": ["frames=2", "contexts=2", "batch_size=4", "workers=0", "temporal_depth=0"],
}
RUN = "v1@2-fold1-seed1-e51b5e8f"
INTERRUPTED = "v1@1-fold1-seed1-ba66eb97"


@pytest.fixture
def workspace(isolated: Path) -> Path:
    """A copy of the stored workspace, which is the current folder."""
    if "stored-tiny" not in open_clip.list_models():
        open_clip.add_model_config(STORED / "stored-tiny.json")
    shutil.copytree(STORED / "workspace", isolated, dirs_exist_ok=True)
    return isolated


def test_packed_clips(workspace: Path) -> None:
    clips = PackedClips.open(workspace / "packed")
    assert clips.fingerprint == "cfd771e82a175f7d03ce676174c328040628d83faba016fb9235917631a8006a"
    assert clips.class_names == ("happiness", "sadness", "fear")
    assert list(clips.clip_ids[:2]) == ["happiness-0", "happiness-1"]
    assert [len(clips.test_indices(fold)) for fold in (1, 2)] == [6, 6]


def test_description_sets(workspace: Path) -> None:
    assert dfer_prompts.load("v2@2").description("disgust") == "a wrinkled nose and a raised upper lip."
    generated = dfer_prompts.load("v3")
    assert generated.manifest.model == "test-model"
    assert len(generated.class_names) == 7


def test_stored_responses_are_not_requested_again(workspace: Path) -> None:
    """Nothing listens at the endpoint's address any more."""
    made = dfer_prompts.generate(
        "dfew", model="test-model", base_url="http://127.0.0.1:37985/v1", samples=2, version="again"
    )
    stored = dfer_prompts.load("v3")
    for name in stored.class_names:
        assert made.descriptions.description(name) == stored.description(name)


def test_finished_run_gives_its_logits_again(workspace: Path) -> None:
    stored = pandas.read_parquet(workspace / "runs" / RUN / "predictions.parquet")
    evaluated = dfer_prompts.evaluate(RUN, dataset=workspace / "packed", device="cpu")
    assert evaluated.measures.war == pytest.approx(100 / 3)
    again = evaluated.predictions
    order = {clip: place for place, clip in enumerate(again.clip_ids)}
    logits = np.stack([again.logits[order[clip]] for clip in stored["clip_id"]])
    np.testing.assert_allclose(logits, np.stack(stored["logits"]), atol=1e-4)


def test_finished_run_is_reused(workspace: Path) -> None:
    weights = workspace / "runs" / RUN / "model.safetensors"
    before = weights.stat().st_mtime_ns
    run = dfer_prompts.train("v1@2", dataset=workspace / "packed", epochs=1, **CHOICES)
    assert run.id == RUN
    assert weights.stat().st_mtime_ns == before


def test_interrupted_run_continues_after_its_first_epoch(workspace: Path) -> None:
    metrics = workspace / "runs" / INTERRUPTED / "metrics.jsonl"
    first = metrics.read_text()
    run = dfer_prompts.train("v1@1", dataset=workspace / "packed", epochs=3, **CHOICES)
    assert run.id == INTERRUPTED
    assert run.finished
    assert metrics.read_text().startswith(first)
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("name", ["b3969a8008c7", "f066c5a9e32e"])
def test_comparison_can_be_reported(workspace: Path, name: str) -> None:
    made = dfer_prompts.report(workspace / "comparisons" / name, out="page.html")
    text = made.path.read_text(encoding="utf-8")
    assert "v1@2" in text
    assert "33.3" in text


def test_reports_of_stored_results_have_groups_and_top2_accuracy(workspace: Path) -> None:
    """Version 0.1.0 did not record the top-2 accuracy; it is computed from the predictions."""
    table = pandas.read_parquet(workspace / "runs" / RUN / "predictions.parquet")
    both = np.argsort(-np.stack(table["logits"]), axis=1, kind="stable")[:, :2]
    top2 = 100 * (both == table["label"].to_numpy()[:, None]).any(axis=1).mean()
    (workspace / "a.csv").write_text("clip_id,place\n" + "".join(f"{clip},x\n" for clip in table["clip_id"]))
    for name, shown in ((RUN, f"| {top2:.1f} |"), ("b3969a8008c7", f"| v1@2 | {top2:.2f} |")):
        made = dfer_prompts.report(name, out="r.md", groups="a.csv")
        assert shown in made.path.read_text(encoding="utf-8")
        assert [each.grouped.worst.uar.mean for each in made.groups][-1] == pytest.approx(100 / 3)


def _stored_keys(new: Any, stored: Any) -> Any:
    """`new` without the keys that `stored` does not have: later versions add keys."""
    if isinstance(new, dict) and isinstance(stored, dict):
        return {key: _stored_keys(value, stored[key]) for key, value in new.items() if key in stored}
    if isinstance(new, list) and isinstance(stored, list) and len(new) == len(stored):
        return [_stored_keys(*both) for both in zip(new, stored, strict=True)]
    return new


@pytest.mark.parametrize(
    ("name", "options"),
    [("b3969a8008c7", {"measure": ("zero-shot", "supervised")}), ("f066c5a9e32e", {"screen": True})],
)
def test_comparison_is_the_same_when_repeated(workspace: Path, name: str, options: dict[str, Any]) -> None:
    stored = json.loads((workspace / "comparisons" / name / "comparison.json").read_text())
    features = {path.name: path.stat().st_mtime_ns for path in (workspace / ".dfer/features").iterdir()}
    again = dfer_prompts.compare(
        "v1@1",
        "v1@2",
        dataset=workspace / "packed",
        epochs=1,
        folds=[1],
        seeds=[1],
        **CHOICES,
        **options,
    ).as_dict()
    assert Path(again["folder"]).name == name
    again = json.loads(json.dumps(again))
    assert stored["settings"].items() <= again["settings"].items()  # later versions add settings
    # Caveats and verdicts are sentences, whose wording may change.
    for key in stored.keys() - {"folder", "clips", "settings", "caveats", "verdicts"}:
        assert _stored_keys(again[key], stored[key]) == stored[key], key
    assert len(again["verdicts"]) == len(stored["verdicts"])
    assert {
        path.name: path.stat().st_mtime_ns for path in (workspace / ".dfer/features").iterdir()
    } == features
