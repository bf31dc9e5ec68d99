"""Optimise a description set with a language model in the loop, on training folds that are recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from dfer_model.io import write_atomically
from dfer_model.progress import Note, Progress, silence

from ...description_set import DescriptionSet, Descriptor, Manifest, Seen, lineage
from ...errors import InputError, system_errors
from ...generation.plan import sampling_for
from ...llm.endpoint import TIMEOUT_S, resolve_endpoint
from ...llm.response_cache import ResponseStore
from ...llm.usage import Budget
from ...optimization.asking import Asker
from ...optimization.edits import State, changes, read_edits, sentences
from ...provenance import require_unseen
from ...templates import load_template
from ...templates.feedback import OPTIMIZE
from ...versions.store import DescriptionStore
from ...workspace import Workspace
from ..inputs import Choices, each_once, features_folder, loaded, open_dataset, own_names, settings_for
from .controls import RANDOM, SELECTION, random_proposals, selected
from .rounds import Proposal, Proposed, Search

if TYPE_CHECKING:
    from torch import Tensor

    from dfer_model.comparison.candidate_sets import CandidateSets
    from dfer_model.comparison.statistics import Difference, Interval
    from dfer_model.comparison.zero_shot import Videos
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips

CONFIRMING = 0.25  # share of the clips of a single fold that confirm and never choose
FOLDER = "optimizations"  # of the logs, in the workspace


@dataclass(frozen=True)
class MeanFigures:
    """The UAR of a set in percent, and its gain on the first set; both with intervals."""

    uar: Interval
    gain: Difference

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        gain = {key: getattr(self.gain, key) for key in ("value", "low", "high", "p")}
        return {"uar": asdict(self.uar), "gain": gain}


@dataclass(frozen=True)
class Contender:
    """A set at the end: on the clips that chose it, on those that confirm, and on the test fold, if given."""

    state: State
    chosen_by: float  # UAR on the clips that choose, optimistically biased
    confirmed: MeanFigures
    tested: MeanFigures | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "uar_on_the_clips_that_chose": self.chosen_by,
            "confirmed": self.confirmed.as_dict(),
            "tested": None if self.tested is None else self.tested.as_dict(),
        }


@dataclass(frozen=True)
class Optimized:
    """The result of an optimisation; `descriptions` and `folder` are None if no change was accepted.

    `clips` are the numbers of clips that chose, that confirm, and of the test fold. `start` is the UAR of the
    first set on the clips that chose. `beside_controls` are the differences of the optimised set and each
    control on the test fold, or else on the clips that confirm.
    """

    descriptions: DescriptionSet | None
    folder: Path | None
    log: Path
    dataset: str
    folds: tuple[int, ...]
    test_fold: int | None
    clips: tuple[int, int, int]
    start: float
    result: Contender
    controls: dict[str, Contender]
    beside_controls: dict[str, Difference]
    search: Search
    requests: int
    found: int
    tokens: tuple[int | None, int | None]
    stopped: str | None

    @property
    def changes(self) -> list[str]:
        """The differences of the final set and the first one."""
        return changes(self.search.start, self.result.state)

    def as_dict(self) -> dict[str, Any]:
        """What `optimize --json` prints."""
        rounds = self.search.rounds
        return {
            "version": self.descriptions.name if self.descriptions else None,
            "folder": str(self.folder) if self.folder else None,
            "log": str(self.log),
            "dataset": self.dataset,
            "folds": list(self.folds),
            "test_fold": self.test_fold,
            "clips": dict(zip(("chose", "confirm", "test"), self.clips, strict=True)),
            "uar_of_the_first": self.start,
            "changes": self.changes,
            "rounds": len(rounds),
            "accepted": sum(each.accepted for each in rounds),
            "edits": sum(len(p.edits) for each in rounds for p in each.proposed.proposals),
            "refused": sum(len(p.refused) for each in rounds for p in each.proposed.proposals),
            **self.result.as_dict(),
            "controls": {name: each.as_dict() for name, each in self.controls.items()},
            "beside_controls": {
                name: {key: getattr(each, key) for key in ("value", "low", "high", "p")}
                for name, each in self.beside_controls.items()
            },
            "asked": self.requests,
            "found": self.found,
            "tokens": {"prompt": self.tokens[0], "completion": self.tokens[1]},
            "stopped": self.stopped,
        }


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
    store = DescriptionStore(place)
    (given,) = loaded([of], place)
    if version is not None:
        store.check_name(version)
    _check(rounds, proposals, given)
    clips = open_dataset(place, dataset)
    chosen_by = each_once(folds, "fold")
    _check_test_fold(given, clips, chosen_by, test_fold)
    given.class_texts(clips.class_names)  # raises and names the classes not covered
    start = _state(given, clips.class_names)
    template = load_template(OPTIMIZE, place)
    endpoint = resolve_endpoint(place, base_url, model)
    settings = settings_for(place, clips.name, choices, device=device)
    judges = _judges(place, clips, chosen_by, test_fold, settings, seed, progress, device)
    search = Search(judges.choosing, start)
    asker = Asker(
        endpoint,
        template,
        sampling_for(endpoint, template, seed=seed),
        ResponseStore(place.responses),
        Budget(max_requests, budget_tokens),
        concurrency,
        timeout,
        note,
    )
    with progress("rounds") as report:
        final = search.run(_asking(asker, proposals), rounds, report)
    ends = {RANDOM: _random(search, seed), SELECTION: _selection(judges, start, seed)} if controls else {}
    result = judges.contender(start, final)
    others = {name: judges.contender(start, end) for name, end in ends.items() if end is not None}
    last = judges.testing or judges.confirming
    made = Optimized(
        descriptions=None,
        folder=None,
        log=place.root / FOLDER,
        dataset=clips.name,
        folds=chosen_by,
        test_fold=test_fold,
        clips=judges.sizes(),
        start=judges.choosing.score(sentences(start)).uar,
        result=result,
        controls=others,
        beside_controls={
            name: last.gain(sentences(final), sentences(each.state)) for name, each in others.items()
        },
        search=search,
        requests=asker.asked,
        found=asker.found,
        tokens=asker.tokens(),
        stopped=next((each.proposed.stopped for each in search.rounds if each.proposed.stopped), None),
    )
    if final != start:
        seen = Seen(dataset=clips.name, fingerprint=clips.fingerprint, folds=tuple(sorted(chosen_by)))
        draft = _draft(given, final, seen, asker, _derivation(given, made, settings, rounds, proposals, seed))
        saved = store.save(draft, version, asker.rows())
        made = replace(made, descriptions=saved, folder=store.path(saved.name))
    return _logged(made, asker)


@dataclass(frozen=True)
class _Judges:
    """The scores on the clips that choose, confirm and test."""

    choosing: CandidateSets
    confirming: CandidateSets
    testing: CandidateSets | None
    videos: Videos  # of the choosing clips
    encode: Callable[[Sequence[str]], Tensor]

    def contender(self, start: State, end: State) -> Contender:
        """A final set with its gain on the first set."""
        first, last = sentences(start), sentences(end)
        confirmed, *tested = (
            MeanFigures(each.uar(last), each.gain(last, first))
            for each in (self.confirming, self.testing)
            if each is not None
        )
        return Contender(end, self.choosing.score(last).uar, confirmed, tested[0] if tested else None)

    def sizes(self) -> tuple[int, int, int]:
        """The numbers of clips that choose, confirm and test."""
        tested = 0 if self.testing is None else len(self.testing.labels)
        return len(self.choosing.labels), len(self.confirming.labels), tested


def _judges(
    place: Workspace,
    clips: PackedClips,
    folds: tuple[int, ...],
    test_fold: int | None,
    settings: Settings,
    seed: int,
    progress: Progress,
    device: str,
) -> _Judges:
    from dfer_model.comparison.candidate_sets import CandidateSets, each_encoded_once, split_clips
    from dfer_model.comparison.zero_shot import video_features
    from dfer_model.evaluation.text_scores import text_features
    from dfer_model.models.clip import load_clip

    clip = load_clip(settings.clip, settings.weights)
    encode = each_encoded_once(lambda texts: text_features(clip, texts, texts))
    with progress("clips") as report:
        videos, tested = (
            video_features(clip, clips, each, settings, features_folder(place), report, device)
            if each
            else None
            for each in (folds, () if test_fold is None else (test_fold,))
        )
    assert videos is not None
    choosing, confirming = split_clips(videos, CONFIRMING, seed)
    if not len(confirming.labels):
        raise InputError("the fold has no class with two clips, so none can confirm a gain\nGive more folds")
    return _Judges(
        CandidateSets(choosing, encode),
        CandidateSets(confirming, encode),
        None if tested is None else CandidateSets(tested, encode),
        choosing,
        encode,
    )


def _check(rounds: int, proposals: int, of: DescriptionSet) -> None:
    if rounds < 1 or proposals < 1:
        raise InputError("rounds and proposals must be 1 or more")
    if several := [name for name, members in of.members.items() if len(members) > 1]:
        raise InputError(
            f"{of.name} has several members of {several[0]}; optimize edits sets with one\n"
            f"Make one: dfer-prompts descriptions search {of.name} ..."
        )


def _check_test_fold(
    of: DescriptionSet, clips: PackedClips, folds: tuple[int, ...], test_fold: int | None
) -> None:
    if test_fold is None:
        return
    if test_fold in folds:
        raise InputError(
            f"fold {test_fold} is in --folds, so it cannot be the test fold\nLeave it out of one"
        )
    require_unseen([of], clips.name, clips.fingerprint, [test_fold])


def _state(of: DescriptionSet, class_names: Sequence[str]) -> State:
    own = own_names(of, class_names)
    return {name: tuple(each.text for each in of.members[name][0]) for name in own}


def _asking(asker: Asker, proposals: int) -> Callable[[int, State, Search], Proposed]:
    def propose(number: int, state: State, search: Search) -> Proposed:
        answers = asker.answers(search.feedback(), (number - 1) * proposals, proposals)
        read = [read_edits(text, state) for text in answers.texts]
        found = [Proposal(tuple(edits), tuple(refused)) for edits, refused in read]
        return Proposed(found, answers.prompt_sha256, tuple(answers.keys), answers.stopped)

    return propose


def _random(search: Search, seed: int) -> State:
    control = Search(search.judge, search.start)
    propose = random_proposals(search.rounds, search.start, seed)
    return control.run(propose, len(search.rounds), lambda *_: None)


def _selection(judges: _Judges, start: State, seed: int) -> State | None:
    return selected(start, judges.videos, judges.encode, seed)


def _draft(
    of: DescriptionSet, final: State, seen: Seen, asker: Asker, derivation: dict[str, Any]
) -> DescriptionSet:
    """The unsaved version; a new descriptor has support 0 of the parent's samples, as after `edit`."""
    members = {}
    for name, texts in final.items():
        known = {each.text: each for each in of.members[name][0]}
        samples = max(each.samples for each in of.members[name][0])
        members[name] = (
            tuple(
                replace(known[text], rank=rank) if text in known else Descriptor(text, rank, 0, samples)
                for rank, text in enumerate(texts, start=1)
            ),
        )
    class_set = {**of.manifest.class_set, "class_names": list(final)}
    if words := {name: said for name, said in class_set.pop("words", {}).items() if name in final}:
        class_set["words"] = words
    passed_on = lineage([of])
    passed_on["seen"] = tuple(dict.fromkeys((*passed_on["seen"], seen)))
    manifest = Manifest(
        class_set=class_set,
        source="mixed",
        citation=of.manifest.citation,
        license=of.manifest.license,
        template=asker.template.name,
        template_sha256=asker.template.sha256,
        template_text=asker.template.text,
        model=asker.endpoint.model,
        base_url=asker.endpoint.base_url,
        sampling=asker.sampling.model_dump(exclude_none=True),
        derivation=derivation,
        **passed_on,
    )
    return DescriptionSet("", tuple(final), members, manifest)


def _derivation(
    of: DescriptionSet, made: Optimized, settings: Settings, rounds: int, proposals: int, seed: int
) -> dict[str, Any]:
    from dfer_model.runs import weights_identity

    gain = made.result.confirmed.gain
    return {
        "command": "optimize",
        "of": of.name,
        "dataset": made.dataset,
        "folds": list(made.folds),
        "rounds": rounds,
        "proposals": proposals,
        "seed": seed,
        "clip": settings.clip,
        "weights": weights_identity(settings),
        "frames": settings.frames,
        "normalize": settings.normalize,
        "uar_of_the_first": made.start,
        "uar_on_the_clips_that_chose": made.result.chosen_by,
        "confirmed_gain": [round(each, 2) for each in (gain.value, gain.low, gain.high)],
        "changes": made.changes,
    }


def _logged(made: Optimized, asker: Asker) -> Optimized:
    """Write the log: the settings, every round, and the result."""
    settings = {
        "kind": "settings",
        "model": asker.endpoint.model,
        "base_url": asker.endpoint.base_url,
        "template_sha256": asker.template.sha256,
        "sampling": asker.sampling.model_dump(exclude_none=True),
        "first": {name: list(own) for name, own in made.search.start.items()},
    }
    facts = json.dumps([settings, made.dataset, made.folds])
    unchanged = f"no-change-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    path = made.log / f"{made.descriptions.name if made.descriptions else unchanged}.jsonl"
    made = replace(made, log=path)
    lines = [settings, *(each.as_dict() for each in made.search.rounds), {"kind": "result", **made.as_dict()}]
    write_atomically(path, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines))
    return made
