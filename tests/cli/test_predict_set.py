"""`predict` and `explain` with a description set, a model file and a model on the hub, on drawn faces.

Probabilities and similarities are computed by open_clip on the same weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch.nn.functional import normalize

from dfer_prompts import (
    InputError,
    explain,
    facs_set,
    from_pretrained,
    generate,
    load,
    load_class_set,
    predict,
    push_model,
    train,
)

from .. import open_clip_demo as by_hand
from ..prompts.hub import FakeHub
from .test_train import Terminal

WHOLE = ["--faces", "none", "--device", "cpu"]
DEMO = ["--clip", "demo", *WHOLE]
TAKEN = by_hand.sampled(20)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def video(isolated: Path) -> Path:
    return by_hand.lossless(isolated / "face.mkv", by_hand.drawn()[1])


def only(out: str) -> dict[str, Any]:
    (found,) = json.loads(out)["videos"]
    return dict(found)


def expected(ref: str, class_names: tuple[str, ...] | None = None) -> dict[str, float]:
    described = load(ref)
    names = class_names or described.class_names
    frames = [by_hand.drawn()[1][place] for place in TAKEN]
    shares = by_hand.zero_shot(frames, [described.description(name) for name in names])
    return dict(zip(names, shares, strict=True))


def test_a_set_predicts_what_open_clip_does(run: Terminal, video: Path, isolated: Path) -> None:
    required = expected("v1@4")
    out, err = run("predict", "v1@4", video, *DEMO, "--json")
    answer, one = json.loads(out), only(out)
    assert one["probabilities"] == pytest.approx(required, abs=1e-4)
    assert one["frames"] == TAKEN
    assert one["expression"] == max(required, key=required.__getitem__) == by_hand.drawn()[0]
    assert (answer["run"], answer["temperature"]) == ("", None)
    note = answer["model"].pop("note")
    assert answer["model"] == {
        "kind": "set",
        "name": "v1@4",
        "descriptions": "v1@4",
        "clip": "demo",
        "weights": "shipped",
        "trained": False,
    }
    assert "Zero-shot: demo (shipped) with the texts of v1@4, not trained on labelled faces." in note
    assert "dfer-prompts train --descriptions v1@4 --dataset DIR" in note
    assert note in err
    assert "its predictions for real footage are meaningless" in err
    for each in ("v1@4", "descriptions/v1@4", load("v1@4")):
        (found,) = predict(each, video, clip="demo", faces="none", device="cpu")
        assert found.as_dict() == one["windows"][0]
    assert not (isolated / "runs").exists()


def test_preset_settings_and_dfer_yaml_choose_the_clip(run: Terminal, video: Path) -> None:
    frames = by_hand.drawn()[1]
    eight = [frames[place] for place in by_hand.sampled(20, 8)]
    shares = by_hand.zero_shot(eight, [load("v1").description(name) for name in load("v1").class_names])
    lora = ["--set", "lora_rank=4", "--set", "lr_image=0"]  # LoRA without a rate is an error in a training
    for words in (["--preset", "demo"], ["--clip", "demo", "--set", "frames=8", *lora]):
        out, _ = run("predict", "v1", video, *words, *WHOLE, "--json")
        assert list(only(out)["probabilities"].values()) == pytest.approx(shares, abs=1e-4)
    Path("dfer.yaml").write_text("preset: demo\n")
    out, _ = run("predict", "v1", video, *WHOLE, "--json")
    assert list(only(out)["probabilities"].values()) == pytest.approx(shares, abs=1e-4)
    _, err = run("predict", "v1", video, "--set", "contexts=4", *DEMO, status=2)
    assert "--set gives the model parts that must be trained" in err


def test_openai_s_clip_is_the_default(
    run: Terminal, video: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(isolated / "empty"))
    _, err = run("predict", "v1", video, *WHOLE, status=2)
    assert "the weights 'openai' of ViT-B-32-quickgelu are not on this machine" in err
    assert "--weights FILE" in err


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the zero-shot run of v1@4 for the classes of DFEW, made by the command."""
    folder = tmp_path_factory.mktemp("untrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train("v1@4", strategy="zero-shot", clip="demo", classes="dfew", device="cpu")
    return folder


@pytest.fixture
def filled(untrained: Path, isolated: Path) -> str:
    """The id of that run, in the current folder."""
    shutil.copytree(untrained / "runs", isolated / "runs")
    (folder,) = (isolated / "runs").iterdir()
    return folder.name


def test_a_zero_shot_run_needs_no_dataset(run: Terminal, video: Path, filled: str) -> None:
    dfew = load_class_set("dfew").names
    out, err = run("predict", filled, video, *WHOLE, "--json")
    assert only(out)["probabilities"] == pytest.approx(expected("v1@4", dfew), abs=1e-4)
    assert json.loads(out)["model"]["trained"] is False
    assert "Zero-shot: demo (shipped)" in err
    words = ["train", "--strategy", "zero-shot", "--clip", "demo", "--device", "cpu"]
    out, err = run(*words, "--descriptions", "v1@4", "--classes", "dfew", "--json")
    output = json.loads(out)
    assert (output["run"], output["measures"], output["clips"]["test"]) == (filled, {}, 0)
    assert err.count("nothing was trained or evaluated") == 1
    out, err = run(*words, "--descriptions", "v1@4", "--classes", "dfew")
    assert out == ""
    assert "weights and a card, README.md" in err
    _, err = run(*words, status=2)
    assert "needs class texts" in err
    _, err = run(*words[:1], "--descriptions", "v1@4", "--clip", "demo", status=2)
    assert "no dataset is given" in err
    card = Path("runs", filled, "README.md").read_text()
    assert "# v1@4, zero-shot" in card
    assert f"dfer-prompts evaluate {filled} --dataset DIR" in card
    assert "confusion.png" not in card


def test_a_run_without_a_dataset_is_evaluated_on_a_given_one(run: Terminal, filled: str) -> None:
    clips = by_hand.pack(Path("packed"), load_class_set("dfew").names)
    _, err = run("evaluate", filled, "--device", "cpu", status=2)
    assert "was made without a dataset and has no clips of its own" in err
    out, _ = run("evaluate", filled, "--dataset", "packed", "--all", "--device", "cpu", "--json")
    right = 0
    for number in range(len(clips)):
        name, frames = by_hand.drawn(number)
        texts = [load("v1@4").description(each) for each in clips.class_names]
        shares = by_hand.zero_shot([frames[place] for place in TAKEN], texts)
        right += clips.class_names[shares.index(max(shares))] == name
    assert json.loads(out)["war"] == pytest.approx(100 * right / len(clips))
    _, err = run("report", filled, "--out", "report.md")
    report = Path("report.md").read_text()
    assert "The run was made without a dataset and has no figures" in report
    assert "--dataset" not in report.split("train --descriptions")[1].splitlines()[0]


def test_an_exported_file_predicts_what_the_run_does(run: Terminal, video: Path, filled: str) -> None:
    from dfer_model.evaluation.calibration import Calibration, write_calibration
    from dfer_model.runs import Run

    write_calibration(Run.open(Path("runs", filled)), Calibration(4.0, "some clips", 9, "f" * 8, ()))
    run("export", filled, "--format", "safetensors", "--out", "model.safetensors")
    of_run, _ = run("predict", filled, video, *WHOLE, "--json")
    of_file, err = run("predict", "model.safetensors", video, *WHOLE, "--json")
    assert only(of_file)["probabilities"] == pytest.approx(only(of_run)["probabilities"], abs=1e-5)
    output = json.loads(of_file)
    assert (output["run"], output["model"]["kind"], output["temperature"]) == ("", "file", 4.0)
    assert "divided by 4, stored in the model's file" in err
    shutil.rmtree("runs")
    found = explain("model.safetensors", video, faces="none", device="cpu")
    assert found.prediction.probabilities == pytest.approx(only(of_run)["probabilities"], abs=1e-5)
    assert (found.run, found.descriptions, found.model.name) == ("", "v1@4", "model.safetensors")
    _, err = run("predict", "absent.safetensors", video, *WHOLE, status=2)
    assert "model file absent.safetensors does not exist" in err
    _, err = run("predict", "model.safetensors", video, *DEMO, status=2)
    assert "--clip chooses the CLIP of a description set; model.safetensors has its own" in err


def test_a_model_on_the_hub_predicts_what_the_run_does(
    run: Terminal, video: Path, filled: str, hub: FakeHub
) -> None:
    of_run, _ = run("predict", filled, video, *WHOLE, "--json")
    pushed = push_model(filled, "me/faces")
    assert b"`dfer-prompts predict hf://me/faces clip.mp4`" in hub.files_of_model("me/faces")["README.md"]
    for name in ("hf://me/faces", f"hf://me/faces@{pushed.revision}"):
        out, _ = run("predict", name, video, *WHOLE, "--json")
        assert only(out)["probabilities"] == pytest.approx(only(of_run)["probabilities"], abs=1e-5)
        assert json.loads(out)["model"]["kind"] == "hub"
    assert from_pretrained("hf://me/faces", device="cpu").class_names == load_class_set("dfew").names
    _, err = run("predict", "hf://me/other", video, *WHOLE, status=2)
    assert "there is no model me/other" in err
    _, err = run("predict", "hf://faces", video, *WHOLE, status=2)
    assert "hf://faces is not a model on the hub" in err


def test_a_set_has_precedence_and_other_names_are_listed(run: Terminal, video: Path, filled: str) -> None:
    for name in ("v1", "descriptions/v1"):
        out, err = run("predict", name, video, *DEMO, "--json")
        assert only(out)["probabilities"] == pytest.approx(expected("v1"), abs=1e-4)
        assert (f"v1 is the description set; for a run, give its id: {filled}" in err) is (name == "v1")
    explained, err = run("explain", "v1", video, *DEMO, "--json")
    assert json.loads(explained)["probabilities"] == pytest.approx(expected("v1"), abs=1e-4)
    assert f"v1 is the description set; for a run, give its id: {filled}" in err
    beginning = filled[: filled.index("-") + 2]
    out, err = run("predict", beginning, video, *WHOLE, "--json")
    assert json.loads(out)["run"] == filled
    assert "the description set" not in err
    _, err = run("predict", beginning, video, *DEMO, status=2)
    assert f"--clip chooses the CLIP of a description set; {filled} has its own" in err
    shutil.copytree(Path("runs", filled), Path("runs", f"{filled}-again"))
    _, err = run("predict", beginning, video, *WHOLE, status=2)
    assert f"{beginning!r} matches 2 runs" in err
    generate("dfew", source="facs", version="facial")
    for name, hint in (
        ("facal@2", "; did you mean facial?"),
        ("v1@4-fold2-seed1", "; did you mean v1@4-fold1-seed1?"),
        ("x", ""),
    ):
        _, err = run("predict", name, video, *WHOLE, status=2)
        assert f"no run or description set {name!r}{hint}\n" in err
        assert f"Description sets: facial, v1; runs: {filled}" in err
    with pytest.raises(InputError, match="no description set 'v9'"):
        predict("descriptions/v9", video, faces="none")
    Path("runs", f"{filled}-again", "result.json").unlink()
    _, err = run("predict", f"{filled}-again", video, *WHOLE, status=2)
    assert "is not finished" in err


def test_a_set_is_explained_by_its_own_descriptors(run: Terminal, video: Path) -> None:
    out, err = run("explain", "v1@2", video, *DEMO, "--plot", "why.svg", "--json")
    output = json.loads(out)
    frames = [by_hand.drawn()[1][place] for place in TAKEN]
    unit = normalize(by_hand.image_features(frames), dim=-1)
    texts = [each["descriptor"] for each in output["descriptors"]]
    assert texts == [each.text for name in load("v1@2").class_names for each in load("v1@2").members[name][0]]
    cosines = by_hand.text_features(texts) @ (unit - unit.mean(dim=0)).T
    rises = [each["rise"] for each in output["descriptors"]]
    assert rises == [pytest.approx(row, abs=1e-4) for row in cosines.tolist()]
    assert output["probabilities"] == pytest.approx(expected("v1@2"), abs=1e-4)
    assert (output["run"], output["model"]["kind"], output["descriptions"]) == ("", "set", "v1@2")
    assert output["attention"] is None
    assert "Note: Zero-shot: demo (shipped) with the texts of v1@2" in err
    assert "nothing was trained, so there are no training clips" in err
    assert "v1@2, descriptors of v1@2" in Path("why.svg").read_text()
    draft = facs_set(load_class_set("dfew"))
    found = explain(draft, video, clip="demo", faces="none", device="cpu")
    assert list(found.prediction.probabilities) == list(draft.class_names)
    assert any(
        "with the texts of an unsaved set, not trained on labelled faces" in note for note in found.notes
    )
