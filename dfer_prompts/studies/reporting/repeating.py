"""How to do it again: the command, put together from what is stored."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import InputError
from .blocks import Block, Code, Section, paragraph
from .stored import Stored

MADE = "control:"


def repeat(of: Stored) -> Section:
    """The command that makes the comparison again, and what it needs."""
    words = _of_runs(of) if of.of_runs else _of_sets(of)
    note = (
        "In the same workspace, with the sets and clips as they were; runs that are there are found and not "
        "trained again. The settings are written out against the nearest preset."
    )
    blocks: list[Block] = [Code(shlex.join(words)), paragraph(note)]
    if _clips(of) is None:
        blocks.append(
            paragraph(f"Where the clips of {of.told['dataset']} are was not recorded: give their folder.")
        )
    versions: dict[str, str] = next((each.get("versions", {}) for each in of.results.values()), {})
    if versions:
        blocks.append(paragraph(f"Made with {', '.join(f'{name} {it}' for name, it in versions.items())}."))
    blocks.append(paragraph("This report, from what is stored:"))
    blocks.append(Code(shlex.join(["dfer-prompts", "report", of.folder.name])))
    return Section("repeat", "How to repeat it", tuple(blocks))


def settings_words(chosen: Mapping[str, Any], dataset: str) -> list[str]:
    """The options that give these settings. Raises InputError where they are none of this version's."""
    from dfer_model.report.card import USUAL_STRATEGY, nearest_preset
    from dfer_model.settings import Settings

    try:
        settings = Settings.model_validate(dict(chosen))
    except ValueError as error:
        raise InputError(f"the stored settings are not valid: {' '.join(str(error).split())}") from error
    preset, strategy, deviating = nearest_preset(settings, dataset)
    words = ["--preset", preset]
    if strategy != USUAL_STRATEGY:
        words += ["--strategy", strategy]
    for key, value in deviating.items():
        listed = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
        words += ["--set", f"{key}={listed}"]
    return words


def _of_sets(of: Stored) -> list[str]:
    told = of.told
    screening = told.get("screening")
    controls = [name for name in of.controls if name.startswith(MADE)]
    named = [each["name"] for each in screening["sets"]] if screening else of.candidates
    words = ["dfer-prompts", "compare", *named, *(name for name in of.controls if name not in controls)]
    for name in controls:
        words += ["--control", name.removeprefix(MADE)]
    words += ["--dataset", _clips(of) or str(told["dataset"])]
    if "screened" in told["measures"]:
        words += ["--screen"]
    else:
        words += [*_measures(of), *(["--screen", "--then", str(len(of.candidates))] if screening else [])]
    words += ["--folds", _numbers(told["folds"])]
    words += ["--seeds", _numbers(told["seeds"])] if told["seeds"] else []
    return words + (settings_words(told["settings"], told["dataset"]) if told.get("settings") else [])


def _measures(of: Stored) -> list[str]:
    words: list[str] = []
    for measure in of.told["measures"]:
        words += ["--measure", "supervised" if measure == "trained" else measure]
    if "few-shot" in of.told["measures"]:
        words += ["--shots", ",".join(of.told["sets"][0]["few_shot_curve_uar"])]
    if of.told["transfer_to"]:
        clips = of.told.get("clips") or []
        words += ["--transfer-to", clips[1] if len(clips) > 1 else of.told["transfer_to"]]
    return words


def _of_runs(of: Stored) -> list[str]:
    words = ["dfer-prompts", "compare", *of.names, "--dataset", _clips(of) or str(of.told["dataset"])]
    if of.told["seeds"]:
        words += ["--seeds", _numbers(of.told["seeds"])]
        trained = of.runs / of.trained[0].run / "config.yaml" if of.trained else None
        if trained and trained.is_file():
            from .stored import read_config

            words += settings_words(read_config(trained)["settings"], of.told["dataset"])
    return words


def _clips(of: Stored) -> str | None:
    """Where the clips were; None where it is not recorded."""
    if of.told.get("clips"):
        return str(of.told["clips"][0])
    own = of.config().get("dataset", {}).get("path")
    return str(own) if own else None


def _numbers(given: Iterable[int]) -> str:
    """Numbers as a person writes them: "1-5", "1,3"."""
    numbers: Sequence[int] = sorted(given)
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))
