"""The rounds of an optimisation: proposals, candidate sets, and the test that accepts one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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

    @property
    def edits(self) -> int:
        """The number of edits, those of one answer counted once."""
        return sum(len(each.edits) for each in self.proposals)

    @property
    def without_edits(self) -> int:
        """The number of answers in which no edit was found, not even a refused one."""
        return sum(not each.edits and not each.refused for each in self.proposals)

    @property
    def refused(self) -> int:
        """The number of refused edits."""
        return sum(len(each.refused) for each in self.proposals)


@dataclass(frozen=True)
class Round:
    """One round, as in the log; scores are on the choosing clips."""

    number: int
    proposed: Proposed
    scores: list[tuple[Edit, SetScore]]  # of each single edit of the round
    candidates: int  # sets scored in the round
    best: SetScore  # of the best candidate
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
            "best": {"uar": self.best.uar, "objective": self.best.objective},
            "changes": self.edits,
            "chance_of_no_gain": self.chance_of_no_gain,
            "accepted": self.accepted,
            "why": self.why,
            "uar": self.score.uar,
            "objective": self.score.objective,
            "stopped": self.proposed.stopped,
        }


Propose = Callable[[int, State, "Search"], Proposed]  # round, current set, search


class Search:
    """A search from the set `start`, with the scores of `scorer` on the choosing clips."""

    def __init__(self, scorer: CandidateSets, start: State) -> None:
        self.scorer, self.start = scorer, start
        self.first = scorer.score(sentences(start))
        self.state, self.score = start, self.first  # the current set and its score
        self.rounds: list[Round] = []
        self._edits: dict[Edit, None] = {}  # all so far: what was worse once may be better later
        self._tried: list[tuple[SetScore, State]] = [(self.first, start)]

    def run(self, propose: Propose, rounds: int, report: Callable[..., None]) -> State:
        """Make up to `rounds` rounds, fewer if no further proposals are possible; returns the final set."""
        for number in range(1, rounds + 1):
            report(number - 1, rounds, f"{self.score.uar:.2f} UAR")
            proposed = propose(number, self.state, self)
            self.rounds.append(self._round(number, proposed))
            if proposed.stopped:
                break
        report(rounds, rounds, f"{self.score.uar:.2f} UAR")
        return self.state

    def _round(self, number: int, proposed: Proposed) -> Round:
        new = {edit: None for proposal in proposed.proposals for edit in proposal.edits}
        self._edits |= new
        single = self._scored([[edit] for edit in self._edits])
        whole = self._scored([each.edits for each in proposed.proposals])
        combined, combinations = self._combined(single)
        self._tried += whole.values()
        best, state = max((*single.values(), *whole.values(), combined), key=lambda each: each[0].objective)
        described = changes(self.state, state)
        accepted, chance, why = self._accepts(best, state)
        if accepted:
            self.state, self.score = state, best
            self._tried.append((best, state))
        return Round(
            number=number,
            proposed=proposed,
            scores=[(edit, score) for (edit, *_), (score, _) in single.items() if edit in new],
            candidates=len(single) + len(whole) + combinations,
            best=best,
            edits=described,
            chance_of_no_gain=chance,
            accepted=accepted,
            why=why,
            score=self.score,
        )

    def _accepts(self, score: SetScore, state: State) -> tuple[bool, float | None, str]:
        """Whether a set takes the place of the current one, the chance of no gain if computed, and why."""
        if score.objective <= self.score.objective:
            return False, None, "no candidate has a higher score"
        chance = self.scorer.chance_of_no_gain(sentences(state), sentences(self.state))
        accepted = chance <= ACCEPT
        compared = "at most" if accepted else "more than"
        return accepted, chance, f"no gain in {chance:.3f} of the bootstrap samples, {compared} {ACCEPT}"

    def _scored(self, groups: Iterable[Sequence[Edit]]) -> dict[tuple[Edit, ...], tuple[SetScore, State]]:
        """The sets that groups of edits make of the current one, with scores; without unchanged ones."""
        made = {tuple(edits): applied(self.state, edits) for edits in groups}
        changed = {edits: state for edits, state in made.items() if state != self.state}
        scores = self._scores(changed.values())
        return {edits: (score, state) for (edits, state), score in zip(changed.items(), scores, strict=True)}

    def _combined(
        self, single: Mapping[tuple[Edit, ...], tuple[SetScore, State]]
    ) -> tuple[tuple[SetScore, State], int]:
        """All single edits, the best first, each kept if the score rises; and how many sets were scored."""
        best, state, count = self.score, self.state, 0
        for edits in sorted(single, key=lambda edits: -single[edits][0].objective):
            changed = applied(state, edits)
            if changed == state:
                continue
            (score,) = self._scores([changed])
            count += 1
            if score.objective > best.objective:
                best, state = score, changed
        return (best, state), count

    def _scores(self, states: Iterable[State]) -> list[SetScore]:
        return self.scorer.scores([sentences(each) for each in states])

    def feedback(self) -> Feedback:
        """What the template is rendered with: the current set and its errors on the choosing clips."""
        names = list(self.state)
        uar = self.score.uar
        predicted, labels = self.scorer.predicted(sentences(self.state)), self.scorer.labels
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
        for score, state in sorted(self._tried, key=lambda each: -each[0].objective):
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
