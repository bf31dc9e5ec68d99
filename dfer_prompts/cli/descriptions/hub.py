"""`descriptions push | pull`: versions to and from the HuggingFace hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ..completion import versions
from ..output import JsonOption, message, print_json, print_table


def register(commands: typer.Typer) -> None:
    """Add this file's commands to `dfer-prompts descriptions`."""
    commands.command(short_help="Upload a version to the HuggingFace hub.")(push)
    commands.command(short_help="Download a version from the HuggingFace hub.")(pull)


def push(
    context: typer.Context,
    name: Annotated[str, typer.Argument(autocompletion=versions, metavar="V", help="The version.")],
    repo: Annotated[
        str, typer.Option(metavar="USER/NAME", help="The dataset on the hub; created if needed.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make the dataset private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files without uploading.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a version to the HuggingFace hub, with its card and the answers it was parsed from.

    The token is that of HF_TOKEN or `hf auth login`; HF_ENDPOINT selects another hub.

    Example: dfer-prompts descriptions push v2 --repo me/mafw-descriptors --dry-run
    """
    from ...versions.hub import check_repo, hub_files
    from ...versions.hub import push as push_version
    from ...versions.store import load
    from ...versions.version_files import RESPONSES

    check_repo(repo)
    if dry_run:
        files, pushed = hub_files(name, context.obj), None
    else:
        pushed = push_version(name, repo, context.obj, private=private)
        files = pushed.files
    if as_json:
        where = (
            {"url": pushed.url, "revision": pushed.revision} if pushed else {"url": None, "revision": None}
        )
        print_json({"version": name, "repo": repo, **where, "files": [asdict(each) for each in files]})
        return
    title = (
        f"{name} at {pushed.url}, revision {pushed.revision}"
        if pushed
        else f"{name} would be uploaded to {repo}"
    )
    print_table(title, ["file", "bytes", "sha256"], [(each.name, each.size, each.sha256) for each in files])
    if any(each.name == RESPONSES for each in files):
        message(f"{RESPONSES}, with the verbatim answers, is included")
    if load(name, context.obj).manifest.license == "unknown":
        message("Its licence is unknown; set one so that others know how they may use it")
    if dry_run:
        message("Nothing was uploaded")
    else:
        message(f"Next, elsewhere: dfer-prompts descriptions pull {repo}")


def pull(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="USER/NAME[@REVISION]", help="The dataset, and a branch, tag or commit of it."
        ),
    ],
    version: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new version's name.", show_default="the next")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download a version from the HuggingFace hub, check it, and save it under a new name with its commit.

    Example: dfer-prompts descriptions pull me/mafw-descriptors --version v3
    """
    from ...versions.hub import pull as pull_version
    from ...versions.store import DescriptionStore

    saved = pull_version(source, version, context.obj)
    folder = str(DescriptionStore(context.obj).path(saved.name))
    revision = saved.manifest.derivation["revision"]
    if as_json:
        facts = {"version": saved.name, "folder": folder, "revision": revision, "sha256": saved.sha256}
        print_json({**facts, "classes": list(saved.class_names), "files": saved.manifest.files})
        return
    rows = [(name, "; ".join(saved.class_texts([name])[0])) for name in saved.class_names]
    print_table(f"{saved.name} ({source}, revision {revision})", ["class", "text"], rows)
    message(f"Written to {folder}\nNext: dfer-prompts descriptions show {saved.name}")
