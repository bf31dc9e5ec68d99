"""The variables of templates that show frames of clips: `clips` and `other`.

`clips` describes the images in their order. `other` are the words of the class beside the one in question, ""
without such a class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypedDict

from ..classes import ClassSet, ExpressionClass

# The clips of a template: none, of the class in question, or of the class it is confused with too.
ImagesShown = Literal["none", "class", "contrast"]
IMAGE_VARIABLES = ("clips", "other")
FRAMES, FRAMES_CONTRAST = "frames", "frames-contrast"  # the shipped templates


class ShownClip(TypedDict):
    """A clip: the words of its class, and the numbers of its first and last image, from 1."""

    expression: str
    first: int
    last: int


def numbered(clips: Iterable[tuple[str, int]]) -> list[ShownClip]:
    """The variable `clips`, from the class's words and the number of images of each clip."""
    shown: list[ShownClip] = []
    for expression, images in clips:
        first = shown[-1]["last"] + 1 if shown else 1
        shown.append({"expression": expression, "first": first, "last": first + images - 1})
    return shown


def example_clips(
    images: ImagesShown, expression_class: ExpressionClass, class_set: ClassSet
) -> tuple[list[ShownClip], str]:
    """Invented clips and other class, to check and show a template."""
    other = next(each.words for each in class_set.classes if each.name != expression_class.name)
    own = [(expression_class.words, 4)] * 2
    if images == "contrast":
        return numbered([*own, (other, 4), (other, 4)]), other
    return numbered(own), ""
