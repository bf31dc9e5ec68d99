"""Settings: defaults of the paper, presets, and the values of `--set`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from dfer_model.config import (
    BEFORE,
    PRESETS,
    Settings,
    augmentation_reason,
    augmentation_words,
    preset,
    with_overrides,
)
from dfer_model.errors import InputError

# The options of the released train_DFEW.sh and train_FERV39k.sh, and what Generate_Model.py fixes.
RELEASED = {
    "clip": "ViT-B-32-quickgelu",
    "weights": "openai",
    "frames": 16,
    "contexts": 8,
    "position": "end",
    "context_kind": "class-specific",
    "temporal_depth": 1,
    "lr_image": 1e-5,
    "lr_temporal": 1e-2,
    "lr_context": 1e-3,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "epochs": 50,
    "batch_size": 48,
    "milestones": (30, 40),
    "gamma": 0.1,
    "normalize": "none",
    "select": "test-best",
}


@pytest.mark.parametrize(
    ("dataset", "jitter", "rotation", "interpolation"),
    [
        ("dfew", 0.5, 0.0, "bilinear"),
        ("ferv39k", 0.0, 4.0, "nearest"),
        ("mafw", 0.0, 0.0, "bilinear"),
        ("mine", 0.0, 0.0, "bilinear"),
        (None, 0.0, 0.0, "bilinear"),
    ],
)
def test_paper_is_the_released_code(
    dataset: str | None, jitter: float, rotation: float, interpolation: str
) -> None:
    settings = preset("paper", dataset).model_dump()
    assert {key: settings[key] for key in RELEASED} == RELEASED
    assert (settings["brightness_jitter"], settings["rotation"]) == (jitter, rotation)
    assert (settings["rotation_interpolation"], settings["tf32"]) == (interpolation, False)


@pytest.mark.parametrize("dataset", ["dfew", "ferv39k", "mafw"])
def test_paper_text_augments_every_dataset_alike(dataset: str) -> None:
    settings = preset("paper-text", dataset)
    assert (settings.brightness_jitter, settings.rotation) == (0.5, 4.0)


def test_default_does_not_select_on_the_test_fold_and_normalises() -> None:
    settings = preset("default", "dfew")
    assert (settings.select, settings.normalize, settings.brightness_jitter) == ("last", "clip", 0.0)
    assert settings == Settings()


def test_demo_uses_the_shipped_clip() -> None:
    settings = preset("demo", "drawn")
    assert (settings.clip, settings.weights, settings.frames) == ("demo", "shipped", 8)


@pytest.mark.parametrize("name", ["paper", "paper-text"])
def test_presets_of_the_paper_have_no_additions(name: str) -> None:
    settings = preset(name, "dfew").model_dump()
    added = (
        {"optimizer": "sgd", "schedule": "multistep", "sampling": "uniform", "learned_temperature": False}
        | {"gradient_checkpointing": False, "test_segments": 1, "test_crops": 1, "normalize": "none"}
        | dict.fromkeys(("warmup_epochs", "label_smoothing", "mixup", "cutmix", "ema", "lora_rank"), 0)
    )
    assert {key: settings[key] for key in added} == added
    assert {key: settings[key] for key in BEFORE} == {**BEFORE, "tf32": False}


def test_strong_consists_of_separate_settings() -> None:
    default, strong = preset("default").model_dump(), preset("strong", "dfew")
    changed = {key for key, value in strong.model_dump().items() if value != default[key]}
    assert changed == {
        "optimizer", "weight_decay", "lr_temporal", "lr_head", "schedule", "warmup_epochs", "label_smoothing",
        "mixup", "sampling", "ema", "learned_temperature", "test_segments", "test_crops",
    }  # fmt: skip
    words = [f"{key}={default[key]}" for key in sorted(changed)]  # each can be switched off by itself
    assert with_overrides(strong, words) == preset("default")


def test_an_unknown_preset_suggests_the_closest() -> None:
    with pytest.raises(InputError, match=r"no preset 'papper'; did you mean paper\?"):
        preset("papper")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("epochs=3", "epochs", 3),
        (" epochs = 3 ", "epochs", 3),
        ("lr_image=1e-6", "lr_image", 1e-6),
        ("lr_image=0", "lr_image", 0.0),
        ("normalize=none", "normalize", "none"),
        ("position=middle", "position", "middle"),
        ("milestones=[5, 7]", "milestones", (5, 7)),
        ("milestones=5,7", "milestones", (5, 7)),
        ("milestones=5", "milestones", (5,)),
        ("milestones=[]", "milestones", ()),
        ("weights=some=odd file.pt", "weights", "some=odd file.pt"),
        ("weights=123", "weights", "123"),
    ],
)
def test_overrides_are_parsed_in_usual_notations(text: str, key: str, value: object) -> None:
    changed = with_overrides(Settings(), [text])
    assert changed == Settings().model_copy(update={key: value})


def test_the_last_override_wins() -> None:
    assert with_overrides(Settings(), ["epochs=3", "epochs=4"]).epochs == 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("frmes=8", "no setting 'frmes'; did you mean frames?"),
        ("frames", "setting 'frames' is not of the form key=value"),
        ("frames=many", "setting frames=many: should be a valid integer"),
        ("frames=0", "setting frames=0: should be greater than or equal to 1"),
        ("frames=2.5", "setting frames=2.5: should be a valid integer"),
        ("lr_image=nan", "setting lr_image=nan: should be a finite number"),
        ("lr_image=-1", "setting lr_image=-1: should be greater than or equal to 0"),
        ("position=top", "setting position=top: should be 'end', 'middle' or 'front'"),
        ("milestones=5,soon", "setting milestones=5,soon: should be a valid integer"),
        ("weights=", "setting weights=: should have at least 1 character"),
        ("select=best", "setting select=best: should be 'last', 'val' or 'test-best'"),
    ],
)
def test_a_wrong_override_is_an_error(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        with_overrides(Settings(), ["epochs=3", text])
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value).removesuffix("\nThere are: " + ", ".join(Settings.model_fields))


def test_settings_do_not_change_and_take_no_unknown_key() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.epochs = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Settings.model_validate({"epoch": 3})


def test_settings_survive_their_own_dump() -> None:
    for settings in PRESETS.values():
        assert Settings.model_validate(settings.model_dump(mode="json")) == settings


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_settings_packing_and_the_start_of_a_job_do_not_import_torch() -> None:
    modules = "dfer_model.config, dfer_model.data.packing, dfer_model.launchers.job"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "False"


@pytest.mark.parametrize(
    ("dataset", "overrides", "words", "reason"),
    [
        (
            "dfew",
            [],
            "random crop and flip, brightness jitter 0.5",
            "augments dfew as the released code does",
        ),
        ("FERV39k", [], "random crop and flip, rotation up to 4 degrees (nearest pixel)", "augments FERV39k"),
        ("mafw", [], "random crop and flip", "augments mafw as the released code does"),
        ("frame-list", [], "random crop and flip", "is named frame-list; if .* data prepare --dataset-name"),
        ("dfew", ["brightness_jitter=0"], "random crop and flip", "your own settings"),
        (
            "frame-list",
            ["rotation=2"],
            "random crop and flip, rotation up to 2 degrees",
            "your own settings",
        ),
    ],
)
def test_the_augmentation_of_the_paper_and_its_reason(
    dataset: str, overrides: list[str], words: str, reason: str
) -> None:
    settings = with_overrides(preset("paper", dataset), overrides)
    assert augmentation_words(settings) == words
    assert re.search(reason, augmentation_reason("paper", dataset, settings) or "")
    assert augmentation_reason("default", dataset, settings) is None
