"""`dfer-prompts prompts`: list, show, render and check prompt templates."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..workspace import Workspace, is_shipped
from .completion import templates
from .output import JsonOption, clean, message, print_json, print_table

if TYPE_CHECKING:
    from ..templates.lint import TemplateFinding

NameArgument = Annotated[
    str, typer.Argument(autocompletion=templates, metavar="NAME", help="The template's name.")
]
ClassesOption = Annotated[str, typer.Option(metavar="NAME|FILE", help="Class set: a name or a YAML file.")]
commands = typer.Typer(no_args_is_help=True, help="Prompt templates: list, show, render, check.")


def register(app: typer.Typer) -> None:
    """Add this file's commands to the root command."""
    app.add_typer(commands, name="prompts")


@commands.command("list", short_help="List the templates.")
def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the templates of this workspace and the shipped ones; the workspace takes precedence.

    Example: dfer-prompts prompts list
    """
    from ..templates import load_template, template_names

    workspace: Workspace = context.obj
    templates = []
    for name in template_names(workspace):
        try:
            templates.append(load_template(name, workspace))
        except (InputError, OSError) as error:
            # One broken file must not hide the others.
            message(f"left out: {error}")
    rows = [
        {
            "name": each.name,
            "from": "shipped" if is_shipped(each.path) else "workspace",
            "response_format": each.response_format,
            "purpose": each.purpose,
            "source": each.source,
            "sampling": each.sampling,
        }
        for each in templates
    ]
    if as_json:
        print_json(rows)
    else:
        columns = ["name", "from", "response_format", "purpose"]
        print_table("Templates", columns, [[row[column] for column in columns] for row in rows])


@commands.command()
def show(context: typer.Context, name: NameArgument) -> None:
    """Print the text of a template.

    Example: dfer-prompts prompts show paper
    """
    from ..templates import load_template

    template = load_template(name, context.obj)
    typer.echo(clean(template.path.read_text(encoding="utf-8-sig")), nl=False)


@commands.command(short_help="Print the prompt of a template for a class.")
def render(
    context: typer.Context,
    name: NameArgument,
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="The class.", show_default="all of the set"),
    ] = None,
    classes: ClassesOption = "mafw",
    as_json: JsonOption = False,
) -> None:
    """Print the prompt of a template for one class, or for each class of a set.

    Example: dfer-prompts prompts render paper --class contempt --classes mafw
    """
    from ..classes import load_class_set
    from ..templates import load_template

    class_set = load_class_set(classes)
    template = load_template(name, context.obj)
    chosen = class_set.classes if class_name is None else (class_set.resolve(class_name),)
    rendered = {each.name: template.messages(each, class_set) for each in chosen}
    if as_json:
        print_json([{"class_name": name, "messages": messages} for name, messages in rendered.items()])
        return
    for each, messages in rendered.items():
        text = "\n".join(str(part["content"]) for part in messages)
        typer.echo(clean(text if class_name else f"[{each}]\n{text}\n"))


@commands.command(short_help="Check templates for errors.")
def check(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Templates.", show_default="all")
    ] = None,
    classes: ClassesOption = "mafw",
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 on a warning too, for CI.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Render templates for every class of a set, and report errors, warnings and notes.

    Exit status 1 if there is an error: such a template cannot be used. Warnings are probable mistakes; notes
    are for information.

    Example: dfer-prompts prompts check mine --classes classes.yaml --strict
    """
    from ..classes import load_class_set
    from ..templates import template_names
    from ..templates.lint import LEVELS, check_template

    class_set = load_class_set(classes)
    findings = {
        name: check_template(name, context.obj, class_set)
        for name in dict.fromkeys(names or template_names(context.obj))
    }
    counts = {
        f"{level}s": sum(each.level == level for found in findings.values() for each in found)
        for level in LEVELS
    }
    if as_json:
        rows = [{"template": name, "findings": list(map(asdict, found))} for name, found in findings.items()]
        print_json({"class_set": class_set.name, **counts, "templates": rows})
    elif any(findings.values()):
        _print_findings(findings)
    description = ", ".join(f"{level}: {count}" for level, count in counts.items())
    message(
        f"templates: {len(findings)}, classes of {class_set.name}: {len(class_set.classes)}, {description}"
    )
    if counts["errors"] or (strict and counts["warnings"]):
        raise typer.Exit(1)


def _print_findings(findings: dict[str, list[TemplateFinding]]) -> None:
    from ..errors import listed

    print_table(
        "Findings",
        ["template", "line", "level", "rule", "classes", "message"],
        [
            (name, each.line or "", each.level, each.rule, listed(each.class_names), each.message)
            for name, found in findings.items()
            for each in found
        ],
    )
