"""`import-checkpoint` from the command line: a run that `evaluate` and `predict` take, or a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dfer_model.data.packed import PackedClips

from ..model import released, tiny
from ..model.evaluation.test_classify import encode
from .test_train import Terminal

MAFW = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear", "contempt", "anxiety")
MAFW += ("helplessness", "disappointment")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_a_checkpoint_becomes_a_run_that_answers(
    run: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    texts = [f"a face of {name}." for name in MAFW]
    path = released.save(tmp_path / "model_best.pth", released.random_state(texts), monkeypatch)
    words = ["import-checkpoint", path, "--classes", "mafw", "--clip", tiny.register(), "--json"]
    out, _ = run(*words, "--fold", "2")
    result = json.loads(out)
    assert (result["contexts"], result["temporal_depth"], result["position"]) == (4, 1, "end")
    assert result["texts"] == dict(zip(MAFW, texts, strict=True))
    assert Path(result["run"]).name == result["id"]

    video = encode(tmp_path / "video.avi", frames=6)
    answer = json.loads(
        run("predict", result["run"], video, "--faces", "none", "--json", "--device", "cpu")[0]
    )["videos"][0]
    assert set(answer["probabilities"]) == set(MAFW)
    clips: PackedClips = tiny.pack(tmp_path / "packed")
    evaluated = json.loads(
        run("evaluate", result["id"], "--dataset", clips.path, "--json", "--device", "cpu")[0]
    )
    assert (evaluated["clips"], evaluated["selection"]) == (6, "imported")
    assert "fold 2" in evaluated["clips_judged"]
    _, err = run("evaluate", result["id"], status=2)
    assert "has no clips of its own" in err

    out, err = run(*words[:-1], "--descriptions", "v1")
    assert "a face of anxiety." in out
    assert "has other texts than v1 for happiness, sadness, neutral and 8 more" in err
    out, err = run("import-checkpoint", path, "--classes", "dfew", "--clip", tiny.register(), status=2)
    assert (out, "has 11 classes; the class set has 7" in err) == ("", True)


def test_a_file_that_is_not_a_checkpoint_is_an_error(run: Terminal, tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, tmp_path / "m.pth")
    _, err = run("import-checkpoint", tmp_path / "m.pth", "--classes", "mafw", status=2)
    assert "is not a DFER-CLIP checkpoint: unknown key weights" in err
