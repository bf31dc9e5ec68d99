"""Small description sets for tests."""

from __future__ import annotations

from dfer_prompts import DescriptionSet, Descriptor, Manifest


def member(*texts: str, support: int = 1, samples: int = 1) -> tuple[Descriptor, ...]:
    return tuple(Descriptor(text, rank, support, samples) for rank, text in enumerate(texts, start=1))


def draft(members: dict[str, list[list[str]]] | None = None, **manifest: object) -> DescriptionSet:
    """Two classes, of which anger has two members, unless others are given."""
    given = members or {
        "happiness": [["a smile", "raised cheeks", "bright eyes"]],
        "anger": [["a frown", "narrow eyes"], ["a glare", "tight lips"]],
    }
    class_set = {"name": "two", "class_names": list(given)}
    frozen = {name: tuple(member(*texts) for texts in listed) for name, listed in given.items()}
    values = {"class_set": class_set, "source": "llm", "created": "2026-01-02T03:04:05+00:00", **manifest}
    return DescriptionSet("", tuple(given), frozen, Manifest.model_validate(values))
