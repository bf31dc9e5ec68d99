"""Weight files of CLIP: every format gives the features of the saved weights, or a message."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dfer_model.errors import InputError
from dfer_model.models.clip import clip_identity, load_clip
from dfer_model.models.prompt_learner import PromptLearner, TextTower

from .weight_files import FORMATS, in_transformers_names, openai_archive, outputs


@pytest.mark.parametrize("file", FORMATS)
def test_a_file_gives_the_features_it_was_saved_with(
    named: str, saved: Any, file: str, tmp_path: Path
) -> None:
    expected = outputs(saved)
    FORMATS[file](saved, tmp_path / file)
    clip = load_clip(named, str(tmp_path / file))
    assert {tensor.dtype for tensor in clip.model.parameters()} == {torch.float32}
    for got, required in zip(outputs(clip.model), expected, strict=True):
        torch.testing.assert_close(got, required, rtol=0, atol=0)


def test_equal_weights_have_one_identity_whatever_their_file(named: str, saved: Any, tmp_path: Path) -> None:
    identities = set()
    for file in ("plain.bin", "wrapped.safetensors", "FaRL-ep16.pth", "archive.pt"):
        FORMATS[file](saved, tmp_path / file)
        identities.add(clip_identity(load_clip(named, str(tmp_path / file))))
    assert len(identities) == 1
    assert identities != {clip_identity(load_clip(named, "random"))}


@pytest.mark.parametrize("file", ["archive.pt", "state.pt", "wrapped_openai.pt", "FaRL-ep16.pth"])
def test_openai_weights_under_a_gelu_name_are_refused(
    named: str, saved: Any, file: str, tmp_path: Path
) -> None:
    FORMATS[file](saved, tmp_path / file)
    with pytest.raises(InputError, match="were trained with QuickGELU, and tiny computes GELU") as caught:
        load_clip("tiny", str(tmp_path / file))
    assert str(caught.value).endswith("Use --set clip=tiny-quickgelu")


@pytest.mark.parametrize(
    ("act", "wrong", "better"), [("quick_gelu", "tiny", "tiny-quickgelu"), ("gelu", "tiny-quickgelu", "tiny")]
)
def test_the_activation_in_the_config_beside_transformers_weights_counts(
    named: str, saved: Any, act: str, wrong: str, better: str, tmp_path: Path
) -> None:
    save_file(in_transformers_names(saved), tmp_path / "model.safetensors")
    towers = {
        tower: {} if act == "quick_gelu" else {"hidden_act": act}
        for tower in ("vision_config", "text_config")
    }
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip", **towers}), encoding="utf-8")
    with pytest.raises(InputError, match=f"Use --set clip={better}$"):
        load_clip(wrong, str(tmp_path / "model.safetensors"))
    assert load_clip(better, str(tmp_path / "model.safetensors")).image_size == 32


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (
            ["prompt_learner.ctx", "image_encoder.proj"],
            "a released DFER-CLIP checkpoint: use import-checkpoint",
        ),
        (["class_weights", "image_tower.proj"], "the model of a run of this project: give its folder"),
        (["cls_token", "blocks.0.attn.qkv.weight"], "a vision transformer of timm, which has no text tower"),
        (["conv1.weight", "layer1.0.conv1.weight"], "a convolutional network, which has no text tower"),
        (["a.lora_A.weight", "a.lora_B.weight"], "LoRA adapters without the model that they change"),
        (["visual.conv1.weight"], "the weights of a CLIP"),
    ],
)
def test_weights_of_another_model_are_named(named: str, names: list[str], kind: str, tmp_path: Path) -> None:
    torch.save({name: torch.ones(1) for name in names}, tmp_path / "other.pt")
    with pytest.raises(
        InputError, match=f"other.pt does not fit {named}: it has no .*\nThe file holds {kind}$"
    ):
        load_clip(named, str(tmp_path / "other.pt"))


class Marker:
    """Unpickled without care, it makes a folder."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.path,)


def test_nothing_in_a_file_is_executed(named: str, saved: Any, tmp_path: Path) -> None:
    evil, made = tmp_path / "evil.pt", tmp_path / "made"
    torch.save({"state_dict": saved.state_dict(), "x": Marker(made)}, evil)
    with pytest.raises(InputError, match=r"evil\.pt holds Python objects .* never loaded"):
        load_clip(named, str(evil))
    archive = tmp_path / "evil_archive.pt"
    openai_archive(saved, archive)
    swapped = tmp_path / "swapped.pt"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(swapped, "w") as target:
        for entry in source.namelist():
            data = (
                pickle.dumps(Marker(made), protocol=2) if entry.endswith("/data.pkl") else source.read(entry)
            )
            target.writestr(entry, data)
    with pytest.raises(InputError, match=r"swapped\.pt holds Python objects .* never loaded"):
        load_clip(named, str(swapped))
    assert not made.exists()


def without(key: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {name: tensor for name, tensor in state.items() if name != key}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("ln_final.weight"), "does not fit tiny-quickgelu: it has no ln_final.weight"),
        (lambda s: {**s, "extra.weight": torch.ones(1)}, "tiny-quickgelu has no extra.weight"),
        (
            lambda s: {**s, "visual.proj": torch.ones(64, 47)},
            "visual.proj is (64, 47) in the file and (64, 48) in tiny-quickgelu",
        ),
        (lambda s: {**s, "note": "hello"}, "holds no state dict: 'note' is not a tensor"),
        (lambda s: {}, "holds no state dict"),
        (lambda s: [1, 2], "holds no state dict"),
    ],
)
def test_a_file_that_does_not_fit_says_where(
    named: str, saved: Any, change: Callable[[Any], Any], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "odd.pt"
    torch.save(change(saved.state_dict()), path)
    with pytest.raises(InputError) as caught:
        load_clip(named, str(path))
    assert sentence in str(caught.value)
    assert "odd.pt" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("empty.pt", b""),
        ("page.pt", b"<html>no</html>"),
        ("cut.safetensors", b"\x20\0\0\0"),
        ("z.pt", b"PK\3\4"),
    ],
)
def test_a_file_without_weights_is_an_error(named: str, file: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=file):
        load_clip(named, str(tmp_path / file))


def test_a_cut_off_archive_is_named(named: str, saved: Any, tmp_path: Path) -> None:
    openai_archive(saved, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.pt"):
        load_clip(named, str(tmp_path / "cut.pt"))


def test_a_custom_text_model_loads_files_of_the_older_layout(
    vit_config: dict[str, Any], saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = open_clip.factory._MODEL_CONFIGS
    monkeypatch.setitem(configs, "tiny-custom", {**vit_config, "custom_text": True})
    torch.save(saved.state_dict(), tmp_path / "old.pt")
    clip = load_clip("tiny-custom", str(tmp_path / "old.pt"))
    for got, expected in zip(outputs(clip.model), outputs(saved), strict=True):
        torch.testing.assert_close(got, expected)
    learner = PromptLearner(clip, [["tears."]], contexts=0)
    with torch.no_grad():
        weight = learner.class_weights(TextTower(clip))
    torch.testing.assert_close(weight, saved.encode_text(open_clip.tokenize("tears."), normalize=True))
