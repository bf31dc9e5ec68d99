"""The descriptor search against all combinations, on clips made by hand, and its limits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from dfer_model.comparison.descriptor_search import Found, search
from dfer_model.comparison.zero_shot import Videos
from dfer_model.errors import InputError

CLASSES = ("happiness", "sadness", "fear")
WIDTH = 6


def vector(text: str) -> Tensor:
    """An embedding of its own for every descriptor."""
    return torch.from_numpy(np.random.default_rng(list(text.encode())).normal(size=WIDTH)).float()


def encode(sentences: Sequence[str], owner: str) -> Tensor:
    """A text tower that sums the vectors of descriptors joined by "+"."""
    return F.normalize(torch.stack([sum(map(vector, text.split("+"))) for text in sentences]), dim=-1)


def clips(seed: int = 0, count: int = 60, classes: int = 3) -> Videos:
    rng = np.random.default_rng(seed)
    features = F.normalize(torch.from_numpy(rng.normal(size=(count, WIDTH))).float(), dim=-1)
    return Videos(features, rng.integers(0, classes, count), np.ones(count, dtype=np.int64))


def candidates(each: int = 4) -> list[list[str]]:
    return [[f"{name} {number}" for number in range(each)] for name in CLASSES]


def found(videos: Videos, k: int = 2, seed: int = 1, among: list[list[str]] | None = None) -> Found:
    return search(videos, CLASSES, among or candidates(), k, encode, "+".join, seed=seed)


def uar(videos: Videos, chosen: Sequence[Sequence[str]]) -> float:
    weights = torch.cat([encode(["+".join(own)], "") for own in chosen])
    answers = (videos.features @ weights.T).argmax(dim=1).numpy()
    return 100 * float(balanced_accuracy_score(videos.labels, answers))


@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_the_uar_and_no_single_swap_improves_it(seed: int) -> None:
    videos = clips(seed)
    result = found(videos, seed=seed)
    assert [len(set(own)) for own in result.chosen] == [2, 2, 2]
    assert result.score[0] == pytest.approx(uar(videos, result.chosen))
    assert result.start[0] == pytest.approx(uar(videos, [own[:2] for own in candidates()]))
    for label, own in enumerate(candidates()):
        for other in itertools.combinations(own, 2):
            if len({*other} & {*result.chosen[label]}) == 1:
                swapped = [*result.chosen]
                swapped[label] = other
                assert uar(videos, swapped) <= result.score[0] + 1e-9


def test_the_result_is_near_the_exhaustive_optimum() -> None:
    videos = clips(3)
    every = [list(itertools.combinations(own, 2)) for own in candidates()]
    best = max(uar(videos, chosen) for chosen in itertools.product(*every))
    ours = max(found(videos, seed=seed).score[0] for seed in range(6))
    assert ours >= best - 1e-6


def test_descriptors_equal_to_clip_features_are_selected() -> None:
    # Each class's clips lie along its third candidate: greedy takes it first, and then nothing is better.
    right = [own[2] for own in candidates()]
    features = F.normalize(torch.stack([vector(text) for text in right for _ in range(4)]), dim=-1)
    videos = Videos(features, np.repeat([0, 1, 2], 4), np.ones(12, dtype=np.int64))
    result = found(videos, k=1)
    assert result.chosen == tuple((text,) for text in right)
    assert result.score[0] == 100.0
    assert {step.added for step in result.steps} >= set(right)


def test_the_log_has_every_move_and_swaps_only_improve() -> None:
    videos = clips(1)
    result = found(videos, k=3, among=candidates(6))
    held: dict[str, set[str]] = {name: set() for name in CLASSES}
    for step in result.steps:
        if step.removed is not None:
            held[step.class_name].remove(step.removed)
        held[step.class_name].add(step.added)
    assert [tuple(sorted(held[name])) for name in CLASSES] == [tuple(sorted(own)) for own in result.chosen]
    assert [step.move for step in result.steps][:9] == ["first"] * 3 + ["add"] * 6
    swaps = [(step.uar, step.log_likelihood) for step in result.steps[8:]]
    assert swaps == sorted(set(swaps))
    assert result.steps[-1].uar == result.score[0]


def test_ties_go_to_the_higher_likelihood_and_seeds_are_reproducible() -> None:
    # Both candidates answer every clip rightly; the second is nearer to its own and farther from the other.
    def at(angle: float) -> Tensor:
        return torch.tensor([np.cos(angle), np.sin(angle)])

    known = {"between": at(0.05), "near": at(0), "other": at(0.1)}
    videos = Videos(torch.stack([at(0), at(0.1)]), np.array([0, 1]), np.ones(2, dtype=np.int64))
    result = search(
        videos, ("x", "y"), [["between", "near"], ["other", "other "]], 1,
        lambda texts, owner: torch.stack([known[text.strip()] for text in texts]), "".join,
    )  # fmt: skip
    assert (result.start[0], result.score[0]) == (100.0, 100.0)
    assert result.chosen[0] == ("near",)
    assert found(clips(2), seed=4) == found(clips(2), seed=4)


def test_a_class_without_clips_keeps_its_first_descriptors() -> None:
    result = found(clips(classes=2))
    assert result.not_searched == ("fear",)
    assert result.chosen[2] == ("fear 0", "fear 1")
    assert {step.class_name for step in result.steps} == {"happiness", "sadness"}


@pytest.mark.parametrize(
    ("k", "each", "message"),
    [
        (0, 4, "choose 1 or more"),
        (5, 4, "'happiness' has 4 descriptors, fewer than 5"),
        (4, 4, "nothing to choose"),
    ],
)
def test_wrong_input_is_an_error(k: int, each: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        found(clips(), k=k, among=candidates(each))
