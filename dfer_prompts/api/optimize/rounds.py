"""The rounds of an optimisation: proposals, candidate sets, and the test that accepts one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...optimization.edits import Edit, Refused, State, applied, changes, sentences
from ...templates.feedback import MOST_EDITS, Confusion, Feedback

if TYPE_CHECKING:
    from dfer_model.comparison.candidate_sets import CandidateSets, SetScore

ACCEPT = 0.1  # largest share of bootstrap samples without a gain with which a set is accepted
CONFUSIONS = 10  # shown to the model
BEST = 5  # sets shown to the model


@dataclass(frozen=True)
class Proposal:
    """The edits of one answer, and those that were refused."""

    edits: tuple[Edit, ...]
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Proposed:
    """The proposals of a round; `prompt_sha256` and `keys` of the answers if a model was asked."""

    proposals: list[Proposal]
    prompt_sha256: str | None = None
    keys: tuple[str, ...] = ()
    stopped: str | None = None  # why further proposals are not possible


@dataclass(frozen=True)
class Round:
    """One round, as in the log; scores are on the clips that choose."""

    number: int
    proposed: Proposed
    scores: list[tuple[Edit, SetScore]]  # of each single edit of the round
    candidates: int  # sets scored in the round
    best: SetScore | None  # of the best candidate
    edits: list[str]  # its changes of the current set
    chance_of_no_gain: float | None
    accepted: bool
    why: str
    score: SetScore  # of the current set after the round

    def as_dict(self) -> dict[str, Any]:
        """A line of optimization.jsonl."""
        found = dict(self.scores)
        return {
            "kind": "round",
            "round": self.number,
            "prompt_sha256": self.proposed.prompt_sha256,
            "answers": list(self.proposed.keys),
            "edits": [
                {
                    "answer": number,
                    "class": edit.class_name,
                    "action": edit.action,
                    "old": edit.old,
                    "new": edit.new,
                    **({"uar": found[edit].uar, "objective": found[edit].objective} if edit in found else {}),
                }
                for number, proposal in enumerate(self.proposed.proposals)
                for edit in proposal.edits
            ],
            "refused": [
                {"answer": number, "edit": each.edit, "reason": each.reason}
                for number, proposal in enumerate(self.proposed.proposals)
                for each in proposal.refused
            ],
            "candidates": self.candidates,
            "best": None if self.best is None else {"uar": self.best.uar, "objective": self.best.objective},
            "changes": self.edits,
            "chance_of_no_gain": self.chance_of_no_gain,
            "accepted": self.accepted,
            "why": self.why,
            "uar": self.score.uar,
            "objective": self.score.objective,
            "stopped": self.proposed.stopped,
        }


Propose = Callable[[int, State, "Search"], Proposed]  # round, current set, search


@dataclass
class Search:
    """A search from `start` on the clips of `judge`; `run` makes the rounds."""

    judge: CandidateSets
    start: State
    state: State = field(init=False)
    rounds: list[Round] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = self.start
        self.edits: dict[Edit, None] = {}  # all so far: what was worse once may be better later
        self.tried: list[tuple[SetScore, State]] = [(self.judge.score(sentences(self.start)), self.start)]

    def run(self, propose: Propose, rounds: int, report: Callable[..., None]) -> State:
        """Make up to `rounds` rounds, fewer if no further proposals are possible; returns the final set."""
        for number in range(1, rounds + 1):
            current = self.judge.score(sentences(self.state))
            report(number - 1, rounds, f"{current.uar:.2f} UAR")
            proposed = propose(number, self.state, self)
            self.rounds.append(self._round(number, proposed, current))
            if proposed.stopped:
                break
        report(rounds, rounds, f"{self.judge.score(sentences(self.state)).uar:.2f} UAR")
        return self.state

    def _round(self, number: int, proposed: Proposed, current: SetScore) -> Round:
        new = {edit: None for proposal in proposed.proposals for edit in proposal.edits}
        self.edits |= new
        single = self._changed([[edit] for edit in self.edits])
        scores = dict(zip(single, self._scores(single.values()), strict=True))
        whole = self._changed([list(each.edits) for each in proposed.proposals])
        candidates = [*single.values(), *whole.values()]
        combined, combinations = self._combined(scores, current)
        candidates.append(combined)
        every = self._scores(candidates)
        score, state = max(zip(every, candidates, strict=True), key=lambda each: each[0].objective)
        self.tried += list(zip(self._scores(whole.values()), whole.values(), strict=True))
        chance = None
        accepted = False
        if score.objective <= current.objective:
            why = "no candidate has a higher score"
        else:
            chance = self.judge.chance_of_no_gain(sentences(state), sentences(self.state))
            accepted = chance <= ACCEPT
            compared = "at most" if accepted else "more than"
            why = f"no gain in {chance:.3f} of the bootstrap samples, {compared} {ACCEPT}"
        described = changes(self.state, state)
        if accepted:
            self.state = state
            self.tried.append((score, state))
        return Round(
            number=number,
            proposed=proposed,
            scores=[(edit, each) for (edit, *_), each in scores.items() if edit in new],
            candidates=len(candidates) + combinations,
            best=score,
            edits=described,
            chance_of_no_gain=chance,
            accepted=accepted,
            why=why,
            score=score if accepted else current,
        )

    def _changed(self, groups: Sequence[Sequence[Edit]]) -> dict[tuple[Edit, ...], State]:
        """The sets that groups of edits make of the current one, without those that change nothing."""
        made = {tuple(edits): applied(self.state, edits) for edits in groups}
        return {edits: state for edits, state in made.items() if state != self.state}

    def _combined(self, scores: dict[tuple[Edit, ...], SetScore], current: SetScore) -> tuple[State, int]:
        """All edits so far, the best first, each kept if the score rises; and how many sets were scored."""
        state, best, count = self.state, current, 0
        ordered = sorted(scores, key=lambda edits: -scores[edits].objective)
        for edits in ordered:
            changed = applied(state, edits)
            if changed == state:
                continue
            (score,) = self._scores([changed])
            count += 1
            if score.objective > best.objective:
                state, best = changed, score
        return state, count

    def _scores(self, states: Any) -> list[SetScore]:
        return self.judge.scores([sentences(each) for each in states])

    def feedback(self) -> Feedback:
        """What the template is rendered with: the current set and its errors on the clips that choose."""
        names = list(self.state)
        uar = self.judge.score(sentences(self.state)).uar
        predicted, labels = self.judge.predicted(sentences(self.state)), self.judge.labels
        wrong = Counter(
            (int(true), int(said)) for true, said in zip(labels, predicted, strict=True) if true != said
        )
        confusions: list[Confusion] = [
            {"true": names[true], "predicted": names[said], "count": count}
            for (true, said), count in sorted(wrong.items(), key=lambda each: (-each[1], each[0]))[
                :CONFUSIONS
            ]
        ]
        recalls = {
            label: round(100 * float((predicted[labels == label] == label).mean()), 1)
            for label in sorted(set(labels.tolist()))
        }
        best: dict[str, tuple[float, list[str]]] = {}
        for score, state in sorted(self.tried, key=lambda each: -each[0].objective):
            described = changes(self.start, state)
            best.setdefault("; ".join(described), (round(score.uar, 1), described))
        return {
            "classes": [
                {
                    "name": name,
                    "recall": recalls.get(label),
                    "descriptors": [
                        {"text": text, "effect": effect} for text, effect in self._effects(name, uar)
                    ],
                }
                for label, name in enumerate(names)
            ],
            "confusions": confusions,
            "history": [{"uar": each, "edits": edits} for each, edits in list(best.values())[:BEST]],
            "uar": round(uar, 1),
            "edits": MOST_EDITS,
        }

    def _effects(self, name: str, uar: float) -> list[tuple[str, float | None]]:
        """The descriptors of a class, with the points of UAR lost without each (leave-one-out)."""
        own = self.state[name]
        if len(own) == 1:
            return [(own[0], None)]
        without = [applied(self.state, [Edit(name, old=each)]) for each in own]
        # Adding zero makes -0.0, which a prompt would show, 0.0.
        return [
            (text, round(uar - score.uar, 1) + 0.0)
            for text, score in zip(own, self._scores(without), strict=True)
        ]
