"""`descriptions check`: errors, warnings and notes on a description set."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..completion import versions
from ..output import JsonOption, message, print_json, print_table

if TYPE_CHECKING:
    from ...description_set import DescriptionSet
    from ...lint import Finding


def register(commands: typer.Typer) -> None:
    """Add this file's command to `dfer-prompts descriptions`."""
    commands.command()(check)


def check(
    context: typer.Context,
    ref: Annotated[
        str,
        typer.Argument(
            autocompletion=versions, metavar="V", help='A version, "v1", or its top 4 per class, "v1@4".'
        ),
    ],
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="The classes to check it for.", show_default="its own"),
    ] = None,
    contexts: Annotated[
        int, typer.Option(min=0, help="Learnable vectors that share CLIP's 77 positions with a description.")
    ] = 8,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit status 1 on a warning or an error, for CI.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a set's texts before training.

    Errors prevent training or a fair comparison; warnings are probable mistakes; notes are for information.

    Example: dfer-prompts descriptions check v2@4 --strict
    """
    from ...classes import load_class_set
    from ...lint import check as check_set
    from ...versions.store import DescriptionStore

    checked = DescriptionStore(context.obj).load(ref)
    findings = check_set(checked, contexts, load_class_set(classes) if classes else None)
    counted = Counter(finding.level for finding in findings)
    counts = {level: counted[level] for level in ("error", "warning", "note")}
    if as_json:
        listed = [asdict(finding) for finding in findings]
        print_json({"name": checked.name, "contexts": contexts, "counts": counts, "findings": listed})
    elif findings:
        print_table(
            f"Findings on {checked.name}",
            ["level", "rule", "class", "descriptor", "message"],
            [
                (each.level, each.rule, _place(each, checked), each.descriptor or "", each.message)
                for each in findings
            ],
        )
    numbers = (f"{count} {level}" + ("" if count == 1 else "s") for level, count in counts.items())
    message(f"{checked.name}: {', '.join(numbers)}")
    if strict and (counted["error"] or counted["warning"]):
        raise typer.Exit(1)


def _place(finding: Finding, checked: DescriptionSet) -> str:
    name = finding.class_name or ""
    several = finding.member is not None and len(checked.members[name]) > 1
    return f"{name} (member {finding.member})" if several else name
