"""The zero-shot part of a score: prompts of four kinds, ensembled in two ways, on clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..description_set import DescriptionSet
from ..sources.controls import class_words
from .texts import descriptor_texts, own_names

if TYPE_CHECKING:
    from dfer_model.classifiers.clip import Clip
    from dfer_model.experiments.zero_shot import Videos


def zero_shot_rows(
    clip: Clip, sets: Sequence[DescriptionSet], videos: Videos, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """A row per set, kind of prompt and way of ensembling: UAR and WAR in percent with 95% intervals."""
    from dfer_model.experiments.zero_shot import prompt_figures

    rows = []
    for each in sets:
        for kind, named, prompts in _prompts(each, class_names):
            figures = prompt_figures(clip, videos, prompts, class_names)
            rows += [
                {"set": each.name, "prompts": kind, "class_names": named, "ensembling": way, **asdict(pair)}
                for way, pair in figures.items()
            ]
    return rows


def _prompts(of: DescriptionSet, class_names: Sequence[str]) -> Iterator[tuple[str, bool, list[list[str]]]]:
    """(kind, whether the class's name is in it, the prompts of each class).

    With the name as DCLIP writes it: "happiness, which has raised cheeks" (Menon and Vondrick 2023, arXiv
    2210.07183).
    """
    words = [class_words(of, name) for name in own_names(of, class_names)]
    sentences, descriptors = of.class_texts(class_names), descriptor_texts(of, class_names)
    for kind, texts in (("sentence", sentences), ("descriptors", descriptors)):
        yield kind, False, texts
        yield (
            kind,
            True,
            [[f"{said}, which has {text}" for text in own] for said, own in zip(words, texts, strict=True)],
        )
