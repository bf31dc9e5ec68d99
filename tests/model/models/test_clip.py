"""CLIP by name: pretrained tags, the cache, random weights, tokens, and unknown names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from dfer_model.errors import InputError
from dfer_model.models.clip import Clip, clip_from_config, clip_identity, load_clip, token_ids

from .weight_files import outputs


@pytest.mark.parametrize(
    ("name", "tag", "right", "computed", "better"),
    [
        ("ViT-B-32", "openai", "QuickGELU", "GELU", "ViT-B-32-quickgelu"),
        ("ViT-B/32", "openai", "QuickGELU", "GELU", "ViT-B-32-quickgelu"),
        ("ViT-H-14-quickgelu", "laion2b_s32b_b79k", "GELU", "QuickGELU", "ViT-H-14"),
    ],
)
def test_a_tag_with_the_other_activation_is_refused(
    name: str, tag: str, right: str, computed: str, better: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"hf_hub": "someone/plain/", "quick_gelu": right == "QuickGELU"}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-H-14-quickgelu", {"laion2b_s32b_b79k": record})
    with pytest.raises(InputError) as caught:
        load_clip(name, tag)
    assert f"were trained with {right}, and {name.replace('/', '-')} computes {computed}" in str(caught.value)
    assert str(caught.value).endswith(f"Use --set clip={better}")


@pytest.mark.parametrize(
    ("name", "weights", "sentence"),
    [
        ("ViT-B-32-quickgellu", "openai", "no CLIP 'ViT-B-32-quickgellu'; did you mean ViT-B-32-quickgelu"),
        ("demmo", "openai", "no CLIP 'demmo'; did you mean demo"),
        ("ViT-B-32-quickgelu", "opanai", "no weights 'opanai' of ViT-B-32-quickgelu; did you mean openai?"),
        ("ViT-B-32-quickgelu", "/nowhere/x.pt", "no weight file /nowhere/x.pt"),
        ("ViT-B-32-quickgelu", "x.pt", "no weight file x.pt"),
        ("demo", "openai", "the demo CLIP has the weights shipped or random, not 'openai'"),
        ("xlm-roberta-base-ViT-B-32", "random", "its text tower takes token ids only (a HuggingFace model)"),
        ("ViT-B-16-SigLIP", "openai", "There are: random, webli, or name a file"),
    ],
)
def test_a_wrong_name_is_an_error(name: str, weights: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        load_clip(name, weights)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ({"pool_type": "none"}, "gives a vector per token"),
        ({"pool_type": "first"}, "pools its output by 'first'"),
        ({"hf_tokenizer_name": "someone/tiny"}, "has its output at the largest token id"),
        ({"hf_model_name": "roberta-base"}, "takes token ids only"),
    ],
)
def test_a_text_tower_that_takes_no_prompts_is_refused(
    vit_config: dict[str, Any], text: dict[str, Any], reason: str
) -> None:
    vit_config["text_cfg"].update(text)
    with pytest.raises(InputError, match=f"tiny cannot be used: its text tower {reason}"):
        clip_from_config("tiny", "random", vit_config)


def assert_says_how_to_bring_the_file(message: str, reason: str) -> None:
    first, second = message.strip().splitlines()
    assert first == (
        "the weights 'openai' of ViT-B-32-quickgelu are not on this machine and cannot be downloaded: "
        + reason
    )
    assert second.startswith("Bring ViT-B-32.pt from a machine with a network and give it: --weights FILE")


def test_a_tag_without_network_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The client of the Hub reads its environment variables once, when it is imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        load_clip("ViT-B-32-quickgelu", "openai")
    assert_says_how_to_bring_the_file(str(caught.value), "[Errno 111] Connection refused")
    assert "Retry" not in caplog.text


def test_a_tag_in_offline_mode_sends_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError) as caught:
        load_clip("ViT-B-32-quickgelu", "openai")
    assert_says_how_to_bring_the_file(str(caught.value), "HF_HUB_OFFLINE is set")


def test_a_tag_in_the_cache_needs_no_network(
    named: str, saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / "c0ffee"
    (tmp_path / "models--someone--tiny" / "refs").mkdir(parents=True)
    (tmp_path / "models--someone--tiny" / "refs" / "main").write_text("c0ffee")
    snapshot.mkdir(parents=True)
    save_file(saved.state_dict(), snapshot / "open_clip_model.safetensors")
    record = {"hf_hub": "someone/tiny/", "quick_gelu": True, "mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, named, {"mine": record})
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    clip = load_clip(named, "mine")
    torch.testing.assert_close(outputs(clip.model)[0], outputs(saved)[0])
    assert (clip.mean, clip.std) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))


def test_random_weights_come_from_the_seed_alone(named: str) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = load_clip(named, "random", seed=4)
    assert torch.rand(1) == expected  # the caller's random numbers are as if nothing had been drawn
    assert clip_identity(first) == clip_identity(load_clip(named, "random", seed=4))
    assert clip_identity(first) != clip_identity(load_clip(named, "random", seed=5))


def test_vit_b_32_has_the_shape_of_the_paper() -> None:
    clip = load_clip("ViT-B-32-quickgelu", "random")
    assert (clip.image_size, clip.context_length, clip.embed_dim, clip.text_width) == (224, 77, 512, 512)
    assert clip.mean == (0.48145466, 0.4578275, 0.40821073)
    assert clip.std == (0.26862954, 0.26130258, 0.27577711)
    assert any(isinstance(module, open_clip.transformer.QuickGELU) for module in clip.model.modules())


def test_tokens_are_those_of_open_clip(tiny_clip: Clip) -> None:
    text = "A smiling mouth, and raised cheeks."
    ids = token_ids(tiny_clip, text, owner="'happiness'")
    row = open_clip.tokenize([text])[0]
    assert row[: len(ids) + 2].tolist() == [49406, *ids, 49407]
