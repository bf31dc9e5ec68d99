"""`dfer-prompts responses`: the stored answers of language models, and what is parsed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..workspace import Workspace
from .output import JsonOption, message, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..generation.stored_responses import StoredAnswer

SHOWN_OF_A_PROMPT = 40

commands = typer.Typer(no_args_is_help=True, help="Stored answers: list, show.")


def register(app: typer.Typer) -> None:
    """Add this file's commands to the root command."""
    app.add_typer(commands, name="responses")


@commands.command("list", short_help="List the stored answers, oldest first.")
def list_(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only answers of this model.")] = None,
    containing: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only prompts that contain this text.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the stored answers, oldest first; damaged files are named on standard error.

    Example: dfer-prompts responses list --containing contempt
    """
    from ..generation.stored_responses import stored_answers
    from ..llm.response_cache import SHOWN_OF_A_KEY, ResponseStore

    workspace: Workspace = context.obj
    answers, damaged = stored_answers(ResponseStore(workspace.responses), model=model, containing=containing)
    for sentence in damaged:
        message(sentence)
    if as_json:
        print_json([_row(each) for each in answers])
        return
    columns = ["key", "asked for", "model", "received", "tokens", "read"]
    rows = [
        (
            each.key[:SHOWN_OF_A_KEY],
            f"{each.class_name}, {each.template}" if each.class_name else _beginning(each.prompt),
            each.model,
            each.received[:10],
            _tokens(each),
            each.failure or f"{len(each.descriptors)}, {each.reading}",
        )
        for each in answers
    ]
    print_table(f"Stored answers ({len(answers)})", columns, rows)


@commands.command(short_help="Print one answer, and what is parsed from it.")
def show(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key, or its beginning.")],
    as_json: JsonOption = False,
) -> None:
    """Print one stored answer: the prompt, the parameters, the answer, and its descriptors as parsed now.

    Example: dfer-prompts responses show 3f2a
    """
    from ..generation.stored_responses import stored_answer
    from ..llm.response_cache import ResponseStore

    workspace: Workspace = context.obj
    shown = stored_answer(ResponseStore(workspace.responses), key)
    if as_json:
        print_json({**_row(shown), "content": shown.content, "descriptors": shown.descriptors})
        return
    subject = f" for {shown.class_name}" if shown.class_name else ""
    settings = ", ".join(f"{name} {value}" for name, value in shown.sampling.items() if value is not None)
    print_line(f"{shown.key}\n{shown.model} at {shown.base_url}, {shown.received}")
    print_line(f"template {shown.template or 'unknown'}{subject}, sample {shown.sample}; {settings}")
    print_line(f"sent as {shown.form}; tokens {_tokens(shown)}\n")
    print_line(f"Prompt\n{shown.prompt}\n\nAnswer\n{shown.content}\n")
    if shown.failure:
        print_line(f"No answer: {shown.failure}")
    else:
        print_line(f"Read as {shown.reading}\n" + "\n".join(f"- {each}" for each in shown.descriptors))


def _row(answer: StoredAnswer) -> dict[str, object]:
    return {
        "key": answer.key,
        "template": answer.template,
        "class_name": answer.class_name,
        "sample": answer.sample,
        "model": answer.model,
        "base_url": answer.base_url,
        "prompt": answer.prompt,
        "sampling": answer.sampling,
        "received": answer.received,
        "form": answer.form,
        "reading": answer.reading,
        "failure": answer.failure,
        "tokens": {"prompt": answer.prompt_tokens, "completion": answer.completion_tokens},
    }


def _tokens(answer: StoredAnswer) -> str:
    counts = (answer.prompt_tokens, answer.completion_tokens)
    return " + ".join("?" if count is None else str(count) for count in counts)


def _beginning(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= SHOWN_OF_A_PROMPT else f"{line[: SHOWN_OF_A_PROMPT - 3]}..."
