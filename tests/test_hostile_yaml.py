"""A small YAML file that stands for billions of values is refused wherever a file of YAML is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import dfer_prompts
from dfer_model.runs import Run
from dfer_prompts.classes import load_class_set
from dfer_prompts.defaults import read_defaults
from dfer_prompts.templates import read_template

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


def manifest() -> object:
    folder = Path("descriptions/v2")
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").write_text(BOMB, encoding="utf-8")
    return dfer_prompts.load("v2")


def run() -> object:
    for name, text in {"config.yaml": BOMB, "classes.json": "[]", "texts.json": "{}"}.items():
        Path(name).write_text(text, encoding="utf-8")
    return Run.open(Path())


def written(name: str, text: str) -> Path:
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


@pytest.mark.parametrize(
    "read",
    [
        manifest,
        run,
        lambda: load_class_set(str(written("set.yaml", BOMB))),
        lambda: read_defaults(written("dfer.yaml", BOMB)),
        lambda: read_template(written("mine.md", f"---\n{BOMB}---\nWhat does {{{{ expression }}}} show?\n")),
        lambda: dfer_prompts.import_file(written("rows.yaml", BOMB)),
    ],
    ids=["manifest", "run", "class set", "dfer.yaml", "template", "import"],
)
def test_a_file_of_billions_of_values_is_refused(read: Callable[[], object]) -> None:
    with pytest.raises(dfer_prompts.InputError, match="aliases stand for more than 100000 values"):
        read()
