"""`descriptions score`: what a CLIP makes of a set's texts, and untrained of clips by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import InputError
from ...seen import require_unseen
from ...workspace import Workspace
from ..configuration import (
    Choices,
    ClipOption,
    DeviceOption,
    PresetOption,
    SetOption,
    WeightsOption,
    judging_folds,
    open_dataset,
)
from ..output import JsonOption, message, print_json, print_line, print_table
from .zero_shot import READING, descriptor_texts, show_zero_shot, zero_shot_rows

if TYPE_CHECKING:
    from dfer_model.clip import Clip
    from dfer_model.runs import ClassTexts
    from dfer_model.settings import Settings
    from dfer_model.text_scores import TextScores

    from ...description_set import DescriptionSet

DIAGNOSTICS = "Diagnostics of the texts alone, not accuracy: random words stand far apart too."
WIDEST = 12  # classes whose cosines still make a table of a terminal's width


def register(commands: typer.Typer) -> None:
    """Add this file's command to `dfer-prompts descriptions`."""
    commands.command()(score)


def score(
    context: typer.Context,
    refs: Annotated[list[str], typer.Argument(metavar="V...", help="Description sets or views of them.")],
    preset: PresetOption = None,
    clip: ClipOption = None,
    weights: WeightsOption = None,
    overrides: SetOption = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the cosines between classes as this .png or .svg file.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Packed clips for zero-shot UAR and WAR, or their name.")
    ] = None,
    folds: Annotated[
        str | None, typer.Option("--folds", help="Folds that judge, such as 1-5.", show_default="all")
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show how a CLIP's text tower tells the classes of a set apart: diagnostics, not accuracy.

    Margin is 1 minus the largest cosine between two classes, spread 1 minus the mean cosine between the
    descriptors of a class, overlap the share of descriptors nearer to one of another class, redundancy the
    share that repeats one of its class; a control that the set is like says that its words matter little.

    With --dataset also the zero-shot UAR and WAR of each set on these clips, which must not have chosen it:
    by the description of each class ("sentence") and by every descriptor as a prompt ("descriptors"), alone
    and as "happiness, which has raised cheeks"; several prompts of a class are ensembled as the mean of
    their embeddings or the mean of their similarities to a clip.

    Example: dfer-prompts descriptions score v1 v2@4 --clip demo --figure cosines.png
    """
    from ...versions.store import DescriptionStore

    workspace: Workspace = context.obj
    store = DescriptionStore(workspace)
    sets = [store.load(ref) for ref in dict.fromkeys(refs)]
    clips = open_dataset(workspace, dataset) if dataset is not None else None
    judging = judging_folds(clips, folds) if clips else ()
    if clips:
        require_unseen(sets, clips.name, clips.fingerprint, judging)
    choices = Choices(preset, clip, weights, None, None, overrides or [])
    settings = choices.settings(workspace, clips.name if clips else "")
    from dfer_model.clip import load_clip
    from dfer_model.report.figures import check_picture, heat_map_figure

    if figure is not None:
        check_picture(figure)
    loaded = load_clip(settings.clip, settings.weights)
    class_names = clips.class_names if clips else _common_classes(sets)
    scores = [_scores(loaded, each, class_names) for each in sets]
    rows = zero_shot_rows(workspace, loaded, sets, clips, judging, settings, device) if clips else None
    if figure is not None:
        heat_map_figure(
            figure, [each.cosines for each in scores], class_names, [each.name for each in scores]
        )
        message(f"Drawn: {figure}")
    if as_json:
        print_json(_as_json(settings, scores, rows))
    else:
        _show(settings, scores, rows)


def _common_classes(sets: Sequence[DescriptionSet]) -> tuple[str, ...]:
    """The classes of the first set that every set describes. Raises InputError for fewer than 2."""
    from ...classes import match_class_name

    first, *others = sets
    common = tuple(
        name
        for name in first.class_names
        if all(match_class_name(name, other.class_names) is not None for other in others)
    )
    if len(common) < 2:
        names = ", ".join(each.name for each in sets)
        raise InputError(f"{names} have {len(common)} classes in common; to tell apart there must be two")
    return common


def _texts(of: DescriptionSet, class_names: Sequence[str]) -> ClassTexts:
    from dfer_model.runs import ClassTexts

    texts = of.class_texts(class_names)
    return ClassTexts(of.name, of.sha256, tuple(class_names), tuple(tuple(members) for members in texts))


def _scores(clip: Clip, of: DescriptionSet, class_names: Sequence[str]) -> TextScores:
    from dfer_model.text_scores import text_scores

    controls = [_texts(each, class_names) for each in _controls(of)]
    return text_scores(clip, _texts(of, class_names), descriptor_texts(of, class_names), controls)


def _controls(of: DescriptionSet) -> list[DescriptionSet]:
    """The controls there are of a set: not every set can be scrambled, nor every control fits CLIP."""
    from ...clip_tokens import count_tokens, room
    from ...sources.controls import CONTROLS, control_set

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


def _as_json(
    settings: Settings, scores: Sequence[TextScores], rows: Sequence[dict[str, Any]] | None
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "note": DIAGNOSTICS,
        "clip": settings.clip,
        "weights": settings.weights,
        "class_names": list(scores[0].class_names),
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
            for each in scores
        ],
    }
    return told if rows is None else {**told, "zero_shot": {"note": READING, "rows": list(rows)}}


def _show(settings: Settings, scores: Sequence[TextScores], rows: Sequence[dict[str, Any]] | None) -> None:
    for each in scores:
        _show_matrix(each)
        print_table(
            f"{each.name}: the descriptors of each class",
            ["class", "descriptors", "spread", "nearer to\nanother class (%)", "shared (%)"],
            [
                [
                    one.class_name,
                    one.descriptors,
                    _figure(one.spread),
                    _percent(one.strays),
                    _percent(one.shared),
                ]
                for one in each.classes
            ],
        )
    print_table(
        f"Class texts as {settings.clip} ({settings.weights}) reads them, without contexts",
        ["set", "margin", "closest classes", "spread", "overlap\n(%)", "redundancy\n(%)", "nearest control"],
        [
            [
                each.name,
                f"{each.margin:.3f}",
                f"{each.closest.first}, {each.closest.second}",
                _figure(each.spread),
                _percent(each.overlap),
                f"{100 * each.redundancy:.0f}",
                f"{each.nearest_control} ({each.controls[each.nearest_control]:.3f})"
                if each.nearest_control
                else "none fits",
            ]
            for each in scores
        ],
    )
    for each in scores:
        for one in each.classes:
            for pair in one.near_identical:
                print_line(
                    f"- {each.name}, {one.class_name}: {pair.first!r} and {pair.second!r} say nearly "
                    f"the same to this CLIP (cosine {pair.cosine:.3f})"
                )
    print_line(DIAGNOSTICS)
    if rows is not None:
        show_zero_shot(rows)
        print_line(READING)


def _show_matrix(scores: TextScores) -> None:
    names = scores.class_names
    title = f"{scores.name}: cosines between classes, times 100"
    if len(names) > WIDEST:
        print_line(f"{title}: {len(names)} classes are too many for a table; see --figure or --json")
        return
    rows = [
        [f"{number} {name}", *(round(100 * cosine) for cosine in row)]
        for number, (name, row) in enumerate(zip(names, scores.cosines, strict=True), start=1)
    ]
    print_table(title, ["class", *map(str, range(1, len(names) + 1))], rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}"
