"""Messages about the content of a description set that a format cannot store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...description_set import DescriptionSet, Descriptor
from .sentence_lists import unsplittable
from .tables import formulas


def losses(descriptions: DescriptionSet, lacks: Sequence[str]) -> list[str]:
    """The messages about the content of this set that a format without these features loses."""
    messages = [LOSSES[name](descriptions) for name in (*lacks, *_ALWAYS)]
    return [sentence for sentence in messages if sentence]


def _members(descriptions: DescriptionSet) -> str | None:
    shared = any(
        len(texts) > len(set(texts))
        for members in descriptions.members.values()
        for texts in ([each.text for member in members for each in member],)
    )
    once = ", and repeated descriptors of a class are written once" if shared else ""
    if not _several(descriptions):
        return f"repeats{once.removeprefix(', and')}" if shared else None
    return f"members: the members of a class are merged into one list{once}"


def _descriptors(descriptions: DescriptionSet) -> str | None:
    if all(len(member) == 1 for members in descriptions.members.values() for member in members):
        return None
    return "descriptors: only sentences are written, without descriptors and ranks"


def _further_members(descriptions: DescriptionSet) -> str | None:
    names = _several(descriptions)
    return (
        f"members: only the first member of each class is written ({_listed(names)} have more)"
        if names
        else None
    )


def _names(descriptions: DescriptionSet) -> str | None:
    return f"class names: the order of the lines is {', '.join(descriptions.class_names)}"


def _splits(descriptions: DescriptionSet) -> str | None:
    names = unsplittable(descriptions)
    if not names:
        return None
    return f"descriptors of {_listed(names)}: they cannot be recovered from the sentence"


def _support(descriptions: DescriptionSet) -> str | None:
    counted = any((each.support, each.samples) != (1, 1) for each in _each(descriptions))
    return "support: the number of answers that contain each descriptor" if counted else None


def _wordings(descriptions: DescriptionSet) -> str | None:
    known = any(each.wordings for each in _each(descriptions))
    return "wordings: other wordings of a descriptor in the answers" if known else None


def _formulas(descriptions: DescriptionSet) -> str | None:
    count = formulas(descriptions)
    if not count:
        return None
    return f"{count} texts begin with =, +, - or @: spreadsheets read them as formulas; import them as text"


def _manifest(descriptions: DescriptionSet) -> str | None:
    known = descriptions.manifest.model_dump(exclude_defaults=True)
    internal = {
        "class_set",
        "format_version",
        "created",
        "tool_version",
        "files",
        "manifest_sha256",
        "control",
        "seen",
        "failures",
    }
    return f"manifest: {', '.join(name for name in known if name not in internal)}, date and tool version"


def _control(descriptions: DescriptionSet) -> str | None:
    control = descriptions.manifest.control
    return f"control: the set is a control ({control}), meaningless on purpose" if control else None


def _seen(descriptions: DescriptionSet) -> str | None:
    provenance = [
        f"folds {', '.join(map(str, each.folds))} of {each.dataset}" for each in descriptions.manifest.seen
    ]
    return (
        f"seen: the set was chosen on {'; '.join(provenance)} and must not be tested there"
        if provenance
        else None
    )


def _answers(descriptions: DescriptionSet) -> str | None:
    stored = "responses.jsonl" in descriptions.manifest.files
    return "answers: the verbatim answers (responses.jsonl)" if stored else None


def _several(descriptions: DescriptionSet) -> list[str]:
    return [name for name in descriptions.class_names if len(descriptions.members[name]) > 1]


def _each(descriptions: DescriptionSet) -> Iterable[Descriptor]:
    return (each for members in descriptions.members.values() for member in members for each in member)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


_ALWAYS = ("manifest", "control", "seen", "answers")
LOSSES: dict[str, Callable[[DescriptionSet], str | None]] = {
    "members": _members,
    "descriptors": _descriptors,
    "further members": _further_members,
    "names": _names,
    "splits": _splits,
    "support": _support,
    "wordings": _wordings,
    "formulas": _formulas,
    "manifest": _manifest,
    "control": _control,
    "seen": _seen,
    "answers": _answers,
}
