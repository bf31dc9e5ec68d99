"""`descriptions import | export`: description sets from and to files of other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ...errors import InputError
from ..completion import versions
from ..output import JsonOption, message, print_json, print_table

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="dclip, cupl, text, csv, yaml or parquet.",
        show_default="from the file's name and content",
    ),
]


def register(commands: typer.Typer) -> None:
    """Add this file's commands to `dfer-prompts descriptions`."""
    commands.command("import", short_help="Make a version from a file.")(import_)
    commands.command("export", short_help="Write a version in the format of another program.")(export)


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file: JSON, text, CSV, YAML or parquet.")],
    format: FormatOption = None,  # noqa: A002 - the option's word
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Class set: a name or a YAML file.",
            show_default="the file's own classes",
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new version's name.", show_default="the next")
    ] = None,
    license: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            metavar="NAME",
            help="Its licence, such as cc-by-4.0.",
            show_default="that of dfer.yaml, or unknown",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version from a file; nothing is added.

    dclip is {class: [descriptor, ...]} and cupl {class: [sentence, ...]}, each sentence a member; text has a
    sentence per line in the order of --classes; csv, yaml and parquet have rows like descriptors.jsonl.

    Example: dfer-prompts descriptions import labels.txt --classes mafw --version from-text
    """
    from ...classes import load_class_set
    from ...versions.exchange import import_file
    from ...versions.store import DescriptionStore

    store = DescriptionStore(context.obj)
    if version is not None:
        store.check_name(version)
    terms = license or context.obj.defaults.license or "unknown"
    class_set = load_class_set(classes) if classes is not None else None
    imported = import_file(file, class_set, format, terms)
    saved = store.save(imported.draft, version)
    if as_json:
        print_json(
            {
                "version": saved.name,
                "folder": str(store.path(saved.name)),
                "format": imported.format,
                "classes": list(saved.class_names),
                "sha256": saved.sha256,
                "notes": imported.notes,
            }
        )
        return
    rows = [
        (name, len(saved.members[name]), "; ".join(saved.class_texts([name])[0]))
        for name in saved.class_names
    ]
    print_table(f"{saved.name} (from {file.name}, {imported.format})", ["class", "members", "text"], rows)
    for note in imported.notes:
        message(f"Note: {note}")
    message(f"Written to {store.path(saved.name)}\nNext: dfer-prompts descriptions check {saved.name}")


def export(
    context: typer.Context,
    ref: Annotated[
        str,
        typer.Argument(
            autocompletion=versions, metavar="V", help='A version, "v1", or its top 4 per class, "v1@4".'
        ),
    ],
    format: FormatOption = None,  # noqa: A002
    out: Annotated[Path, typer.Option(help="The file to write; - is standard output.")] = Path("-"),
    as_json: JsonOption = False,
) -> None:
    """Write a version in the format of another program, and report what the format cannot hold.

    Example: dfer-prompts descriptions export v2 --format dclip --out v2.json
    """
    from ...versions.exchange import FORMATS, export_file
    from ...versions.exchange import export as exported_as
    from ...versions.store import DescriptionStore

    descriptions = DescriptionStore(context.obj).load(ref)
    to_stdout = str(out) == "-"
    if to_stdout and as_json:
        raise InputError("--json requires --out FILE")
    if to_stdout and format is None:
        raise InputError(
            f"no format is given: add --format NAME, or --out FILE\nThere are: {', '.join(FORMATS)}"
        )
    if to_stdout and format == "parquet" and sys.stdout.isatty():
        raise InputError("a parquet file cannot be printed on a terminal: give --out FILE")
    if to_stdout:
        exported = exported_as(descriptions, str(format))
        sys.stdout.buffer.write(exported.data)
        sys.stdout.flush()
    else:
        exported = export_file(descriptions, out, format)
    if as_json:
        facts = {"file": str(out), "format": exported.format, "bytes": len(exported.data)}
        print_json({**facts, "notes": exported.notes})
        return
    if not to_stdout:
        message(f"Written to {out} ({exported.format}, {len(exported.data)} bytes)")
    if exported.notes:
        message("Not in the file, or to note:")
    for note in exported.notes:
        message(f"  {note}")
