"""Parameters and FLOPs of models, against counts by hand, and the measured latency."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dfer_model.config import Settings
from dfer_model.errors import InputError
from dfer_model.evaluation.cost import flops_of, model_cost
from dfer_model.evaluation.cost_record import Cost, Latency, read_cost, together, write_cost
from dfer_model.models.baselines.video_network import EachFrame, LastState, VideoNetwork
from dfer_model.models.classifier import Classifier
from dfer_model.models.strategies import load_base

from .. import tiny

FRAMES, CLASSES = 4, 3
WIDTH, LAYERS, TOKENS, PIXELS = 64, 2, 16 + 1, 3 * 8 * 8  # of the tiny ViT: 4 x 4 patches of 8 x 8 pixels
EMBED, HEADS, MLP = 48, 8 * 64, 1024  # of the temporal model
BLOCK = 12 * WIDTH**2 + 13 * WIDTH  # parameters: qkv, output and MLP with biases, two norms
TOWER = PIXELS * WIDTH + WIDTH + TOKENS * WIDTH + 4 * WIDTH + LAYERS * BLOCK + WIDTH * EMBED
TEMPORAL = (
    (1 + FRAMES + 1) * EMBED  # class token and positions
    + 4 * EMBED  # norms
    + (3 * HEADS * EMBED + HEADS * EMBED + EMBED)
    + (EMBED * MLP + MLP + MLP * EMBED + EMBED)
)
CONTEXTS = CLASSES * 2 * WIDTH
TEXT_TOWER = 77 * WIDTH + LAYERS * BLOCK + 2 * WIDTH + WIDTH * EMBED


def frame_flops() -> int:
    """FLOPs of the tiny ViT for one frame: 2 per multiply-add of its matrix products."""
    attention = 2 * TOKENS**2 * WIDTH  # q k^T and the product with v
    block = TOKENS * 12 * WIDTH**2 + attention
    return 2 * (16 * PIXELS * WIDTH + LAYERS * block + WIDTH * EMBED)


def temporal_flops() -> int:
    """FLOPs of the temporal model for one clip."""
    tokens = FRAMES + 1
    return 2 * (tokens * (4 * EMBED * HEADS + 2 * EMBED * MLP) + 2 * tokens**2 * HEADS)


def built(settings: Settings) -> tuple[Classifier, int]:
    base = load_base(settings)
    return base.build(tiny.TEXTS.texts, tiny.CLASSES), base.image_size


def cost(**changed: object) -> Cost:
    settings = tiny.settings(frames=FRAMES, **changed)
    return model_cost(built(settings)[0], settings, 32)


def test_parameters_and_flops_are_those_of_a_hand_count() -> None:
    found = cost()
    assert found.trained_parameters == TOWER + TEMPORAL + CONTEXTS
    assert found.parameters == TOWER + TEMPORAL + CONTEXTS + TEXT_TOWER
    cosines = 2 * EMBED * CLASSES
    assert found.flops_per_clip == FRAMES * frame_flops() + temporal_flops() + cosines
    assert (found.frames, found.image_size, found.views) == (FRAMES, 32, 1)
    assert not found.texts_included


@pytest.mark.parametrize(
    ("changed", "trained"),
    [
        ({"lr_image": 0.0}, TEMPORAL + CONTEXTS),
        ({"lr_image": 0.0, "lr_context": 0.0}, TEMPORAL),
        ({"temporal_depth": 0}, TOWER + CONTEXTS),
        ({"epochs": 0}, 0),
        ({"classifier": "linear"}, TOWER + TEMPORAL + (EMBED + 1) * CLASSES),
    ],
)
def test_only_parts_with_a_learning_rate_are_trained(changed: dict[str, object], trained: int) -> None:
    assert cost(**changed).trained_parameters == trained


def test_all_views_of_a_test_clip_are_counted() -> None:
    one, several = cost(), cost(test_segments=2, test_crops=3)
    assert several.views == 6
    assert several.flops_per_clip == 6 * one.flops_per_clip


def test_cocoop_encodes_its_class_texts_for_each_clip() -> None:
    found = cost(classifier="cocoop", temporal_depth=0)
    texts, length = 4, 77
    # At least the linear layers of the text tower, on the shortest prompt: start, contexts, two words, end.
    shortest = 2 * texts * 6 * LAYERS * 12 * WIDTH**2
    longest = 2 * texts * LAYERS * (length * 12 * WIDTH**2 + 2 * length**2 * WIDTH) + 10**5
    assert found.texts_included
    assert shortest < found.flops_per_clip - FRAMES * frame_flops() < longest


def test_lora_and_bfloat16_have_the_flops_of_all_matrix_products() -> None:
    rank = 2
    # A and B of q, k, v and output (width to width) and of the two layers of the MLP (width to 4 x width).
    lora = 2 * TOKENS * LAYERS * rank * (4 * 2 * WIDTH + 2 * 5 * WIDTH)
    pytest.importorskip("peft")
    assert cost(lora_rank=rank).flops_per_clip == cost().flops_per_clip + FRAMES * lora
    # bf16 computes one token of the last block; the count is that of the model in float32.
    assert cost(precision="bf16").flops_per_clip == cost().flops_per_clip


def test_lstms_are_counted_and_the_model_is_unchanged() -> None:
    width, size = 5, 4
    image = EachFrame(nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, width), nn.BatchNorm1d(width)))
    model = VideoNetwork(image, LastState(width, 1), width, CLASSES)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = torch.backends.mha.get_fastpath_enabled()
    gates = 4 * width * (width + width)
    hand = 2 * (FRAMES * (3 * size**2 * width + gates) + width * CLASSES)
    assert flops_of(model, FRAMES, size) == hand
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled() == fast


MEASURED = Latency(20.0, 50, "a GPU", 2, "fp32")
ONE = Cost(10, 4, 100, 16, 224, 1, False, MEASURED)


def test_an_ensemble_costs_the_sum_of_its_runs() -> None:
    other = Cost(20, 5, 300, 16, 224, 1, True, Latency(30.5, 40, "a GPU", 2, "fp32"))
    assert together([ONE, other]) == Cost(30, 9, 400, 16, 224, 1, True, Latency(50.5, 40, "a GPU", 2, "fp32"))
    elsewhere = Cost(20, 5, 300, 16, 224, 1, False, Latency(30.5, 40, "a CPU", 2, "fp32"))
    assert together([ONE, elsewhere]).latency is None


def test_a_stored_cost_is_read_again_and_damage_is_named(tmp_path: Path) -> None:
    assert read_cost(tmp_path) is None
    (tmp_path / "result.json").write_text('{"cost": null}')
    assert read_cost(tmp_path) is None
    write_cost(tmp_path, ONE)
    assert read_cost(tmp_path) == ONE
    (tmp_path / "cost.json").write_text('{"parameters": "many"}')
    with pytest.raises(InputError, match=r"cost\.json is damaged"):
        read_cost(tmp_path)
