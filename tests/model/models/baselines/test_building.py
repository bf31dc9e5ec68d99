"""Video networks from settings: architecture, published size, weights from a file, and errors."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, resnet18
from torchvision.models.video import R2Plus1D_18_Weights, R3D_18_Weights

from dfer_model.config import Settings, strategy, with_overrides
from dfer_model.errors import InputError
from dfer_model.models.baselines.build import FORMS, network_base
from dfer_model.models.baselines.video_network import VideoNetwork
from dfer_model.models.strategies import load_base
from dfer_model.models.temporal import TemporalModel

CLASSES = ["happiness", "sadness", "fear"]
TEXTS = [["a smile."], ["tears."], ["parted lips."]]


def settings(classifier: str, **changed: object) -> Settings:
    chosen = {**strategy(classifier), "weights": "random", **changed}
    return with_overrides(Settings(), [f"{key}={value}" for key, value in chosen.items()])


def build(chosen: Settings) -> VideoNetwork:
    model = network_base(chosen).build(TEXTS, CLASSES)
    assert isinstance(model, VideoNetwork)
    return model


def same_network(one: VideoNetwork, other: VideoNetwork) -> bool:
    states = one.image.state_dict(), other.image.state_dict()
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_every_network_is_a_strategy_of_its_name() -> None:
    for name in FORMS:
        assert settings(name).classifier == name
        assert not settings(name).uses_clip


@pytest.mark.parametrize(
    ("name", "original", "classes"),
    [
        ("r3d-18", R3D_18_Weights.KINETICS400_V1, 400),
        ("r2plus1d-18", R2Plus1D_18_Weights.KINETICS400_V1, 400),
        ("resnet18-lstm", ResNet18_Weights.IMAGENET1K_V1, 1000),
        ("resnet18-vit", ResNet18_Weights.IMAGENET1K_V1, 1000),
    ],
)
def test_size_and_preprocessing_are_those_of_torchvision(name: str, original: object, classes: int) -> None:
    form = FORMS[name]
    with torch.device("meta"):
        counted = sum(value.numel() for value in form.image().parameters())
    assert counted + 512 * classes + classes == original.meta["num_params"]  # type: ignore[attr-defined]
    transforms = original.transforms()  # type: ignore[attr-defined]
    assert (list(form.mean), list(form.std)) == (transforms.mean, transforms.std)
    assert form.image_size == transforms.crop_size[-1]
    assert form.published is type(original)
    assert strategy(name)["weights"] in form.published.__members__


@pytest.mark.parametrize("name", [name for name in FORMS if name != "c3d"])
def test_a_network_has_one_logit_per_class(name: str) -> None:
    chosen = settings(name, frames=2)
    model = build(chosen).eval()
    with torch.inference_mode():
        logits = model(torch.randn(2, 2, 3, 32, 32))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()
    assert model.class_weights().numel() == 0
    parts = model.trained_parameters()
    assert {id(each) for part in parts.values() for each in part} == set(map(id, model.parameters()))
    assert bool(parts["temporal"]) == name.startswith("resnet18")


def test_layers_of_the_temporal_model() -> None:
    lstm, transformer = (build(settings(f"resnet18-{each}", temporal_depth=2)) for each in ("lstm", "vit"))
    assert lstm.get_submodule("temporal").num_layers == 2
    assert isinstance(transformer.temporal, TemporalModel)
    assert len(transformer.temporal.layers) == 2
    assert transformer.temporal.positions.shape == (17, 512)


def test_random_weights_come_from_the_seed_of_the_run() -> None:
    base = network_base(settings("i3d"))

    def seeded(seed: int) -> VideoNetwork:
        torch.manual_seed(seed)
        model = base.build(TEXTS, CLASSES)
        assert isinstance(model, VideoNetwork)
        return model

    assert same_network(seeded(1), seeded(1))
    assert not same_network(seeded(1), seeded(2))
    assert base.sha256 == network_base(settings("i3d")).sha256 != network_base(settings("p3d")).sha256


@pytest.mark.parametrize("form", ["state dict", "wrapped", "safetensors"])
def test_a_torchvision_file_is_read_without_its_head(form: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    original = resnet18(
        num_classes=3
    )  # the number of classes of this dataset; a file does not tell their order
    tensors = original.state_dict()
    path = tmp_path / ("resnet.safetensors" if form == "safetensors" else "resnet.pth")
    if form == "safetensors":
        save_file(tensors, path)
    elif form == "wrapped":
        torch.save({"state_dict": {f"module.{name}": value for name, value in tensors.items()}}, path)
    else:
        torch.save({name: value for name, value in tensors.items() if "num_batches" not in name}, path)
    base = network_base(settings("resnet18-lstm", weights=path))
    model = base.build(TEXTS, CLASSES)
    assert isinstance(model, VideoNetwork)
    original.fc = torch.nn.Identity()
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        expected = original.eval()(image)
        assert torch.equal(model.eval().image(image[:, None])[:, 0], expected)
    assert not torch.equal(model.head.weight, tensors["fc.weight"])
    other = tmp_path / "same.safetensors"
    save_file(tensors, other)
    assert base.sha256 == network_base(settings("resnet18-lstm", weights=other)).sha256


def test_a_file_of_this_network_is_read_unchanged(tmp_path: Path) -> None:
    torch.manual_seed(3)
    made = build(settings("resnet18-vit"))
    save_file({**made.state_dict(), "class_weights": torch.empty(0)}, tmp_path / "model.safetensors")
    again = build(settings("resnet18-vit", weights=tmp_path / "model.safetensors"))
    assert same_network(made, again)
    states = [model.get_submodule("temporal").state_dict() for model in (made, again)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not torch.equal(made.head.weight, again.head.weight)


def test_parameter_names_of_ported_i3d_files_are_read(tmp_path: Path) -> None:
    made = build(settings("i3d")).image.network.state_dict()
    head = {"logits.conv3d.weight": torch.zeros(400, 1024, 1, 1, 1), "logits.conv3d.bias": torch.zeros(400)}
    torch.save({**made, **head}, tmp_path / "rgb_imagenet.pt")
    again = build(settings("i3d", weights=tmp_path / "rgb_imagenet.pt")).image.network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in made.items())


def refusal(chosen: Settings) -> str:
    with pytest.raises(InputError) as refused:
        load_base(chosen)
    message = str(refused.value)
    assert message.count("\n") <= 1
    return message


def test_a_file_that_does_not_fit_names_the_parameter(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    tensors = resnet18().state_dict()
    chosen = settings("resnet18-lstm", weights=path)
    torch.save(tensors, path)
    assert "does not fit r3d-18: it has no stem.0.weight" in refusal(settings("r3d-18", weights=path))
    torch.save({**tensors, "conv1.weight": torch.zeros(64, 3, 5, 5)}, path)
    assert "conv1.weight is (64, 3, 5, 5) in the file and (64, 3, 7, 7)" in refusal(chosen)
    torch.save({**tensors, "layer5.0.weight": torch.zeros(1)}, path)
    assert "resnet18-lstm has no layer5.0.weight" in refusal(chosen)
    path.write_text("nothing")
    assert str(path) in refusal(chosen)


def test_unknown_weights_list_the_known_ones() -> None:
    message = refusal(settings("r3d-18", weights="KINETICS400"))
    assert "no weights 'KINETICS400' of r3d-18; did you mean KINETICS400_V1?" in message
    assert "There are: random, KINETICS400_V1, DEFAULT, or name a file" in message
    assert refusal(settings("i3d", weights="openai")).endswith("There are: random, or name a file")
    assert refusal(settings("i3d", weights="gone/file.pt")) == "no weight file gone/file.pt"


def test_weight_names_of_torchvision_find_cached_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    original = resnet18()
    cached = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    torch.save(original.state_dict(), cached)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("IMAGENET1K_V1", "DEFAULT"):
        network = build(settings("resnet18-vit", weights=name)).image.network
        assert torch.equal(network.get_parameter("conv1.weight"), original.conv1.weight)


def test_failed_downloads_name_the_file_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    message = refusal(settings("r3d-18", weights="KINETICS400_V1"))
    assert "no route to host" in message
    assert "Bring r3d_18-b3b3357e.pth from a machine with a network" in message


def test_settings_of_clip_are_refused_for_networks() -> None:
    assert "lora_rank=4: r3d-18 is not a CLIP" in refusal(settings("r3d-18", lora_rank=4))
    assert "gradient_checkpointing=True" in refusal(settings("c3d", gradient_checkpointing=True))
    assert "resnet18-lstm needs a temporal model over" in refusal(settings("resnet18-lstm", temporal_depth=0))
