"""The rounds of `optimize`: sets accepted by chances worked out by hand, and the random control."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dfer_model.comparison.candidate_sets import CandidateSets
from dfer_model.comparison.zero_shot import Videos
from dfer_prompts.api.optimize.controls import pool, random_proposals
from dfer_prompts.api.optimize.rounds import Proposal, Proposed, Search
from dfer_prompts.optimization.edits import Edit, Refused

CLIPS = 20  # of each class
START = {"anger": ("frowns",), "fear": ("stares",)}


def cosines(text: str) -> list[float]:
    """The cosines of a class text with the clips, those of anger first; 10 of each class are recognised.

    "frowns 3" is "frowns" with 3 more recognised clips of anger, "stares 3" the same for fear.
    """
    word, _, more = text.removesuffix(".").partition(" ")
    right = 10 + int(more or 0)
    if word == "frowns":
        return [0.001] * right + [-0.001] * (CLIPS - right) + [-0.001] * 10 + [0.001] * 10
    return [0.0] * (CLIPS + 10) + [0.002] * int(more or 0) + [0.0] * (10 - int(more or 0))


def search() -> Search:
    """A search on one fold, where feature i of clip i is 1, so that an embedding is the text's cosines."""
    videos = Videos(torch.eye(2 * CLIPS), np.repeat([0, 1], CLIPS), np.ones(2 * CLIPS, np.int64))
    return Search(CandidateSets(videos, lambda texts: torch.tensor([cosines(each) for each in texts])), START)


def proposals(*edits: Edit) -> Proposed:
    """An answer for each edit."""
    return Proposed([Proposal((edit,)) for edit in edits])


@pytest.mark.parametrize(("more", "accepted"), [(1, False), (2, False), (3, True)])
def test_a_gain_that_chance_explains_is_not_accepted(more: int, accepted: bool) -> None:
    one = search()
    final = one.run(lambda *_: proposals(Edit("anger", "frowns", f"frowns {more}")), 1, lambda *_: None)
    (made,) = one.rounds
    # A bootstrap sample has no gain if none of its 20 clips of anger is among the newly recognised ones.
    assert made.chance_of_no_gain == pytest.approx((1 - more / CLIPS) ** CLIPS, abs=0.03)
    assert made.best.uar == pytest.approx(50 + 100 * more / (2 * CLIPS))
    assert made.accepted == accepted
    assert final == (START if not accepted else {**START, "anger": (f"frowns {more}",)})
    assert made.score.uar == pytest.approx(50 + (100 * more / (2 * CLIPS) if accepted else 0))


def test_edits_of_several_answers_are_combined() -> None:
    one = search()
    edits = Edit("anger", "frowns", "frowns 4"), Edit("fear", "stares", "stares 3")
    final = one.run(lambda *_: proposals(*edits), 1, lambda *_: None)
    assert final == {"anger": ("frowns 4",), "fear": ("stares 3",)}
    (made,) = one.rounds
    assert made.score.uar == pytest.approx(50 + 100 * 7 / (2 * CLIPS))
    assert [(edit, round(score.uar, 6)) for edit, score in made.scores] == [(edits[0], 60), (edits[1], 57.5)]


def test_an_edit_without_a_gain_changes_nothing_and_can_be_combined_later() -> None:
    one = search()
    small, large = Edit("anger", "frowns", "frowns 1"), Edit("fear", "stares", "stares 5")
    final = one.run(lambda number, *_: proposals(small if number == 1 else large), 2, lambda *_: None)
    assert [each.accepted for each in one.rounds] == [False, True]
    assert final == {"anger": ("frowns 1",), "fear": ("stares 5",)}


def test_no_better_candidate_is_a_reason_without_a_bootstrap() -> None:
    one = search()
    one.run(lambda *_: Proposed([]), 1, lambda *_: None)
    assert (one.rounds[0].why, one.rounds[0].chance_of_no_gain) == ("no candidate has a higher score", None)


def test_random_edits_are_as_many_as_the_model_gave_and_all_from_the_pool() -> None:
    one = search()
    answers = [
        Proposal((Edit("anger", "frowns", "frowns 1"),), (Refused("x", "no class of the set"),) * 3),
        Proposal(()),
    ]
    one.run(lambda *_: Proposed(answers), 1, lambda *_: None)
    drawn = random_proposals(one.rounds, START, seed=1)(1, START, one).proposals
    assert [(len(each.edits), len(each.refused)) for each in drawn] == [(4, 0), (0, 0)]
    assert {edit.new for each in drawn for edit in each.edits} <= {None, *pool(START)}
    again = random_proposals(one.rounds, START, seed=1)(1, START, one).proposals
    other = random_proposals(one.rounds, START, seed=2)(1, START, one).proposals
    assert again == drawn != other
