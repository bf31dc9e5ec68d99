"""`descriptions list | show | verify`: list versions, show one, verify its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import InputError
from ..completion import versions
from ..output import JsonOption, message, print_json, print_table

if TYPE_CHECKING:
    from ...description_set import DescriptionSet
    from ...versions.store import DescriptionStore


def register(commands: typer.Typer) -> None:
    """Add this file's commands to `dfer-prompts descriptions`."""
    commands.command("list", short_help="List the versions.")(list_)
    commands.command(short_help="Show the descriptors of each class.")(show)
    commands.command(short_help="Verify that no file has changed.")(verify)


def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the versions of this workspace and the shipped ones; the workspace takes precedence.

    Example: dfer-prompts descriptions list
    """
    from ...versions.store import DescriptionStore

    store = DescriptionStore(context.obj)
    rows = [_listed(store, name) for name in store.list()]
    if as_json:
        print_json(rows)
        return
    print_table(
        "Description sets",
        ["name", "from", "source", "model", "class set", "per class", "created"],
        [_cells(row) for row in rows],
    )
    for row in rows:
        if row["problem"]:
            message(f"{row['name']} cannot be read: {row['problem']}")


def show(
    context: typer.Context,
    ref: Annotated[
        str,
        typer.Argument(
            autocompletion=versions, metavar="V", help='A version, "v1", or its top 4 per class, "v1@4".'
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Show the descriptors of each class of a description set, and their origin.

    Example: dfer-prompts descriptions show v1@4
    """
    from ...versions.store import DescriptionStore

    shown = DescriptionStore(context.obj).load(ref)
    if as_json:
        print_json(_as_json(shown))
        return
    facts = shown.manifest.model_dump(
        exclude={"class_set", "files", "manifest_sha256", "failures"}, exclude_none=True
    )
    facts = {key: value for key, value in facts.items() if value not in ({}, [], ())}
    facts |= {"class_set": shown.manifest.class_set["name"], "sha256": shown.sha256}
    facts["per class"] = _per_class(shown)
    if shown.manifest.failures:
        facts["requests without an answer"] = len(shown.manifest.failures)
    print_table(
        f"Description set {shown.name}",
        ["fact", "value"],
        [(key, _as_text(facts[key])) for key in sorted(facts)],
    )
    sentences = [
        (name, shown.description(name, member))
        for name in shown.class_names
        for member in range(len(shown.members[name]))
    ]
    print_table("Descriptions", ["class", "description"], sentences)
    rows = [
        (name, number, each.rank, each.text, f"{each.support}/{each.samples}")
        for name in shown.class_names
        for number, member in enumerate(shown.members[name])
        for each in member
    ]
    print_table("Descriptors", ["class", "member", "rank", "descriptor", "support"], rows)


def verify(
    context: typer.Context,
    ref: Annotated[
        str | None,
        typer.Argument(
            autocompletion=versions, metavar="V", help="The version to verify.", show_default="all"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify that a version's files are as written; exit status 1 if not.

    Example: dfer-prompts descriptions verify v1
    """
    from ...versions.store import DescriptionStore

    store = DescriptionStore(context.obj)
    names = store.list() if ref is None else [ref.partition("@")[0]]
    found = {name: list(store.verify(name)) for name in names}
    if as_json:
        print_json([{"name": name, "problems": problems} for name, problems in found.items()])
    else:
        rows = [(name, "; ".join(problems) or "as written") for name, problems in found.items()]
        print_table("Verified", ["name", "files"], rows)
    if any(found.values()):
        raise typer.Exit(1)


def _listed(store: DescriptionStore, name: str) -> dict[str, Any]:
    from ...workspace import is_shipped

    row: dict[str, Any] = {
        "name": name,
        "from": "shipped" if is_shipped(store.path(name)) else "workspace",
    }
    facts: dict[str, Any] = dict.fromkeys(
        ("source", "model", "class_set", "classes", "per_class", "created", "problem")
    )
    try:
        listed = store.load(name)
    except (InputError, OSError) as error:  # an unreadable version does not hide the others
        return row | facts | {"problem": str(error)}
    return row | facts | {
        "source": listed.manifest.source,
        "model": listed.manifest.model,
        "class_set": listed.manifest.class_set["name"],
        "classes": len(listed.class_names),
        "per_class": _per_class(listed),
        "created": listed.manifest.created,
    }  # fmt: skip


def _as_text(value: object) -> str:
    """A value of a manifest as text, without brackets and quotes."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_as_text(each)}" for key, each in value.items())
    return ", ".join(map(_as_text, value)) if isinstance(value, list | tuple) else str(value)


def _per_class(of: DescriptionSet) -> str:
    """The number of descriptors per member: "4", or "3-6" if it varies."""
    sizes = [len(member) for members in of.members.values() for member in members]
    return "-".join(str(size) for size in dict.fromkeys((min(sizes), max(sizes))))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    covers = f"{row['class_set']} ({row['classes']})" if row["class_set"] else ""
    texts = (row["name"], row["from"], row["source"], row["model"], covers, row["per_class"])
    return (*(text or "" for text in texts), (row["created"] or "")[:10])


def _as_json(shown: DescriptionSet) -> dict[str, Any]:
    classes = [
        {
            "class_name": name,
            "descriptions": [shown.description(name, member) for member in range(len(shown.members[name]))],
            "members": [
                [
                    {
                        "rank": each.rank,
                        "descriptor": each.text,
                        "support": each.support,
                        "samples": each.samples,
                        "wordings": list(each.wordings),
                    }
                    for each in member
                ]
                for member in shown.members[name]
            ],
        }
        for name in shown.class_names
    ]
    return {
        "name": shown.name,
        "sha256": shown.sha256,
        "per_class": _per_class(shown),
        "manifest": shown.manifest.model_dump(mode="json", exclude_none=True),
        "classes": classes,
    }
