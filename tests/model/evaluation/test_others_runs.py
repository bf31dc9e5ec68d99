"""Run folders from other people: every field is checked before a model is built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from dfer_model.errors import InputError
from dfer_model.evaluation.trained_model import load_trained
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from .. import tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run that trained nothing."""
    folder = tmp_path_factory.mktemp("others")
    packed = tiny.pack(folder / "packed")
    made = train_run(tiny.spec(packed, epochs=0), packed, folder / "runs", device="cpu").folder
    tiny.without_digests(made)  # whoever changes a field can change its digest too
    return made


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def opened(folder: Path) -> Any:
    return load_trained(Run.open(folder), CPU)


def test_an_unchanged_run_is_accepted(run: Path) -> None:
    frames = torch.zeros(2, 4, 3, 32, 32, dtype=torch.uint8)
    assert opened(run)(frames).shape == (2, 3)


def set_in(config: dict[str, Any], key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        config = config[parent]
    config[last] = value


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("clip.image_size", -3, "clip.image_size: input should be greater than or equal to 1"),
        ("clip.image_size", 100_000, "clip.image_size: input should be less than or equal to 1024"),
        ("clip.image_size", 64, "image_size is 64, but tiny-vit-for-tests takes 32"),
        ("clip.image_size", 32.5, "clip.image_size: "),
        ("clip.image_size", True, "clip.image_size: "),
        ("clip.mean", "grey", "clip.mean: "),
        ("clip.mean", [0.5, "red", 0.5], "clip.mean.1: "),
        ("clip.mean", [0.5, float("nan"), 0.5], "clip.mean.1: "),
        ("clip.mean", [0.5, 0.5], "clip.mean.2: field required"),
        ("clip.std", [0.2, 0.2, 0], "clip.std.2: input should be greater than 0"),
        ("clip.std", [0.2, 0.2, float("inf")], "clip.std.2: "),
        ("clip", [32], "it has no clip"),
        ("fold", float("inf"), "fold: "),
        ("seed", "first", "seed: "),
        ("seed", 10**26, "seed: "),
        ("dataset", {"name": "x"}, "dataset.fingerprint: field required"),
        ("settings.frames", 10**9, "frames"),
        ("settings.clip", "no-such-clip", "no CLIP 'no-such-clip'"),
    ],
)
def test_an_invalid_field_of_the_config_is_named(run: Path, key: str, value: object, says: str) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    set_in(config, key, value)
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(InputError) as error:
        opened(run)
    assert says in str(error.value)
    assert "config.yaml" in str(error.value) or "no CLIP" in str(error.value)


def no_names(folder: Path) -> None:
    (folder / "classes.json").write_text('"happiness"')


def many_texts(folder: Path) -> None:
    stored = json.loads((folder / "texts.json").read_text())
    stored["texts"]["fear"] = ["parted lips."] * 3000
    (folder / "texts.json").write_text(json.dumps(stored))


def text_for_texts(folder: Path) -> None:
    stored = json.loads((folder / "texts.json").read_text())
    stored["texts"]["fear"] = "parted lips."
    (folder / "texts.json").write_text(json.dumps(stored))


def nested(folder: Path) -> None:
    (folder / "texts.json").write_text("[" * 100_000)


def other_class_weights(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "class_weights": torch.ones(5, 48)}, folder / "model.safetensors")


def pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (no_names, "classes.json is damaged: names: "),
        (lambda folder: (folder / "classes.json").write_text('["fear", "fear"]'), "a class is there twice"),
        (lambda folder: (folder / "classes.json").write_text('["joy"]'), "it has no texts of 'joy'"),
        (text_for_texts, "texts.json is damaged: texts.fear: "),
        (nested, "texts.json is not valid JSON: nested too deeply"),
        (many_texts, "the number of prompts and of the run's texts differ"),
        (other_class_weights, r"class_weights is (5, 48), but the run's model has (3, 48)"),
        (pointer, "model.safetensors is a Git LFS pointer"),
    ],
)
def test_an_invalid_file_of_the_run_is_named(run: Path, change: Callable[[Path], object], says: str) -> None:
    change(run)
    with pytest.raises(InputError) as error:
        opened(run)
    assert says in str(error.value)


def test_the_size_of_a_clip_is_checked_before_it_is_built(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 10^12 numbers in each of two layers: to build it would end in an error about memory.
    vision = {"image_size": 32, "layers": 2, "width": 2**19, "patch_size": 8, "head_width": 2**15}
    huge = {**tiny.CONFIG, "vision_cfg": vision}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "huge-quickgelu", huge)
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    config["settings"]["clip"] = "huge-quickgelu"
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"its image tower has \d+ parameters, fewer than that of huge-quickgelu"
    ):
        opened(run)
