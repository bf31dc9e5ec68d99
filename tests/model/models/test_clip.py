"""CLIP by name and from files: every format gives the features of the saved weights, or a sentence."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import torch
from open_clip.model import convert_weights_to_fp16
from safetensors.torch import save_file
from torch import Tensor, nn

from dfer_model.errors import InputError
from dfer_model.models.clip import Clip, clip_from_config, clip_identity, load_clip, token_ids
from dfer_model.models.prompt_learner import PromptLearner, TextTower

NAME = "tiny-quickgelu"


@pytest.fixture
def named(vit_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny ViT under a name that open_clip knows, with QuickGELU and, as `tiny`, with GELU."""
    for name, quick in ((NAME, True), ("tiny", False)):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, {**vit_config, "quick_gelu": quick})
    return NAME


@pytest.fixture
def saved(vit_config: dict[str, Any]) -> nn.Module:
    """The model whose weights the files hold, all exact in float16, in which OpenAI's files are."""
    model = clip_from_config("saved", "random", vit_config, seed=9).model
    return model.half().float()


def outputs(model: Any) -> tuple[Tensor, Tensor]:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.encode_image(images), model.encode_text(open_clip.tokenize(["tears.", "raised cheeks."]))


def openai_numbers() -> dict[str, Tensor]:
    return {
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }


def openai_archive(model: nn.Module, path: Path) -> None:
    """A traced TorchScript archive with partly float16 weights, as OpenAI released them."""
    convert_weights_to_fp16(model)
    for name, number in openai_numbers().items():
        model.__dict__.pop(name, None)
        model.register_buffer(name, number)
    images, text = torch.ones(1, 3, 32, 32).half(), torch.zeros(1, 77, dtype=torch.int32)
    inputs = {"encode_image": (images,), "encode_text": (text,)}
    torch.jit.trace_module(model, inputs, check_trace=False).save(str(path))


def openai_state_dict(model: nn.Module, path: Path) -> None:
    convert_weights_to_fp16(model)
    torch.save({**model.state_dict(), **openai_numbers()}, path)


def wrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As a model inside DistributedDataParallel names its tensors."""
    return {f"module.{name}": tensor for name, tensor in state.items()}


def farl_checkpoint(model: nn.Module, path: Path) -> None:
    """The names in FaRL's released checkpoints: OpenAI's, and those of a head for masked patches."""
    head = {
        "mask_token": torch.ones(64),
        "lm_transformer.resblocks.0.attn.in_proj_weight": torch.ones(192, 64),
        "ln_lm.weight": torch.ones(64),
        "lm_head.weight": torch.ones(8192, 64),
    }
    state = {**model.state_dict(), **{f"visual.{name}": tensor for name, tensor in head.items()}}
    torch.save({"state_dict": state}, path)


def open_clip_checkpoint(model: nn.Module, path: Path) -> None:
    state = wrapped(model.state_dict())
    torch.save({"epoch": 3, "name": "x", "state_dict": state, "optimizer": {"step": 1}}, path)


def in_transformers_names(model: nn.Module) -> dict[str, Tensor]:
    """The weights as transformers' CLIPModel names them, written down from its documentation."""
    ours = model.state_dict()
    names = {
        "logit_scale": "logit_scale",
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
    }
    for kind in ("weight", "bias"):
        names[f"vision_model.pre_layrnorm.{kind}"] = f"visual.ln_pre.{kind}"
        names[f"vision_model.post_layernorm.{kind}"] = f"visual.ln_post.{kind}"
        names[f"text_model.final_layer_norm.{kind}"] = f"ln_final.{kind}"
    theirs = {name: ours[own] for name, own in names.items()}
    theirs["visual_projection.weight"] = ours["visual.proj"].T.contiguous()
    theirs["text_projection.weight"] = ours["text_projection"].T.contiguous()
    theirs["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    parts = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
             "self_attn.out_proj": "attn.out_proj"}  # fmt: skip
    for tower, own in (("vision", "visual.transformer"), ("text", "transformer")):
        for layer in range(2):
            block, layers = f"{own}.resblocks.{layer}", f"{tower}_model.encoder.layers.{layer}"
            for kind in ("weight", "bias"):
                for part, name in parts.items():
                    theirs[f"{layers}.{part}.{kind}"] = ours[f"{block}.{name}.{kind}"]
                chunks = ours[f"{block}.attn.in_proj_{kind}"].chunk(3)
                for part, chunk in zip("qkv", chunks, strict=True):
                    theirs[f"{layers}.self_attn.{part}_proj.{kind}"] = chunk.clone()
    return theirs


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


class Settings:
    """An object of a training script, which stands beside the weights."""

    def __init__(self) -> None:
        self.lr = 1e-5


def lightning(model: nn.Module, path: Path) -> None:
    state = prefixed("model.", model.state_dict())
    torch.save({"state_dict": state, "hyper_parameters": Settings(), "epoch": 3}, path)


FORMATS: dict[str, Callable[[Any, Path], None]] = {
    "archive.pt": openai_archive,
    "state.pt": openai_state_dict,
    "plain.bin": lambda model, path: torch.save(model.state_dict(), path),
    "epoch_3.pt": open_clip_checkpoint,
    "model.safetensors": lambda model, path: save_file(model.state_dict(), path),
    "wrapped.bin": lambda model, path: torch.save(wrapped(model.state_dict()), path),
    "wrapped.safetensors": lambda model, path: save_file(wrapped(model.state_dict()), path),
    "half.safetensors": lambda model, path: save_file(model.half().state_dict(), path),
    "wrapped_openai.pt": lambda model, path: torch.save(
        wrapped({**model.state_dict(), **openai_numbers()}), path
    ),
    "old.pt": lambda model, path: torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False),
    "FaRL-ep16.pth": farl_checkpoint,
    "lightning.ckpt": lightning,
    "compiled.pt": lambda model, path: torch.save(
        {"model": prefixed("_orig_mod.module.", model.state_dict()), "args": Settings()}, path
    ),
    "nested.pt": lambda model, path: torch.save({"model": {"state_dict": model.state_dict()}}, path),
    "transformers.safetensors": lambda model, path: save_file(in_transformers_names(model), path),
    "pytorch_model.bin": lambda model, path: torch.save(in_transformers_names(model), path),
    "safetensors.bin": lambda model, path: save_file(model.state_dict(), path),
}


@pytest.mark.parametrize("file", FORMATS)
def test_a_file_gives_the_features_it_was_saved_with(
    named: str, saved: Any, file: str, tmp_path: Path
) -> None:
    expected = outputs(saved)
    FORMATS[file](saved, tmp_path / file)
    clip = load_clip(named, str(tmp_path / file))
    assert {tensor.dtype for tensor in clip.model.parameters()} == {torch.float32}
    for got, wanted in zip(outputs(clip.model), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


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
        (lambda s: {**s, "note": "hello"}, "holds no state dict: 'note' is no tensor"),
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
def test_a_file_that_is_no_weight_file_is_named(
    named: str, file: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=file):
        load_clip(named, str(tmp_path / file))


def test_a_cut_off_archive_is_named(named: str, saved: Any, tmp_path: Path) -> None:
    openai_archive(saved, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.pt"):
        load_clip(named, str(tmp_path / "cut.pt"))


@pytest.mark.parametrize(
    ("name", "weights", "sentence"),
    [
        ("ViT-B-32-quickgellu", "openai", "no CLIP 'ViT-B-32-quickgellu'; did you mean ViT-B-32-quickgelu"),
        ("demmo", "openai", "no CLIP 'demmo'; did you mean demo"),
        ("ViT-B-32-quickgelu", "opanai", "no weights 'opanai' of ViT-B-32-quickgelu; did you mean openai?"),
        ("ViT-B-32-quickgelu", "/nowhere/x.pt", "no weight file /nowhere/x.pt"),
        ("ViT-B-32-quickgelu", "x.pt", "no weight file x.pt"),
        ("demo", "openai", "the demo CLIP has the weights shipped or random, not 'openai'"),
        ("xlm-roberta-base-ViT-B-32", "random", "its text tower is a HuggingFace model"),
        ("ViT-B-16-SigLIP", "random", "has the tokenizer timm/ViT-B-16-SigLIP, not CLIP's own"),
        ("coca_ViT-B-32", "random", "has its output at a class token after the text"),
    ],
)
def test_a_wrong_name_is_a_sentence(name: str, weights: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        load_clip(name, weights)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}])
def test_a_text_tower_that_takes_no_prompts_is_refused(
    vit_config: dict[str, Any], text: dict[str, Any]
) -> None:
    vit_config["text_cfg"].update(text)
    with pytest.raises(InputError, match="tiny cannot be used: its text tower"):
        clip_from_config("tiny", "random", vit_config)


def assert_says_how_to_bring_the_file(message: str, reason: str) -> None:
    first, second = message.strip().splitlines()
    assert first == (
        "the weights 'openai' of ViT-B-32-quickgelu are not on this machine and cannot be downloaded: "
        + reason
    )
    assert second.startswith("Bring ViT-B-32.pt from a machine with a network and give it: --weights FILE")


def test_a_tag_without_network_says_how_to_bring_the_file(tmp_path: Path) -> None:
    code = (
        "from dfer_model.models.clip import load_clip\nfrom dfer_model.errors import InputError\n"
        "try:\n    load_clip('ViT-B-32-quickgelu', 'openai')\nexcept InputError as error:\n    print(error)"
    )
    # A process of its own: the hub's client reads its variables once, when it is imported.
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert_says_how_to_bring_the_file(done.stdout, "[Errno 111] Connection refused")
    assert "Retry" not in done.stderr


def test_a_tag_in_the_hubs_offline_mode_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_vit_b_32_is_what_the_paper_says() -> None:
    clip = load_clip("ViT-B-32-quickgelu", "random")
    assert (clip.image_size, clip.context_length, clip.embed_dim, clip.text_width) == (224, 77, 512, 512)
    assert clip.mean == (0.48145466, 0.4578275, 0.40821073)
    assert clip.std == (0.26862954, 0.26130258, 0.27577711)
    assert any(isinstance(module, open_clip.transformer.QuickGELU) for module in clip.model.modules())


def test_a_custom_text_model_loads_files_of_the_older_layout(
    vit_config: dict[str, Any], saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = open_clip.factory._MODEL_CONFIGS
    monkeypatch.setitem(configs, "tiny-custom", {**vit_config, "custom_text": True})
    torch.save(saved.state_dict(), tmp_path / "old.pt")
    clip = load_clip("tiny-custom", str(tmp_path / "old.pt"))
    for got, wanted in zip(outputs(clip.model), outputs(saved), strict=True):
        torch.testing.assert_close(got, wanted)
    learner = PromptLearner(clip, [["tears."]], contexts=0)
    with torch.no_grad():
        weight = learner.class_weights(TextTower(clip))
    torch.testing.assert_close(weight, saved.encode_text(open_clip.tokenize("tears."), normalize=True))


def test_tokens_are_those_of_open_clip(tiny_clip: Clip) -> None:
    text = "A smiling mouth, and raised cheeks."
    ids = token_ids(tiny_clip, text, owner="'happiness'")
    row = open_clip.tokenize([text])[0]
    assert row[: len(ids) + 2].tolist() == [49406, *ids, 49407]
