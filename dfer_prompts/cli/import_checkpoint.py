"""`dfer-prompts import-checkpoint`: a released checkpoint as a run of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import ClipOption
from .output import JsonOption, message, print_json, print_table


def import_checkpoint(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint saved by DFER-CLIP's code.")],
    classes: Annotated[
        str,
        typer.Option("--classes", metavar="NAME|FILE", help="Class set (name or YAML file) of the model."),
    ],
    descriptions: Annotated[
        str | None,
        typer.Option(
            help="The set it was trained with, checked against the file.", show_default="the file's own texts"
        ),
    ] = None,
    position: Annotated[
        Literal["end", "middle", "front"],
        typer.Option(help="Position of the description among the contexts; the file does not record it."),
    ] = "end",
    clip: ClipOption = None,
    fold: Annotated[int, typer.Option(min=1, help="Its test fold.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Import a released DFER-CLIP checkpoint as a run. Nothing in the file is executed.

    Example: dfer-prompts import-checkpoint model_best.pth --classes mafw --fold 1
    """
    from ..api.model_exchange import import_checkpoint as imported

    run = imported(
        file,
        classes,
        descriptions=descriptions,
        position=position,
        clip=clip,
        fold=fold,
        workspace=context.obj,
    )
    result, settings = run.result, run.settings
    for note in result["notes"]:
        message(f"Note: {note}")
    read_off = {
        "contexts": settings.contexts,
        "context_kind": settings.context_kind,
        "position": settings.position,
        "temporal_depth": settings.temporal_depth,
        "frames": settings.frames,
    }
    texts = {name: members[0] for name, members in zip(run.class_names, run.texts.texts, strict=True)}
    if as_json:
        values = {"run": str(run.folder), "id": run.id, "descriptions": run.texts.name, **read_off}
        print_json({**values, "fold": run.fold, "texts": texts, "notes": result["notes"]})
        return
    print_table(f"{run.id}: settings", ["setting", "value"], list(read_off.items()))
    print_table(f"{run.id}: texts", ["class", "text"], list(texts.items()))
    message(
        f"The run is in {run.folder}\nNext: dfer-prompts evaluate {run.id} --dataset DIR, "
        f"or dfer-prompts predict {run.id} VIDEO"
    )


def register(app: typer.Typer) -> None:
    """Add `import-checkpoint` to the root command."""
    app.command("import-checkpoint", short_help="Import a released DFER-CLIP checkpoint as a run.")(
        import_checkpoint
    )
