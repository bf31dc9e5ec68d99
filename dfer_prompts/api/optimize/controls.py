"""Controls of an optimisation: random edits of equal number, and selection without a language model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ...classes import ClassSet, ExpressionClass, default_words
from ...description_set import join
from ...errors import InputError
from ...generation.facs import facs_set
from ...optimization.edits import Edit, State, checked
from .clip_roles import ClipRoles
from .rounds import Proposal, Propose, Proposed, Round, Search

RANDOM, SELECTION = "random edits", "selection alone"
DRAWS = 50  # attempts at a random edit, before the round goes without it


@dataclass(frozen=True)
class ControlSet:
    """The final set of a control, and the UAR after each of its rounds; empty if it has none."""

    state: State
    uar_by_round: tuple[float, ...] = ()


def control_sets(search: Search, roles: ClipRoles, seed: int) -> dict[str, ControlSet]:
    """The final set of each control of `search`, by name."""
    random_search = Search(search.scorer, search.start)
    propose = random_proposals(search.rounds, search.start, seed)
    end = random_search.run(propose, len(search.rounds), lambda *_: None)
    ends = {RANDOM: ControlSet(end, tuple(each.score.uar for each in random_search.rounds))}
    selected = selected_set(search.start, roles, seed)
    return ends if selected is None else {**ends, SELECTION: ControlSet(selected)}


def facs_descriptors(class_name: str) -> tuple[str, ...]:
    """The FACS descriptors of a class; empty if the table does not have it."""
    try:
        made = facs_set(ClassSet("one", (ExpressionClass(class_name, default_words(class_name)),)))
    except InputError:
        return ()
    return tuple(each.text for member in made.members[class_name] for each in member)


def pool(start: State) -> list[str]:
    """The descriptors that random edits are drawn from: FACS, and the set's own of all classes."""
    texts = [text for name in start for text in (*start[name], *facs_descriptors(name))]
    return list(dict.fromkeys(texts))


def random_proposals(rounds: Sequence[Round], start: State, seed: int) -> Propose:
    """As many answers and edits as a model gave in each of `rounds`, drawn from `pool`.

    Half of the edits replace a descriptor, the others add or remove one; all can be applied, whereas some of
    a model's are refused.
    """
    draw = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
    texts = pool(start)

    def propose(number: int, state: State, _search: Search) -> Proposed:
        sizes = [len(each.edits) + len(each.refused) for each in rounds[number - 1].proposed.proposals]
        return Proposed([Proposal(tuple(_drawn(draw, texts, state, size))) for size in sizes])

    return propose


def _drawn(draw: random.Random, texts: Sequence[str], state: State, count: int) -> list[Edit]:
    found: list[Edit] = []
    for _ in range(count):
        for _ in range(DRAWS):
            name = draw.choice(list(state))
            action = draw.choice(("replace", "replace", "add", "remove"))
            raw = {
                "class": name,
                "action": action,
                "old": draw.choice(state[name]),
                "new": draw.choice(texts),
            }
            edit = checked(raw, state)
            if isinstance(edit, Edit) and edit not in found:
                found.append(edit)
                break
    return found


def selected_set(start: State, roles: ClipRoles, seed: int) -> State | None:
    """The choice of `descriptions search` from each class's own and FACS descriptors; None without a choice.

    It chooses as many for each class as the shortest class of the set has.
    """
    from dfer_model.comparison.descriptor_search import search

    k = min(map(len, start.values()))
    candidates = [list(dict.fromkeys((*own, *facs_descriptors(name)))) for name, own in start.items()]
    if all(len(own) == k for own in candidates):
        return None
    found = search(
        roles.choosing_videos,
        list(start),
        candidates,
        k,
        lambda texts, _owner: roles.encode(texts),
        join,
        seed=seed,
    )
    return dict(zip(start, found.chosen, strict=True))
