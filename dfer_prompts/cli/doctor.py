"""`dfer-prompts doctor`: check the installation and configuration."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ..errors import WorkError
from .output import JsonOption, Pieces, print_json, print_pieces

if TYPE_CHECKING:
    from dfer_model.machine import Finding

COLOURS = {"ok": "green", "missing": "yellow", "wrong": "bold red"}


def doctor(context: typer.Context, as_json: JsonOption = False) -> None:
    """Report what is installed, found and configured, and how to add what is missing.

    Checks Python, the libraries and extras, GPU, shared memory, bfloat16, video codecs, CLIP's weights in the
    cache, the workspace and its disk, dfer.yaml with the datasets it names, the language model's server, the
    face detector and Slurm. Nothing is downloaded, and a key is never shown. Exit status 1 only if training
    or prediction cannot work.

    Example: dfer-prompts doctor
    """
    from ..api.doctor import look

    findings = list(look(context.obj))
    broken = [each.subject for each in findings if each.broken]
    if as_json:
        print_json({"works": not broken, "findings": [asdict(each) for each in findings]})
    else:
        width = max(len(each.subject) for each in findings)
        print_pieces(line for each in findings for line in _lines(each, width))
    if broken:
        raise WorkError(f"does not work: {', '.join(broken)}\nThe list above says what to do")


def _lines(finding: Finding, width: int) -> list[Pieces]:
    """A line with the finding, and one below it with the advice."""
    state = (f"{finding.state:<7}", COLOURS[finding.state])
    lines: list[Pieces] = [(state, (f"  {finding.subject:<{width}}  {finding.says}", ""))]
    if finding.advice:
        lines.append(((f"{'':<{width + 9}}  {finding.advice}", "dim"),))
    return lines


def register(app: typer.Typer) -> None:
    """Add `doctor` to the root command."""
    app.command(short_help="Check the installation and configuration.")(doctor)
