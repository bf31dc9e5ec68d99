"""The difference of two description sets, by class and member.

Within a member, equal texts are the same descriptor. Of the rest, two are the same descriptor *reworded* if
they have the same normal form, share more than half of their words (Dice's coefficient over the words of the
normal forms), or nearly all of their letters (difflib's ratio of at least 0.85: a corrected typing error).
The most similar pairs are matched first, ties in rank order; the remaining ones were removed or added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Literal

from ..classes import match_class_name
from ..description_set import DescriptionSet, Descriptor
from ..normalize import normal_form

SHARED_WORDS = 0.5  # above it, two descriptors count as reworded
SHARED_LETTERS = 0.85  # or from this value

Kind = Literal["added", "removed", "reworded", "moved", "support"]
KINDS: tuple[Kind, ...] = ("added", "removed", "reworded", "moved", "support")


@dataclass(frozen=True)
class Change:
    """One descriptor before and after; None if the set does not have it.

    `moved`: its order relative to the descriptors in both sets has changed; as few as possible are marked.
    Additions and removals before it change its rank but do not mark it as moved.
    """

    before: Descriptor | None
    after: Descriptor | None
    moved: bool = False

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All kinds of change; empty if unchanged."""
        if self.before is None:
            return ("added",)
        if self.after is None:
            return ("removed",)
        support = (self.before.support, self.before.samples) != (self.after.support, self.after.samples)
        found = {"reworded": self.before.text != self.after.text, "moved": self.moved, "support": support}
        return tuple(kind for kind in KINDS if found.get(kind))

    @property
    def ranks(self) -> str:
        """The rank, before and after if it changed: "2", "1 -> 3"."""
        return _before_and_after(str(each.rank) for each in (self.before, self.after) if each)

    @property
    def supports(self) -> str:
        """The support of the samples, before and after if it changed: "3/5", "3/5 -> 4/5"."""
        return _before_and_after(
            f"{each.support}/{each.samples}" for each in (self.before, self.after) if each
        )


@dataclass(frozen=True)
class ClassDifference:
    """One class that both sets cover: the changes of each member, in the order of the second set's ranks.

    `class_name` is its name in the first set, `second_name` in the second. `counts` are the numbers of
    members; a member that only one set has is entirely removed or added.
    """

    class_name: str
    second_name: str
    counts: tuple[int, int]
    members: tuple[tuple[Change, ...], ...]

    @property
    def changed(self) -> bool:
        """Whether the class differs."""
        return self.class_name != self.second_name or any(map(any_change, self.members))


@dataclass(frozen=True)
class Difference:
    """The difference of two description sets; `first` and `second` are their names.

    `only_first` and `only_second` are classes that the other does not cover; `reordered`: the shared classes
    have another order.
    """

    first: str
    second: str
    classes: tuple[ClassDifference, ...]
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    reordered: bool = False

    @property
    def identical(self) -> bool:
        """Whether classes, descriptors, ranks and support are equal."""
        alike = not (self.only_first or self.only_second or self.reordered)
        return alike and not any(each.changed for each in self.classes)

    @property
    def unchanged(self) -> list[str]:
        """The shared classes without a difference."""
        return [each.class_name for each in self.classes if not each.changed]

    def counts(self) -> dict[str, int]:
        """The number of added, removed, reworded, ... descriptors of the shared classes, including zeros."""
        found = Counter(
            kind
            for each in self.classes
            for member in each.members
            for change in member
            for kind in change.kinds
        )
        return {kind: found[kind] for kind in KINDS}

    def summary(self) -> str:
        """The counts in one line: "2 added, 1 reworded in 2 of 11 classes"."""
        if self.identical:
            return f"{self.first} and {self.second} have the same classes, descriptors, ranks and support"
        worded = {"support": "with other support"}
        parts = [f"{count} {worded.get(kind, kind)}" for kind, count in self.counts().items() if count]
        changed = len(self.classes) - len(self.unchanged)
        lines = [f"{', '.join(parts)} in {changed} of {len(self.classes)} classes"] if parts else []
        lines += [
            f"only in {name}: {', '.join(only)}"
            for name, only in ((self.first, self.only_first), (self.second, self.only_second))
            if only
        ]
        lines += ["the classes are in another order"] if self.reordered else []
        return "; ".join(lines or ["class names are written differently"])

    def as_dict(self) -> dict[str, Any]:
        """The difference as plain values, for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "identical": self.identical,
            "counts": self.counts(),
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "reordered": self.reordered,
            "unchanged": self.unchanged,
            "classes": [_class_as_dict(each) for each in self.classes if each.changed],
        }

    def as_markdown(self) -> str:
        """A report for a pull request or a page; descriptors are escaped."""
        from ..markdown import markdown_environment

        return markdown_environment().get_template("difference.md.j2").render(of=self, any_change=any_change)


def diff(first: DescriptionSet, second: DescriptionSet) -> Difference:
    """The difference of two sets; classes are matched by name."""
    matched: dict[str, str] = {}
    for name in first.class_names:
        found = match_class_name(name, second.class_names)
        if found is not None and found not in matched.values():
            matched[name] = found
    in_second = [name for name in second.class_names if name in matched.values()]
    return Difference(
        first.name or "the first set",
        second.name or "the second set",
        tuple(_class_difference(first, name, second, other) for name, other in matched.items()),
        only_first=tuple(name for name in first.class_names if name not in matched),
        only_second=tuple(name for name in second.class_names if name not in in_second),
        reordered=list(matched.values()) != in_second,
    )


def any_change(member: Sequence[Change]) -> bool:
    """Whether a member differs."""
    return any(change.kinds for change in member)


def similarity(first: str, second: str) -> float:
    """The similarity of two wordings, 0 to 1; 0 if too low for the same descriptor reworded."""
    one, other = _words(first), _words(second)
    if one == other:
        return 1.0
    words = 2 * (one & other).total() / (one.total() + other.total())
    letters = SequenceMatcher(None, first.casefold(), second.casefold(), autojunk=False)
    alike = [words] if words > SHARED_WORDS else []
    if letters.real_quick_ratio() >= SHARED_LETTERS and letters.ratio() >= SHARED_LETTERS:
        alike.append(letters.ratio())
    return max(alike, default=0.0)


def _words(text: str) -> Counter[str]:
    return Counter((normal_form(text) or text).replace(",", " ").split())


def _class_difference(
    first: DescriptionSet, name: str, second: DescriptionSet, other: str
) -> ClassDifference:
    before, after = first.members[name], second.members[other]
    members = tuple(_changes(one, two) for one, two in zip_longest(before, after, fillvalue=()))
    return ClassDifference(name, other, (len(before), len(after)), members)


def _changes(before: Sequence[Descriptor], after: Sequence[Descriptor]) -> tuple[Change, ...]:
    pairs = _matched(before, after)
    staying = _staying(pairs)
    found = [Change(before[place], after[at], moved=place not in staying) for place, at in pairs.items()]
    found += [Change(each, None) for place, each in enumerate(before) if place not in pairs]
    found += [Change(None, each) for at, each in enumerate(after) if at not in pairs.values()]
    return tuple(sorted(found, key=_place))


def _staying(pairs: Mapping[int, int]) -> set[int]:
    """The indices before of a longest subsequence of pairs with the same order before and after."""
    runs: list[list[int]] = [[]]
    for place in sorted(pairs):
        rising = [run for run in runs if not run or pairs[run[-1]] < pairs[place]]
        runs.append([*max(rising, key=len), place])
    longest = max(runs, key=len)
    return set(longest)


def _before_and_after(values: Iterable[str]) -> str:
    return " -> ".join(dict.fromkeys(values))


def _place(change: Change) -> tuple[int, bool]:
    """Sort key: the rank after; removed descriptors come before the one now at their rank."""
    shown = change.after or change.before
    assert shown is not None
    return shown.rank, change.after is not None


def _matched(before: Sequence[Descriptor], after: Sequence[Descriptor]) -> dict[int, int]:
    """Index before -> index after, for descriptors in both."""
    pairs: dict[int, int] = {}
    free = list(range(len(after)))
    for place, each in enumerate(before):
        same = next((at for at in free if after[at].text == each.text), None)
        if same is not None:
            pairs[place] = same
            free.remove(same)
    alike = [
        (similarity(each.text, after[at].text), place, at)
        for place, each in enumerate(before)
        if place not in pairs
        for at in free
    ]
    for score, place, at in sorted(alike, key=lambda each: (-each[0], *each[1:])):
        if score > 0 and place not in pairs and at in free:
            pairs[place] = at
            free.remove(at)
    return pairs


def _class_as_dict(of: ClassDifference) -> dict[str, Any]:
    changes = [
        {
            "member": number,
            "kinds": list(change.kinds),
            "before": _descriptor_as_dict(change.before),
            "after": _descriptor_as_dict(change.after),
        }
        for number, member in enumerate(of.members)
        for change in member
        if change.kinds
    ]
    return {
        "class_name": of.class_name,
        "second_name": of.second_name,
        "members": list(of.counts),
        "changes": changes,
    }


def _descriptor_as_dict(of: Descriptor | None) -> dict[str, Any] | None:
    if of is None:
        return None
    return {key: value for key, value in asdict(of).items() if key != "wordings"}
