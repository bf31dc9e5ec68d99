"""`descriptions search`: choose descriptors by zero-shot score on training folds, and keep what was seen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...workspace import Workspace
from ..configuration import (
    Choices,
    ClipOption,
    DatasetOption,
    DeviceOption,
    PresetOption,
    SetOption,
    WeightsOption,
    numbers,
    open_dataset,
)
from ..output import JsonOption, message, print_json, print_line, print_table, progress
from .zero_shot import descriptor_texts, own_names

if TYPE_CHECKING:
    from dfer_model.clip import Clip
    from dfer_model.data.packed import PackedClips
    from dfer_model.search import Found
    from dfer_model.settings import Settings
    from dfer_model.zero_shot import Videos

    from ...description_set import DescriptionSet

KEPT_STEPS = 200  # of the log, in the manifest


def register(commands: typer.Typer) -> None:
    """Add this file's command to `dfer-prompts descriptions`."""
    commands.command()(search)


def search(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="V", help="The set whose descriptors are chosen from.")],
    folds: Annotated[
        str, typer.Option("--folds", help="Training folds that choose, such as 2-5; 0 is never tested.")
    ],
    dataset: DatasetOption = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Descriptors of each class to choose.")] = 4,
    preset: PresetOption = None,
    clip: ClipOption = None,
    weights: WeightsOption = None,
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides which class chooses first.")] = 1,
    version: Annotated[
        str | None, typer.Option(help="Name of the new version.", show_default="next free")
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Choose the descriptors that serve zero-shot best on training folds: greedily, then by swaps.

    Looks at the labels of the clips of --folds and of no other. The new version says in its manifest and card
    which these were, and compare and score refuse to judge it, or what is made of it, on them: leave out the
    fold that is to judge. Its score on the folds that chose it is too good by construction.

    Example: dfer-prompts descriptions search v2 --dataset packed/mafw --folds 2-5 --k 4
    """
    from ...versions.store import DescriptionStore

    workspace: Workspace = context.obj
    store = DescriptionStore(workspace)
    of = store.load(ref)
    if version is not None:
        store.check_name(version)
    clips = open_dataset(workspace, dataset)
    chosen_by = numbers(folds, "--folds", least=0)
    of.class_texts(clips.class_names)  # which names the classes that it does not cover
    candidates = descriptor_texts(of, clips.class_names)
    settings = Choices(preset, clip, weights, None, None, overrides or []).settings(workspace, clips.name)
    from dfer_model.clip import load_clip
    from dfer_model.search import search as search_descriptors
    from dfer_model.zero_shot import video_features

    loaded = load_clip(settings.clip, settings.weights)
    with progress("clips") as report:
        kept = workspace.root / ".dfer" / "features"
        videos = video_features(loaded, clips, chosen_by, settings, kept, report, device)
    with progress("search") as report:
        found = search_descriptors(
            videos, clips.class_names, candidates, k, _encoder(loaded), _join(), seed=seed, report=report
        )
    whole = _uar(loaded, of, clips, videos)
    saved = store.save(_chosen(of, clips, chosen_by, settings, k, seed, found), version)
    left = [fold for fold in clips.fold_names() if fold not in chosen_by]
    result = {
        "version": saved.name,
        "folder": str(store.path(saved.name)),
        "dataset": clips.name,
        "folds": list(chosen_by),
        "folds_left_to_judge": left,
        "clips": len(videos.labels),
        "uar": {ref: whole, f"first {k}": found.start[0], saved.name: found.score[0]},
        "sentences": found.sentences,
        "not_searched": list(found.not_searched),
        "classes": dict(zip(clips.class_names, map(list, found.chosen), strict=True)),
        "steps": [asdict(step) for step in found.steps],
    }
    if as_json:
        print_json(result)
    else:
        _show(result)


def _encoder(clip: Clip) -> Any:
    from dfer_model.text_scores import text_features

    return lambda sentences, owner: text_features(clip, sentences, [owner] * len(sentences))


def _join() -> Any:
    from ...description_set import join

    return join


def _uar(clip: Clip, of: DescriptionSet, clips: PackedClips, videos: Videos) -> float:
    from dfer_model.zero_shot import prompt_figures

    figures = prompt_figures(clip, videos, of.class_texts(clips.class_names), clips.class_names)
    return next(iter(figures.values())).uar.value


def _chosen(
    of: DescriptionSet,
    clips: PackedClips,
    folds: tuple[int, ...],
    settings: Settings,
    k: int,
    seed: int,
    found: Found,
) -> DescriptionSet:
    from dfer_model.runs import weights_identity

    from ...description_set import Seen
    from ...seen import chosen_set

    names = own_names(of, clips.class_names)
    steps = [{key: value for key, value in asdict(step).items() if value is not None} for step in found.steps]
    derivation = {
        "command": "search",
        "of": of.name,
        "dataset": clips.name,
        "folds": list(folds),
        "k": k,
        "seed": seed,
        "clip": settings.clip,
        "weights": weights_identity(settings),
        "frames": settings.frames,
        "normalize": settings.normalize,
        "uar_of_the_first": found.start[0],
        "uar_on_the_folds_that_chose": found.score[0],
        "not_searched": list(found.not_searched),
        "steps": steps[:KEPT_STEPS],
        "steps_left_out": max(len(steps) - KEPT_STEPS, 0),
    }
    seen = Seen(dataset=clips.name, fingerprint=clips.fingerprint, folds=tuple(sorted(folds)))
    return chosen_set(of, dict(zip(names, found.chosen, strict=True)), seen, derivation)


def _show(result: dict[str, Any]) -> None:
    """The choice, and what it is worth on the folds that chose it, which is no test."""
    print_table(
        f"{result['version']}: chosen by fold {', '.join(map(str, result['folds']))} of {result['dataset']}",
        ["class", "descriptors"],
        [(name, "; ".join(chosen)) for name, chosen in result["classes"].items()],
    )
    print_table(
        f"Zero-shot UAR on the {result['clips']} clips that chose",
        ["descriptors", "UAR (%)"],
        [[name, float(value)] for name, value in result["uar"].items()],
    )
    swaps = sum(step["move"] == "swap" for step in result["steps"])
    print_line(f"{result['sentences']} sentences scored, {swaps} swaps, until no single swap was better.")
    if result["not_searched"]:
        print_line(f"Without clips there, and so not searched: {', '.join(result['not_searched'])}.")
    print_line("That score is too good by construction: these clips chose the descriptors.")
    left = ", ".join(map(str, result["folds_left_to_judge"]))
    if left:
        print_line(f"Fold {left} is left to judge it: compare {result['version']} ... --folds {left}")
    else:
        print_line(f"No fold of {result['dataset']} is left to judge it; another dataset is.")
    message(f"Written to {result['folder']}")
