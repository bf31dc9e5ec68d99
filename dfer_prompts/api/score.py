"""Score sets without training: diagnostics of their texts with CLIP, and zero-shot scores on clips.

Zero-shot prompts are of four kinds, ensembled in two ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from dfer_model.progress import Progress, silence

from ..clip_tokens import count_tokens, room
from ..description_set import DescriptionSet
from ..errors import InputError, system_errors
from ..generation.controls import CONTROLS, class_words, control_set
from ..provenance import require_unseen
from ..workspace import Workspace
from .inputs import (
    Choices,
    class_texts,
    common_classes,
    descriptor_texts,
    features_folder,
    folds_to_test,
    loaded,
    open_dataset,
    own_names,
    settings_for,
)

if TYPE_CHECKING:
    from dfer_model.comparison.zero_shot import Videos
    from dfer_model.data.packed import PackedClips
    from dfer_model.evaluation.text_scores import TextScores
    from dfer_model.models.clip import Clip


DIAGNOSTICS = "Diagnostics of the texts, not accuracy: random words are well separated too."
READING = (
    "Zero-shot of one CLIP, without training. Intervals cover only the sampling variance of the test clips; "
    "use compare to test whether one set is better than another."
)


@dataclass(frozen=True)
class Scores:
    """Diagnostics of sets with one CLIP, not accuracy.

    `zero_shot` has a row per set, kind of prompt and way of ensembling, with UAR and WAR in percent and their
    95% intervals; None without clips.
    """

    clip: str
    weights: str
    sets: tuple[TextScores, ...]
    zero_shot: list[dict[str, Any]] | None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the cosines."""
        return self.sets[0].class_names

    def as_dict(self) -> dict[str, Any]:
        """What `descriptions score --json` prints."""
        values: dict[str, Any] = {
            "note": DIAGNOSTICS,
            "clip": self.clip,
            "weights": self.weights,
            "class_names": list(self.class_names),
            "sets": [
                {
                    "name": each.name,
                    "margin": each.margin,
                    "closest": asdict(each.closest),
                    "spread": each.spread,
                    "overlap": each.overlap,
                    "redundancy": each.redundancy,
                    "nearest_control": each.nearest_control,
                    "controls": dict(each.controls),
                    "cosines": each.cosines.tolist(),
                    "classes": [asdict(one) for one in each.classes],
                }
                for each in self.sets
            ],
        }
        if self.zero_shot is None:
            return values
        return {**values, "zero_shot": {"note": READING, "rows": self.zero_shot}}


@system_errors()
def score(
    *sets: DescriptionSet | str,
    dataset: PackedClips | Path | str | None = None,
    folds: Iterable[int] | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    **choices: Unpack[Choices],
) -> Scores:
    """How well CLIP's text tower separates the classes of the sets and, with `dataset`, zero-shot scores.

    `dataset` is packed clips, their folder or their name in `dfer.yaml`; no set may have been selected on
    them. `folds` are the test folds, by default all. `choices` are `preset`, `clip`, `weights` and
    `overrides` of `Choices`. `workspace` is by default the current one. Raises InputError.
    """
    place = workspace or Workspace.find()
    given = loaded(sets, place)
    clips = open_dataset(place, dataset) if dataset is not None else None
    tested = folds_to_test(clips, folds) if clips else ()
    if clips:
        require_unseen(given, clips.name, clips.fingerprint, tested)
    settings = settings_for(place, clips.name if clips else "", choices, device=device)
    class_names = clips.class_names if clips else common_classes(given)
    from dfer_model.models.clip import load_clip

    clip = load_clip(settings.clip, settings.weights)
    scores = tuple(_scores(clip, each, class_names) for each in given)
    rows = None
    if clips:
        from dfer_model.comparison.zero_shot import video_features

        with progress("clips") as report:
            videos = video_features(clip, clips, tested, settings, features_folder(place), report, device)
        rows = zero_shot_rows(clip, given, videos, class_names)
    return Scores(settings.clip, settings.weights, scores, rows)


def _scores(clip: Clip, of: DescriptionSet, class_names: Sequence[str]) -> TextScores:
    from dfer_model.evaluation.text_scores import text_scores

    controls = [class_texts(each, class_names) for each in _controls(of)]
    return text_scores(clip, class_texts(of, class_names), descriptor_texts(of, class_names), controls)


def _controls(of: DescriptionSet) -> list[DescriptionSet]:
    """The controls of a set: not every set can be scrambled, and not every control fits CLIP."""
    made = []
    for name in CONTROLS:
        try:
            control = control_set(name, of)
        except InputError:
            continue
        texts = (text for members in control.class_texts(of.class_names) for text in members)
        if all(count_tokens(text) <= room(contexts=0) for text in texts):
            made.append(control)
    return made


def zero_shot_rows(
    clip: Clip, sets: Sequence[DescriptionSet], videos: Videos, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """A row per set, kind of prompt and way of ensembling: UAR and WAR in percent with 95% intervals."""
    from dfer_model.comparison.zero_shot import prompt_figures

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

    With the name, as in DCLIP: "happiness, which has raised cheeks" (Menon and Vondrick 2023, arXiv
    2210.07183).
    """
    words = [class_words(of, name) for name in own_names(of, class_names)]
    sentences, descriptors = of.class_texts(class_names), descriptor_texts(of, class_names)
    for kind, texts in (("sentence", sentences), ("descriptors", descriptors)):
        yield kind, False, texts
        yield (
            kind,
            True,
            [
                [f"{sentence}, which has {text}" for text in own]
                for sentence, own in zip(words, texts, strict=True)
            ],
        )
