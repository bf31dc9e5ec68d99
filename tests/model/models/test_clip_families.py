"""Image-text models of open_clip beside CLIP: class weights equal encode_text, and contexts are learnable."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import open_clip
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dfer_model.comparison.screening.stacked import StackedPrompts
from dfer_model.config import ModelSettings
from dfer_model.errors import InputError
from dfer_model.evaluation.cost import flops_of
from dfer_model.models.clip import Clip, clip_from_config, load_clip
from dfer_model.models.dfer_clip import DferClip
from dfer_model.models.prompt_learner import PromptLearner, TextTower

from .local_tokenizers import bert_tokenizer, siglip2_tokenizer, siglip_tokenizer, xlm_tokenizer

TEXTS = ["a smiling mouth, raised cheeks.", "tears.", "furrowed eyebrows, narrow eyes, and a smiling mouth."]
OWN = [[text] for text in TEXTS]


class Family(NamedTuple):
    """A model of open_clip, and what its text positions are."""

    name: str
    positions: int
    tokenizer: Callable[[Path], Path] | None = None  # None: CLIP's own


FAMILIES = [
    Family("ViT-B-32-quickgelu", 77),  # MetaCLIP has this architecture too
    Family("EVA02-B-16", 77),
    Family("PE-Core-B-16", 32),
    Family("MobileCLIP-S1", 77),
    Family("MobileCLIP2-B", 77),
    Family("coca_ViT-B-32", 76),
    Family("ViT-B-16-SigLIP", 64, siglip_tokenizer),
    Family("ViT-SO400M-16-SigLIP-i18n-256", 64, siglip_tokenizer),
    Family("ViT-B-16-SigLIP2", 64, siglip2_tokenizer),
    Family("ViT-L-14-CLIPA", 32, bert_tokenizer),
    Family("ViT-H-14-worldwide", 77, xlm_tokenizer),
]
VIT = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 16}


def shrunk(family: Family, folder: Path) -> dict[str, Any]:
    """open_clip's configuration with two narrow layers of text, a small image tower and a local tokenizer."""
    config = deepcopy(open_clip.get_model_config(family.name))
    used = {
        key: config["vision_cfg"][key]
        for key in ("attentional_pool", "output_tokens")
        if key in config["vision_cfg"]
    }
    config.update(embed_dim=32, vision_cfg=VIT | used)
    text = config["text_cfg"]
    text.update(width=32, heads=2, layers=2)
    if family.tokenizer:
        text.update(hf_tokenizer_name=str(family.tokenizer(folder)), vocab_size=100)
        if text.get("pool_type") == "eos":
            text["eos_id"] = 3
    if "multimodal_cfg" in config:
        config["multimodal_cfg"].update(width=32, heads=2, layers=1)
    return config


@pytest.fixture(scope="module", params=FAMILIES, ids=[family.name for family in FAMILIES])
def family(request: pytest.FixtureRequest) -> Family:
    given: Family = request.param
    return given


@pytest.fixture(scope="module")
def config(family: Family, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return shrunk(family, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def clip(family: Family, config: dict[str, Any]) -> Clip:
    made = clip_from_config(family.name, "random", config, seed=2)
    with torch.no_grad():  # random positions and class tokens are too small to make a difference
        for name, value in made.model.named_parameters():
            if name.endswith(("positional_embedding", "cls_emb", "token_embedding.weight")):
                value.mul_(20)
    return made


def open_clips_tokens(config: dict[str, Any], texts: list[str]) -> Tensor:
    """The token ids by open_clip's own tokenizer of that configuration."""
    text = config["text_cfg"]
    length = text["context_length"]
    if "hf_tokenizer_name" not in text:
        return SimpleTokenizer(context_length=length)(texts)
    options = text.get("tokenizer_kwargs", {})
    tokens: Tensor = HFTokenizer(text["hf_tokenizer_name"], context_length=length, **options)(texts)
    return tokens


def test_without_contexts_class_weights_are_encode_text(
    family: Family, clip: Clip, config: dict[str, Any]
) -> None:
    assert clip.context_length == family.positions
    tokens = open_clips_tokens(config, [*TEXTS, "!"])
    assert torch.equal(clip.tokenizer([*TEXTS, "!"]), tokens)
    expected = clip.model.encode_text(tokens, normalize=True)
    weights = PromptLearner(clip, [*OWN, ["!"]], contexts=0).class_weights(TextTower(clip))
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-5)


def test_contexts_are_tokens_before_the_description(clip: Clip, config: dict[str, Any]) -> None:
    """Contexts with the embeddings of a word give encode_text of the text with that word in front."""
    learner = PromptLearner(clip, OWN, contexts=3)
    part = getattr(clip.model, "text", clip.model)
    (word,) = clip.tokenizer.encode("eyes")
    with torch.no_grad():
        learner.contexts.copy_(part.token_embedding.weight[word].expand_as(learner.contexts))
        weights = learner.class_weights(TextTower(clip))
        tokens = open_clips_tokens(config, [f"eyes eyes eyes {text}" for text in TEXTS])
        expected = clip.model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_context_and_padding_changes_nothing(clip: Clip) -> None:
    torch.manual_seed(0)
    tower, learner = TextTower(clip), PromptLearner(clip, OWN, contexts=3)
    goal = torch.randn(len(TEXTS), clip.embed_dim)
    weights = learner.class_weights(tower)
    (weights * goal).sum().backward()
    assert learner.contexts.grad is not None
    assert bool((learner.contexts.grad.abs().amax(dim=-1) > 1e-8).all())
    assert all(parameter.grad is None for parameter in tower.parameters())
    # Alone, a text has no padding up to the longest; stacked with others of screening, it has more.
    alone = [PromptLearner(clip, [own], contexts=3) for own in OWN]
    for number, each in enumerate(alone):
        each.contexts.data.copy_(learner.contexts.data[number : number + 1])
    one_by_one = torch.cat([each.class_weights(tower) for each in alone])
    torch.testing.assert_close(one_by_one, weights, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(StackedPrompts(clip, alone)(), weights, rtol=1e-4, atol=1e-5)
    filled = F.pad(learner(), (0, 0, 0, clip.context_length - learner().shape[1]), value=9.0)
    torch.testing.assert_close(
        F.normalize(tower(filled, learner.ends), dim=-1), weights, rtol=1e-4, atol=1e-5
    )


def test_dfer_clip_is_built_on_it(clip: Clip, config: dict[str, Any]) -> None:
    settings = ModelSettings(contexts=0, temporal_depth=0, frames=2)
    frames = torch.randn(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = DferClip(clip, OWN, settings)(frames)
        video = F.normalize(
            clip.model.encode_image(frames.flatten(0, 1), normalize=False).unflatten(0, (2, 2)).mean(1),
            dim=-1,
        )
        text = clip.model.encode_text(open_clips_tokens(config, TEXTS), normalize=True)
    torch.testing.assert_close(logits, 100 * video @ text.T, rtol=1e-3, atol=1e-3)


def test_bf16_is_close_to_fp32(clip: Clip) -> None:
    tower, learner = TextTower(clip), PromptLearner(clip, OWN, contexts=2)
    with torch.no_grad():
        exact = learner.class_weights(tower)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = learner.class_weights(tower)
    assert (exact * rounded).sum(dim=-1).min() > 0.99
    assert not torch.equal(exact, rounded)


def test_the_room_is_that_of_the_model(family: Family, clip: Clip) -> None:
    marks = 1 if "SigLIP" in family.name else 2
    room = family.positions - marks - 8
    longest = " ".join(["eyes"] * room)
    assert PromptLearner(clip, [[longest]], contexts=8)().shape[1] == family.positions
    with pytest.raises(InputError) as caught:
        PromptLearner(clip, [[f"{longest} eyes"]], contexts=8, class_names=["fear"])
    around = "end" if marks == 1 else "start, end"
    assert str(caught.value).splitlines()[0] == (
        f"the description of 'fear' has {room + 1} tokens; with {around} and 8 contexts {family.name} has "
        f"room for {room} of {family.positions}"
    )


def pooling_by_attention(folder: Path) -> Clip:
    """A SigLIP whose image tower is a small one of timm, pooled by attention."""
    config = shrunk(Family("ViT-B-16-SigLIP", 64, siglip_tokenizer), folder)
    config["vision_cfg"] = {
        "image_size": 160, "timm_model_name": "test_vit3", "timm_pool": "map", "timm_proj": "linear",
    }  # fmt: skip
    return clip_from_config("small", "random", config)


def test_an_image_tower_of_timm_with_attention_pooling_gives_one_vector(tmp_path: Path) -> None:
    model = DferClip(
        pooling_by_attention(tmp_path), OWN, ModelSettings(contexts=2, temporal_depth=1, frames=2)
    )
    model(torch.randn(1, 2, 3, 160, 160)).logsumexp(dim=-1).sum().backward()
    contexts = model.prompt_learner.contexts
    assert contexts.grad is not None
    assert float(contexts.grad.abs().sum()) > 0


def test_flops_of_attention_pooling_are_counted(tmp_path: Path) -> None:
    model = DferClip(
        pooling_by_attention(tmp_path), OWN, ModelSettings(contexts=0, temporal_depth=0, frames=2)
    )
    trained = [value.requires_grad for value in model.parameters()]
    weights = model.class_weights().detach()
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.randn(1, 2, 3, 160, 160), weights)
    assert flops_of(model, 2, 160) == counter.get_total_flops() > 0
    assert [value.requires_grad for value in model.parameters()] == trained


@pytest.mark.parametrize("setting", ["add_eos_token", "add_bos_token"])
def test_marks_in_the_settings_count_before_the_template(setting: str, tmp_path: Path) -> None:
    """Gemma's template may lack the end token that its settings add."""
    config = shrunk(Family("ViT-B-16-SigLIP2", 64, siglip2_tokenizer), tmp_path)
    path = tmp_path / "tokenizer_config.json"
    given = json.loads(path.read_text()) | {"bos_token": "<bos>", setting: setting == "add_bos_token"}
    path.write_text(json.dumps(given))
    row = clip_from_config("small", "random", config).tokenizer(["tears"])[0]
    tears = 9
    expected = [tears, 0, 0] if setting == "add_eos_token" else [3, tears, 1]
    assert row[:3].tolist() == expected


def in_the_cache(cache: Path, repository: str) -> Path:
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    return folder / "snapshots" / "c0ffee"


def test_a_tokenizer_in_the_cache_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    siglip_tokenizer(in_the_cache(tmp_path, "timm/ViT-B-16-SigLIP"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    config = shrunk(Family("ViT-B-16-SigLIP", 64), tmp_path)
    assert clip_from_config("SigLIP", "random", config).tokenizer(["Tears!"])[0, :3].tolist() == [8, 1, 1]


@pytest.mark.parametrize("missing", ["tokenizer.json", "tokenizer_config.json"])
def test_a_missing_file_of_a_tokenizer_is_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (siglip_tokenizer(in_the_cache(tmp_path, "timm/ViT-B-16-SigLIP")) / missing).unlink()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    clip = clip_from_config("SigLIP", "random", shrunk(Family("ViT-B-16-SigLIP", 64), tmp_path))
    with pytest.raises(InputError) as caught:
        PromptLearner(clip, OWN)
    first, second = str(caught.value).splitlines()
    assert first == (
        f"{missing} of the tokenizer timm/ViT-B-16-SigLIP of SigLIP is not on this machine and cannot be "
        "downloaded: HF_HUB_OFFLINE is set"
    )
    assert "hf download timm/ViT-B-16-SigLIP tokenizer.json tokenizer_config.json" in second
    assert second.endswith(f"copy models--timm--ViT-B-16-SigLIP from its cache to {tmp_path}")


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("tokenizer.json", "{}", "the tokenizer FOLDER of SigLIP cannot be read: "),
        ("tokenizer_config.json", "{", "the tokenizer FOLDER of SigLIP cannot be read: "),
        ("tokenizer_config.json", "[]", "tokenizer_config.json holds no settings of a tokenizer"),
        ("tokenizer_config.json", "{}", "of SigLIP names no pad_token of its vocabulary"),
    ],
)
def test_a_damaged_tokenizer_is_named(file: str, content: str, sentence: str, tmp_path: Path) -> None:
    config = shrunk(Family("ViT-B-16-SigLIP", 64, siglip_tokenizer), tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(InputError) as caught:
        PromptLearner(clip_from_config("SigLIP", "random", config), OWN)
    assert sentence.replace("FOLDER", str(tmp_path)) in str(caught.value)


def test_a_file_gets_the_pixel_scale_that_all_tags_of_its_model_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SigLIP's weights take pixels in -1..1, whether they come from a tag or from a file."""
    config = shrunk(Family("ViT-B-16-SigLIP", 64, siglip_tokenizer), tmp_path)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16-SigLIP", config)
    model = clip_from_config("SigLIP", "random", config, seed=3).model
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    tensors["logit_bias"] = tensors["logit_bias"].reshape(1)
    save_file(tensors, tmp_path / "siglip.safetensors")
    clip = load_clip("ViT-B-16-SigLIP", str(tmp_path / "siglip.safetensors"))
    assert (clip.mean, clip.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    given = torch.ones(1, 3, 32, 32)
    torch.testing.assert_close(clip.model.encode_image(given), model.encode_image(given))  # type: ignore[operator]
