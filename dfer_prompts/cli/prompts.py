"""`dfer-prompts prompts`: the templates there are, their text, and what they ask for one class."""

from __future__ import annotations

from typing import Annotated

import typer

from ..resources import is_shipped
from ..workspace import Workspace
from .output import JsonOption, clean, print_json, print_table

NameArgument = Annotated[str, typer.Argument(help="The template's name.")]
commands = typer.Typer(no_args_is_help=True, help="Prompt templates: list, show, render.")


def register(app: typer.Typer) -> None:
    """Add this file's commands to the root command."""
    app.add_typer(commands, name="prompts")


@commands.command("list")
def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the templates of this workspace and those shipped; the workspace's win."""
    from ..templates import load_template, template_names

    workspace: Workspace = context.obj
    templates = [load_template(name, workspace) for name in template_names(workspace)]
    rows = [
        {
            "name": each.name,
            "from": "shipped" if is_shipped(each.path) else "workspace",
            "purpose": each.purpose,
            "source": each.source,
            "sampling": each.sampling,
        }
        for each in templates
    ]
    if as_json:
        print_json(rows)
    else:
        print_table("Templates", ["name", "from", "purpose"], [tuple(row.values())[:3] for row in rows])


@commands.command()
def show(context: typer.Context, name: NameArgument) -> None:
    """Print a template as it stands in its file."""
    from ..templates import load_template

    template = load_template(name, context.obj)
    typer.echo(clean(template.path.read_text(encoding="utf-8")), nl=False)


@commands.command()
def render(
    context: typer.Context,
    name: NameArgument,
    class_name: Annotated[str, typer.Option("--class", help="The class to ask for.")],
    classes: Annotated[str, typer.Option(help="Class set: a name or a YAML file.")] = "mafw",
) -> None:
    """Print what a template asks for one class."""
    from ..classes import load_class_set
    from ..templates import load_template

    class_set = load_class_set(classes)
    template = load_template(name, context.obj)
    for message in template.messages(class_set.resolve(class_name), class_set):
        typer.echo(clean(message["content"]))
