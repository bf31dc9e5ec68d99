"""The command that repeats a comparison or a run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from .render import Block, Code, Section, paragraph
from .stored import Stored

if TYPE_CHECKING:
    from dfer_model.config import Settings

MADE = "control:"


def repeat(of: Stored) -> Section:
    """The command that repeats the comparison, and its requirements."""
    request = of.record.request
    blocks: list[Block] = [
        Code(shlex.join(request.words() if request else _older(of))),
        paragraph("In the same workspace, with the same sets and clips. Finished runs are reused."),
    ]
    if _clips(of) is None:
        blocks.append(
            paragraph(
                f"The folder of the clips of {of.record.dataset} was not recorded: pass it as --dataset."
            )
        )
    versions: dict[str, str] = next((each.get("versions", {}) for each in of.results.values()), {})
    if versions:
        blocks.append(paragraph(f"Made with {', '.join(f'{name} {it}' for name, it in versions.items())}."))
    blocks.append(paragraph("This report:"))
    blocks.append(Code(shlex.join(["dfer-prompts", "report", of.record.folder.name])))
    return Section("repeat", "How to repeat it", tuple(blocks))


def settings_words(settings: Settings) -> list[str]:
    """The options that give these settings: every difference from the default preset."""
    from dfer_model.config import Settings

    default = Settings()
    words = ["--preset", "default"]
    for key, value in settings.model_dump().items():
        if value != getattr(default, key):
            listed = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            words += ["--set", f"{key}={listed}"]
    return words


def _older(of: Stored) -> list[str]:
    """The command of a record without a request (version 0.1.0): all settings are written out."""
    from dfer_model.comparison.record import numbers_text

    record, compared = of.record, of.comparison
    controls = [name for name in compared.controls if name.startswith(MADE)]
    named = [each.name for each in record.screening.sets] if record.screening else compared.candidates
    words = ["dfer-prompts", "compare", *named, *(each for each in compared.controls if each not in controls)]
    for name in controls:
        words += ["--control", name.removeprefix(MADE)]
    words += ["--dataset", _clips(of) or record.dataset]
    if record.of_runs:
        return [*words, *(["--seeds", numbers_text(compared.seeds)] if compared.seeds else [])]
    if "screened" in compared.measures:
        words += ["--screen"]
    else:
        words += _measures(of)
        words += ["--screen", "--then", str(len(compared.candidates))] if record.screening else []
    words += ["--folds", numbers_text(compared.folds)]
    words += ["--seeds", numbers_text(compared.seeds)] if compared.seeds else []
    return words + (settings_words(record.settings) if record.settings else [])


def _measures(of: Stored) -> list[str]:
    record, compared = of.record, of.comparison
    words: list[str] = []
    for measure in compared.measures:
        words += ["--measure", "supervised" if measure == "trained" else measure]
    if "few-shot" in compared.measures:
        words += ["--shots", ",".join(compared.sets[0].measures["few-shot"].curves["curve_uar"])]
    if record.transfer_to:
        words += ["--transfer-to", record.clips[1] if len(record.clips) > 1 else record.transfer_to]
    return words


def _clips(of: Stored) -> str | None:
    """The folder of the clips; None where it is not recorded."""
    if of.record.request:
        return of.record.request.dataset
    if of.record.clips:
        return of.record.clips[0]
    own = of.config().get("dataset", {}).get("path")
    return str(own) if own else None
