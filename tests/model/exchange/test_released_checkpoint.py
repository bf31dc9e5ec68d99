"""Released DFER-CLIP checkpoints imported as runs: logits, settings, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dfer_model.errors import InputError
from dfer_model.evaluation.trained_model import load_trained
from dfer_model.exchange.released_checkpoint import import_run
from dfer_model.runs import ClassTexts, Run

from .. import released, tiny

NAMES = ("happiness", "sadness", "fear")
TEXTS = (
    "a smiling mouth, raised cheeks, and half-closed eyes.",
    "tears, a downward turned mouth, and the person's frown.",
    "wide eyes, parted lips.",
)
CPU = torch.device("cpu")


def texts(name: str = "v9", given: tuple[str, ...] = TEXTS) -> ClassTexts:
    return ClassTexts(name, "cd" * 32, NAMES, tuple((text,) for text in given))


def imported(path: Path, **options: Any) -> Run:
    return import_run(path, path.parent / "runs", NAMES, **{"clip": tiny.register()} | options)


def answers(run: Run, frames: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the run for two clips, and their pixels in 0..1."""
    pixels = torch.randint(256, (2, frames, 3, 32, 32), generator=torch.manual_seed(1), dtype=torch.uint8)
    with torch.inference_mode():
        return load_trained(run, CPU)(pixels), pixels / 255


@pytest.mark.parametrize(
    ("position", "shape", "settings"),
    [
        ("end", {}, {"contexts": 4, "temporal_depth": 1, "context_kind": "class-specific", "frames": 4}),
        ("middle", {"contexts": 5, "depth": 2}, {"contexts": 5, "temporal_depth": 2}),
        ("front", {"unified": True}, {"contexts": 4, "context_kind": "unified"}),
        ("end", {"depth": 0, "frames": 16}, {"temporal_depth": 0, "frames": 16}),
        ("end", {"frames": 8}, {"frames": 8, "normalize": "none", "precision": "fp32"}),
    ],
)
def test_an_import_computes_what_the_original_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    position: str,
    shape: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    state = released.random_state(TEXTS, **shape)
    run = imported(released.save(tmp_path / "model_best.pth", state, monkeypatch), position=position)
    assert run.finished
    assert {key: getattr(run.settings, key) for key in settings} == settings
    assert run.texts.texts == tuple((text,) for text in TEXTS)
    mine, pixels = answers(run, run.settings.frames)
    reference = released.logits(state, pixels, TEXTS, position)
    assert reference.std() > 1  # else any model would be near
    torch.testing.assert_close(mine, reference, atol=1e-3, rtol=0)


@pytest.mark.parametrize("legacy", [False, True])
def test_other_content_of_the_file_is_reported_or_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    state = released.random_state(TEXTS)
    path = released.save(
        tmp_path / "model.pth", state, monkeypatch, _use_new_zipfile_serialization=not legacy
    )
    run = imported(path, fold=3)
    assert run.result["epochs"] == {"imported": 37}
    assert (run.fold, run.selected, run.selections) == (3, "imported", ())
    assert run.folder == imported(path, fold=3).folder != imported(path, fold=2).folder
    assert "RecorderMeter" not in (run.folder / "README.md").read_text()


def test_matching_texts_are_taken_from_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = released.save(tmp_path / "m.pth", released.random_state(TEXTS), monkeypatch)
    run = imported(path, texts=texts())
    assert (run.texts, run.result["notes"]) == (texts(), [])


def test_differing_texts_are_taken_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = released.random_state(TEXTS)
    path = released.save(tmp_path / "m.pth", state, monkeypatch)
    run = imported(path, texts=texts(given=(TEXTS[0], "dull eyes", TEXTS[2])))
    assert run.texts.texts == tuple((text,) for text in TEXTS)
    assert run.result["notes"] == ["m.pth has other texts than v9 for sadness: those of the file are used"]
    mine, pixels = answers(run)
    torch.testing.assert_close(mine, released.logits(state, pixels, TEXTS), atol=1e-3, rtol=0)


def test_without_a_token_table_the_set_gives_the_text_lengths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = released.random_state(TEXTS)
    del state["clip_model_.token_embedding.weight"]
    path = released.save(tmp_path / "m.pth", state, monkeypatch)
    run = imported(path, texts=texts())
    assert "no token table" in run.result["notes"][0]
    mine, pixels = answers(run)
    torch.testing.assert_close(mine, released.logits(state, pixels, TEXTS), atol=1e-3, rtol=0)
    with pytest.raises(InputError, match="--descriptions v1"):
        imported(path)
    with pytest.raises(InputError, match="not trained with the texts of v9"):
        imported(path, texts=texts(given=(TEXTS[0], TEXTS[1], "wide eyes")))


def test_half_precision_and_a_bare_state_dict(tmp_path: Path) -> None:
    state = released.random_state(TEXTS)
    halves = {key: value.half() for key, value in state.items()}
    torch.save(halves, tmp_path / "half.pth")
    mine, pixels = answers(imported(tmp_path / "half.pth"))
    expected = released.logits({key: value.float() for key, value in halves.items()}, pixels, TEXTS)
    torch.testing.assert_close(mine, expected, atol=1e-3, rtol=0)


ONE_LAYER = "temporal_net.temporal_transformer.layers.0"
SPOILED: dict[str, tuple[str, torch.Tensor | None, str]] = {
    "contexts": ("prompt_learner.ctx", None, "prompt_learner.ctx is missing"),
    "suffix": ("prompt_learner.token_suffix", None, "token_suffix is missing"),
    "image tower": ("image_encoder.proj", None, "it has no visual.proj"),
    "text tower": ("text_encoder.ln_final.bias", None, "it has no ln_final.bias"),
    "class token": ("temporal_net.cls_token", None, "temporal_net.cls_token is missing"),
    "layer": (f"{ONE_LAYER}.0.fn.norm.bias", None, "it has no layers.0.attention_norm.bias"),
    "strange part": ("adapter.weight", torch.zeros(3), "unknown key adapter.weight"),
    "strange layer": (f"{ONE_LAYER}.2.fn.norm.bias", torch.zeros(3), "is not that of DFER-CLIP"),
    "shape": ("prompt_learner.ctx", torch.zeros(3, 64), "do not fit the text tower"),
    "classes": ("prompt_learner.ctx", torch.zeros(2, 4, 64), "do not fit: (2, 4, 64)"),
    "width": ("image_encoder.proj", torch.zeros(64, 7), "is (64, 7) in the file"),
    "not finite": ("prompt_learner.ctx", torch.full((3, 4, 64), torch.nan), "not finite"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    key, tensor, message = SPOILED[case]
    state = released.random_state(TEXTS)
    state.pop(key, None)
    if tensor is not None:
        state[key] = tensor
    torch.save({"state_dict": state}, tmp_path / "m.pth")
    with pytest.raises(InputError) as refused:
        imported(tmp_path / "m.pth")
    assert message in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    torch.save(released.random_state(TEXTS[:2]), tmp_path / "m.pth")
    with pytest.raises(InputError, match="has 2 classes; the class set has 3"):
        imported(tmp_path / "m.pth")


def test_a_clip_of_another_activation_is_refused(tmp_path: Path) -> None:
    torch.save(released.random_state(TEXTS), tmp_path / "m.pth")
    with pytest.raises(InputError, match="uses GELU"):
        imported(tmp_path / "m.pth", clip="ViT-S-32-alt")
