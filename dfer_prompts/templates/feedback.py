"""The variables of the template `optimize`: a description set and its errors on training clips."""

from __future__ import annotations

from typing import TypedDict

from ..classes import ClassSet

OPTIMIZE = "optimize"  # the only template with these variables
MOST_EDITS = 4  # requested in one answer


class DescriptorFeedback(TypedDict):
    """A descriptor, and the points of UAR lost without it; None for the only one of its class."""

    text: str
    effect: float | None


class ClassFeedback(TypedDict):
    """A class of the set; recall in percent, None without clips."""

    name: str
    recall: float | None
    descriptors: list[DescriptorFeedback]


class Confusion(TypedDict):
    """The number of clips of a class that are predicted as another one."""

    true: str
    predicted: str
    count: int


class Tried(TypedDict):
    """The UAR of a set, and its changes from the first set."""

    uar: float
    edits: list[str]


class Feedback(TypedDict):
    """What the template is rendered with."""

    classes: list[ClassFeedback]
    confusions: list[Confusion]
    history: list[Tried]
    uar: float
    edits: int


def example(class_set: ClassSet) -> Feedback:
    """Invented feedback on a set of these classes, to check and show the template."""
    names = [each.words for each in class_set.classes]
    descriptors: list[DescriptorFeedback] = [
        {"text": "raised eyebrows", "effect": 0.5},
        {"text": "an open mouth", "effect": -0.2},
    ]
    return {
        "classes": [{"name": name, "recall": 50.0, "descriptors": descriptors} for name in names],
        "confusions": [{"true": names[0], "predicted": names[-1], "count": 3}],
        "history": [{"uar": 50.0, "edits": []}],
        "uar": 50.0,
        "edits": MOST_EDITS,
    }
