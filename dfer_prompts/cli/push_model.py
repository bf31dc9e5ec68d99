"""`dfer-prompts push-model`: a run to the HuggingFace hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .output import JsonOption, message, print_json, print_table
from .train import RunArgument


def push_model(
    context: typer.Context,
    run: RunArgument,
    repo: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="The model on the hub; created if needed.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make the model private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files without uploading.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a finished run to the HuggingFace hub, with its card; `from_pretrained` loads it.

    The files contain no paths of this machine and no clip ids. The token is that of HF_TOKEN or
    `hf auth login`; HF_ENDPOINT selects another hub.

    Example: dfer-prompts push-model v2-fold1 me/faces --private
    """
    from ..api.model_exchange import model_files
    from ..api.model_exchange import push_model as push

    pushed = None if dry_run else push(run, repo, private=private, workspace=context.obj)
    files = pushed.files if pushed else model_files(run, repo, workspace=context.obj)
    url, revision = (pushed.url, pushed.revision) if pushed else (None, None)
    if as_json:
        listed = [asdict(each) for each in files]
        print_json({"run": run, "repo": repo, "url": url, "revision": revision, "files": listed})
        return
    title = f"{run} at {url}, revision {revision}" if pushed else f"{run} would be uploaded to {repo}"
    print_table(title, ["file", "bytes", "sha256"], [(each.name, each.size, each.sha256) for each in files])
    message("Its card names no licence; set one so that others know how they may use it")
    if pushed:
        message(f'Next, elsewhere, in Python: dfer_prompts.from_pretrained("{repo}")')
    else:
        message("Nothing was uploaded")


def register(app: typer.Typer) -> None:
    """Add `push-model` to the root command."""
    app.command("push-model", short_help="Upload a finished run to the HuggingFace hub.")(push_model)
