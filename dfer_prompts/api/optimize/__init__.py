"""Optimise a description set with a language model in the loop, on training folds that are recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from dfer_model.progress import Note, Progress, silence

from ...description_set import DescriptionSet
from ...errors import InputError, system_errors
from ...generation.plan import sampling_for
from ...llm.endpoint import TIMEOUT_S, resolve_endpoint
from ...llm.response_cache import ResponseStore
from ...llm.usage import Budget
from ...optimization.edit_requests import EditRequests
from ...optimization.edits import State, read_edits
from ...provenance import require_unseen
from ...templates import load_template
from ...templates.feedback import OPTIMIZE
from ...versions.store import DescriptionStore
from ...workspace import Workspace
from ..inputs import Choices, each_once, loaded, open_dataset, own_names, settings_for
from .clip_roles import clip_roles
from .controls import control_sets
from .result import Optimized
from .rounds import Proposal, Propose, Proposed, Search
from .version import Optimization

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips


@system_errors()
def optimize(
    of: DescriptionSet | str,
    *,
    folds: Iterable[int],
    dataset: PackedClips | Path | str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    rounds: int = 8,
    proposals: int = 6,
    controls: bool = False,
    test_fold: int | None = None,
    max_requests: int | None = None,
    budget_tokens: int | None = None,
    concurrency: int = 8,
    timeout: float = TIMEOUT_S,
    seed: int = 1,
    version: str | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
    note: Note | None = None,
    progress: Progress = silence,
    **choices: Unpack[Choices],
) -> Optimized:
    """Let a language model edit a description set, keep what raises its zero-shot UAR, and save a version.

    One of `folds`, drawn by `seed`, confirms the gain of the final set (of a single fold, a quarter of its
    clips); the other clips choose. `compare` and `score` refuse to test the version on `folds`. In each of
    `rounds` rounds the model gives `proposals` answers to the template `optimize`. Single edits, whole
    answers and combinations of all edits so far are scored; the best set is accepted if a paired bootstrap
    over the choosing clips supports it. `test_fold` is read at the end only. With `controls`, random edits of
    equal number and `descriptions search` alone are compared. `max_requests` and `budget_tokens` end the
    rounds early. Answers are stored, and the same call does not request them again.

    The log of all rounds is `optimizations/VERSION.jsonl` in the workspace. `choices` are `preset`, `clip`,
    `weights` and `overrides` of `Choices`. Raises InputError, WorkError if requests fail, and Interrupted on
    Ctrl-C.
    """
    place = workspace or Workspace.find()
    (given,) = loaded([of], place)
    if version is not None:
        DescriptionStore(place).check_name(version)
    clips = open_dataset(place, dataset)
    training_folds = each_once(folds, "fold")
    _check(given, clips, training_folds, test_fold, rounds, proposals)
    start = _state(given, clips.class_names)
    template = load_template(OPTIMIZE, place)
    endpoint = resolve_endpoint(place, base_url, model)
    sampling = sampling_for(endpoint, template, seed=seed)
    budget = Budget(max_requests, budget_tokens)
    responses = ResponseStore(place.responses)
    requests = EditRequests(endpoint, template, sampling, responses, budget, concurrency, timeout, note)
    settings = settings_for(place, clips.name, choices, device=device)
    roles = clip_roles(place, clips, training_folds, test_fold, settings, seed, progress, device)
    search = Search(roles.choosing, start)
    with progress("rounds") as report:
        final = search.run(_by_model(requests, proposals), rounds, report)
    ends = control_sets(search, roles, seed) if controls else {}
    how = {"rounds": rounds, "proposals": proposals, "seed": seed}
    made = Optimization(given, clips, training_folds, test_fold, roles, search, requests, settings, how)
    return made.finish(final, ends, place, version)


def _check(
    of: DescriptionSet,
    clips: PackedClips,
    folds: tuple[int, ...],
    test_fold: int | None,
    rounds: int,
    proposals: int,
) -> None:
    """Raise InputError for a set, folds or numbers that cannot be optimised with."""
    if rounds < 1 or proposals < 1:
        raise InputError("rounds and proposals must be 1 or more")
    if several := [name for name, members in of.members.items() if len(members) > 1]:
        raise InputError(
            f"{of.name} has several members of {several[0]}; optimize edits sets with one\n"
            f"Make one: dfer-prompts descriptions search {of.name} ..."
        )
    of.class_texts(clips.class_names)  # raises and names the classes not covered
    if test_fold in folds:
        raise InputError(
            f"fold {test_fold} is in --folds, so it cannot be the test fold\nLeave it out of one"
        )
    if test_fold is not None:
        require_unseen([of], clips.name, clips.fingerprint, [test_fold])


def _state(of: DescriptionSet, class_names: Sequence[str]) -> State:
    own = own_names(of, class_names)
    return {name: tuple(each.text for each in of.members[name][0]) for name in own}


def _by_model(requests: EditRequests, proposals: int) -> Propose:
    """Proposals of the language model."""

    def propose(number: int, state: State, search: Search) -> Proposed:
        answers = requests.answers(search.feedback(), (number - 1) * proposals, proposals)
        read = [read_edits(text, state) for text in answers.texts]
        found = [Proposal(tuple(edits), tuple(refused)) for edits, refused in read]
        return Proposed(found, answers.prompt_sha256, tuple(answers.keys), answers.stopped)

    return propose
