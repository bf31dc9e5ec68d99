"""The zero-shot part of `descriptions score`: prompts of four kinds, ensembled in two ways, on clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...workspace import Workspace
from ..output import print_table, progress

if TYPE_CHECKING:
    from dfer_model.clip import Clip
    from dfer_model.data.packed import PackedClips
    from dfer_model.settings import Settings

    from ...description_set import DescriptionSet

READING = (
    "Zero-shot of one CLIP, nothing trained. An interval is the luck of the clips alone; whether one set is "
    "better than another, compare says."
)


def zero_shot_rows(
    workspace: Workspace,
    clip: Clip,
    sets: Sequence[DescriptionSet],
    clips: PackedClips,
    folds: Sequence[int],
    settings: Settings,
    device: str,
) -> list[dict[str, Any]]:
    """A row per set, kind of prompt and way of ensembling: UAR and WAR in percent with 95% intervals."""
    from dfer_model.zero_shot import prompt_figures, video_features

    with progress("clips") as report:
        kept = workspace.root / ".dfer" / "features"
        videos = video_features(clip, clips, folds, settings, kept, report, device)
    rows = []
    for each in sets:
        for kind, named, prompts in _prompts(each, clips.class_names):
            figures = prompt_figures(clip, videos, prompts, clips.class_names)
            rows += [
                {"set": each.name, "prompts": kind, "class_names": named, "ensembling": way, **asdict(pair)}
                for way, pair in figures.items()
            ]
    return rows


def descriptor_texts(of: DescriptionSet, class_names: Sequence[str]) -> list[list[str]]:
    """The descriptors of each class in the given order, those of all members, each text once."""
    return [
        list(dict.fromkeys(each.text for member in of.members[name] for each in member))
        for name in own_names(of, class_names)
    ]


def own_names(of: DescriptionSet, class_names: Sequence[str]) -> list[str]:
    """How the set itself calls these classes, which it covers."""
    from ...classes import match_class_name

    return [match_class_name(name, of.class_names) or name for name in class_names]


def _prompts(of: DescriptionSet, class_names: Sequence[str]) -> Iterator[tuple[str, bool, list[list[str]]]]:
    """(kind, whether the class's name is in it, the prompts of each class).

    With the name as DCLIP writes it: "happiness, which has raised cheeks" (Menon and Vondrick 2023, arXiv
    2210.07183).
    """
    from ...sources.controls import class_words

    words = [class_words(of, name) for name in own_names(of, class_names)]
    sentences, descriptors = of.class_texts(class_names), descriptor_texts(of, class_names)
    for kind, texts in (("sentence", sentences), ("descriptors", descriptors)):
        yield kind, False, texts
        yield (
            kind,
            True,
            [[f"{said}, which has {text}" for text in own] for said, own in zip(words, texts, strict=True)],
        )


def show_zero_shot(rows: Sequence[dict[str, Any]]) -> None:
    """The rows as a table."""
    print_table(
        "Zero-shot, in percent, with 95% intervals",
        ["set", "prompts", "class\nnames", "ensembling", "UAR", "WAR"],
        [
            [
                row["set"],
                row["prompts"],
                "with" if row["class_names"] else "without",
                row["ensembling"],
                _interval(row["uar"]),
                _interval(row["war"]),
            ]
            for row in rows
        ],
    )


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.1f} ({figure['low']:.1f} to {figure['high']:.1f})"
