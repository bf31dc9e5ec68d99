"""Pages generated while the site is built: the start page from the README, the reference from the program.

Run by mkdocs-gen-files. The pages are not committed, so they always match their sources.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mkdocs_gen_files
import typer

import dfer_prompts
from dfer_model.config import PRESETS, Settings
from dfer_prompts.cli.app import app

ROOT = Path(__file__).parent.parent
WIDTH = 80  # columns of a help text
DEMO = "dfer_model/synthetic/demo_clip/README.md"
MODEL = (
    "models.dfer_clip",
    "models.prompt_learner",
    "models.temporal",
    "models.strategies",
    "training.loop",
    "metrics",
    "comparison.statistics",
)


def write(page: str, text: str) -> None:
    """Add a page to the site."""
    with mkdocs_gen_files.open(page, "w") as file:
        file.write(text)


def from_readme(text: str) -> str:
    """The README as a page: links relative to the page, without badges, which other servers provide."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("[![")) + "\n"
    text = text.replace(f"]({DEMO})", "](demo.md)").replace("](LICENSE)", "](licence.md)")
    for page in ("CONTRIBUTING", "CHANGELOG"):
        text = text.replace(f"]({page}.md)", f"]({page.lower()}.md)")
    return text.replace("](CITATION.cff)", "](citation.md)").replace("](docs/", "](")


def commands(command: Any, words: tuple[str, ...], above: Any = None) -> Iterator[str]:
    """A section for each command, with the output of `--help`."""
    context = command.make_context(words[-1], [], parent=above, resilient_parsing=True, terminal_width=WIDTH)
    below = getattr(command, "commands", {})
    level = "#" * min(len(words) + 1, 4)
    title = " ".join(words[1:]) or words[0]
    yield f"{level} {title}\n\n```text\n{command.get_help(context)}\n```\n"
    for name, each in below.items():
        yield from commands(each, (*words, name), context)


def settings() -> Iterator[str]:
    """A row for each setting of a training."""
    yield "# Settings\n\n`--set KEY=VALUE` changes a setting of a preset. A run's `config.yaml` lists all.\n"
    yield "| setting | default | paper | meaning |\n| --- | --- | --- | --- |"
    default, paper = PRESETS["default"], PRESETS["paper"]
    for name, field in Settings.model_fields.items():
        values = [f"`{getattr(each, name)}`" for each in (default, paper)]
        yield f"| `{name}` | {' | '.join(values)} | {field.description} |"


def python() -> Iterator[str]:
    """Every name in `dfer_prompts/__init__.pyi`."""
    yield "# Python\n\nAll names are imported from `dfer_prompts`. Examples: [Python](../python.md).\n"
    stub = ast.parse(Path(dfer_prompts.__file__).with_suffix(".pyi").read_text("utf-8"))
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"::: dfer_prompts.{node.module}.{alias.name}\n"


write("index.md", from_readme((ROOT / "README.md").read_text("utf-8")))
write("demo.md", (ROOT / DEMO).read_text("utf-8"))
for name in ("CONTRIBUTING", "CHANGELOG"):
    write(f"{name.lower()}.md", from_readme((ROOT / f"{name}.md").read_text("utf-8")))
write("licence.md", f"# Licence\n\n```text\n{(ROOT / 'LICENSE').read_text('utf-8')}```\n")
write("citation.md", f"# Citation\n\n```yaml\n{(ROOT / 'CITATION.cff').read_text('utf-8')}```\n")
write("reference/commands.md", "\n".join(commands(typer.main.get_command(app), ("dfer-prompts",))))
write("reference/settings.md", "\n".join(settings()) + "\n")
write("reference/python.md", "\n".join(python()))
options = "{show_root_heading: false, show_root_toc_entry: false}"
model = "\n".join(f"## {name}\n\n::: dfer_model.{name}\n    options: {options}\n" for name in MODEL)
write("reference/model.md", f"# The model\n\n{model}")
