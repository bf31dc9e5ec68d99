"""The folder of the demo CLIP: its content, and the errors for a damaged one."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

import dfer_model.models.clip
from dfer_model.errors import InputError
from dfer_model.models.clip import Clip, clip_identity, load_clip, load_demo_clip, save_demo_clip


@pytest.mark.parametrize("tower", ["tiny_clip", "tiny_resnet_clip"])
def test_the_demo_format_keeps_the_rows_in_use(
    tower: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    clip: Clip = request.getfixturevalue(tower)
    texts = ["tears.", "raised cheeks."]
    used = {token for text in texts for token in clip.tokenizer.encode(text)}
    save_demo_clip(clip, tmp_path / "demo", sorted(used))
    loaded = load_demo_clip(tmp_path / "demo")
    images, text = torch.randn(2, 3, 32, 32), open_clip.tokenize(["tears."])
    with torch.no_grad():
        torch.testing.assert_close(loaded.model.encode_image(images), clip.model.encode_image(images))
        torch.testing.assert_close(loaded.model.encode_text(text), clip.model.encode_text(text))
    table = loaded.model.token_embedding.weight
    in_use = table.abs().sum(1) > 0
    assert set(in_use.nonzero().flatten().tolist()) == used | {49406, 49407}
    assert load_file(tmp_path / "demo" / "model.safetensors")["token_embedding.rows"].dtype == torch.int64
    assert (loaded.name, loaded.image_size, loaded.mean) == ("demo", 32, clip.mean)


def test_load_clip_demo_reads_the_shipped_folder(
    tiny_resnet_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_demo_clip(tiny_resnet_clip, tmp_path, [320])
    monkeypatch.setattr(dfer_model.models.clip, "DEMO_FOLDER", tmp_path)
    assert clip_identity(load_clip("demo")) == clip_identity(load_clip("demo", "shipped"))
    assert clip_identity(load_clip("demo")) != clip_identity(load_clip("demo", "random"))


def test_a_damaged_demo_folder_is_an_error(tiny_resnet_clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no demo CLIP in .*config\.json"):
        load_demo_clip(tmp_path)
    save_demo_clip(tiny_resnet_clip, tmp_path, [320])
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(
        {**tensors, "token_embedding.rows": tensors["token_embedding.rows"] + 49408},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(InputError, match="lie outside the vocabulary of 49408"):
        load_demo_clip(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        load_demo_clip(tmp_path)
