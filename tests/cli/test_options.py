"""Options of commands and keywords of the Python functions: the same names, defaults and choices."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import pytest
import typer

import dfer_prompts
from dfer_model.config import PRESETS, Settings
from dfer_model.registry import MEASURES, PRESET_NAMES, STRATEGIES
from dfer_model.video.crop import MARGIN
from dfer_prompts.api.inputs import SAME_NAME, Choices
from dfer_prompts.api.predict import FACES, VideoKeywords, face_options_of
from dfer_prompts.api.reproduce.paper_tables import paper
from dfer_prompts.cli import generate, options, predict
from dfer_prompts.cli.app import app
from dfer_prompts.generation.plan import RequestOptions
from dfer_prompts.versions.exchange import import_file


def parameters(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each command that does something, with its parameters by name."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(path), {each.name: each for each in command.params}
        return
    for name, each in below.items():
        yield from parameters(each, (*path, name))


COMMANDS = dict(parameters(typer.main.get_command(app)))

CALLED = {
    "train": dfer_prompts.train,
    "evaluate": dfer_prompts.evaluate,
    "calibrate": dfer_prompts.calibrate,
    "explain": dfer_prompts.explain,
    "predict": dfer_prompts.predict,
    "data features": dfer_prompts.data_features,
    "import-checkpoint": dfer_prompts.import_checkpoint,
    "export": dfer_prompts.export_model,
    "push-model": dfer_prompts.push_model,
    "compare": dfer_prompts.compare,
    "report": dfer_prompts.report,
    "reproduce": dfer_prompts.reproduce,
    "generate": dfer_prompts.generate,
    "optimize": dfer_prompts.optimize,
    "descriptions score": dfer_prompts.score,
    "descriptions search": dfer_prompts.search,
    "descriptions diff": dfer_prompts.diff,
    "descriptions push": dfer_prompts.push,
    "descriptions pull": dfer_prompts.pull,
    "descriptions import": import_file,
    "responses list": dfer_prompts.stored_answers,
}
# What a command calls otherwise than Python does.
RENAMED = {
    ("descriptions score", "refs"): "sets",
    ("descriptions search", "ref"): "of",
    ("optimize", "ref"): "of",
    ("descriptions import", "file"): "path",
    ("descriptions import", "classes"): "class_set",
}
# What only a command has: what it prints and writes, and what another Python function does.
OF_COMMANDS = {
    ("predict", "camera"),
    *(("predict", each.name) for each in fields(predict.PredictArguments)),
    ("generate", "ensemble"),  # generate_all
    ("generate", "dry_run"),  # dry_run
    ("train", "dry_run"),  # train_dry_run
    ("push-model", "dry_run"),
    ("descriptions push", "dry_run"),
    ("descriptions import", "version"),  # DescriptionStore.save
    ("descriptions score", "figure"),
    ("optimize", "plot"),
    ("descriptions diff", "exit_code"),
    ("descriptions diff", "markdown"),
}
# What only Python has: where it works, and what it reports to.
OF_PYTHON = {"workspace", "device", "progress", "note", "report", "store"}
# Where the defaults differ: that of the command, and that of Python.
DEFAULTS: dict[tuple[str, str], tuple[object, object]] = {
    **{(name, "track"): (None, ("none",)) for name in ("train", "compare", "reproduce")},
    ("compare", "measure"): (None, "supervised"),
    ("generate", "of"): (None, "v1"),  # the command refuses it for other sources
    ("export", "format"): (None, "onnx"),  # by the ending of --out
    ("descriptions import", "license"): (None, "unknown"),
}


def keywords(function: Callable[..., Any]) -> dict[str, object]:
    """The parameters of a function with their defaults, those behind `**choices` and the like among them."""
    found: dict[str, object] = {}
    for name, each in inspect.signature(function).parameters.items():
        if each.kind is not each.VAR_KEYWORD:
            found[name] = each.default
        elif name == "choices":
            found |= {**dict.fromkeys(Choices.__annotations__), "overrides": ()}
        elif name == "how":
            declared = inspect.signature(face_options_of).parameters
            found |= {key: declared[key].default for key in VideoKeywords.__annotations__} | {
                "margin": MARGIN
            }
        else:
            found |= {key: field.default for key, field in RequestOptions.model_fields.items()}
    return found


def value(default: object) -> object:
    """A default as it is compared: "1-3" as its numbers, and nothing in one form."""
    if default in (None, (), [], inspect.Parameter.empty):
        return None
    return options.numbers(default, "") if default == "1-3" else default


@pytest.mark.parametrize("command", CALLED)
def test_a_command_and_its_python_function_have_the_same_keywords_and_defaults(command: str) -> None:
    declared = keywords(CALLED[command])
    given = {
        RENAMED.get((command, name), name): value(each.default)
        for name, each in COMMANDS[command].items()
        if name != "as_json" and (command, name) not in OF_COMMANDS
    }
    fewer = {
        "descriptions score",
        "descriptions search",
        "optimize",
        "reproduce",
    }  # commands without training options
    left = (
        declared.keys()
        - given.keys()
        - OF_PYTHON
        - (Choices.__annotations__.keys() if command in fewer else set())
    )
    assert (given.keys() - declared.keys(), left) == (set(), set())
    for name, default in given.items():
        assert (default, value(declared[name])) == DEFAULTS.get(
            (command, name), (value(declared[name]), value(declared[name]))
        ), name


def test_a_dry_run_has_the_keywords_of_the_training() -> None:
    train, dry_run = (keywords(each) for each in (dfer_prompts.train, dfer_prompts.train_dry_run))
    assert {*train} - {*dry_run} == {"track"}
    assert {name: train[name] for name in dry_run if name != "note"} == {
        name: value for name, value in dry_run.items() if name != "note"
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_parameter_of_a_command_has_help(command: str) -> None:
    assert [name for name, each in COMMANDS[command].items() if not each.help] == []


@pytest.mark.parametrize(
    ("group", "names"),
    [
        (options.TrainingOptions, set(Choices.__annotations__)),
        (predict.VideoOptions, set(VideoKeywords.__annotations__)),
        (generate.GenerateOptions, set(RequestOptions.model_fields)),
    ],
)
def test_a_group_of_options_has_the_keywords_of_python(group: type, names: set[str]) -> None:
    assert {each.name for each in fields(group)} == names


def choices(hint: object) -> set[object]:
    """The words of the Literals in a type."""
    parts = get_args(hint)
    return {each for each in parts if isinstance(each, str)}.union(*(choices(each) for each in parts))


@pytest.mark.parametrize("name", ["select", "ensemble"])
def test_an_option_that_is_a_setting_has_its_values(name: str) -> None:
    allowed = choices(Settings.model_fields[name].annotation)
    assert allowed
    assert choices(get_type_hints(Choices)[name]) == allowed
    assert choices(get_type_hints(options.TrainingOptions)[name]) == allowed


def test_the_help_of_a_setting_is_its_description() -> None:
    described = {name: field.description for name, field in Settings.model_fields.items()}
    for name in ("clip", "weights", "epochs", "select", "ensemble"):
        help_text = COMMANDS["train"][name].help
        assert help_text.rstrip(".").casefold() == described[name].casefold()


def test_names_in_help_are_those_that_there_are() -> None:
    train, compare, reproduce = (COMMANDS[name] for name in ("train", "compare", "reproduce"))
    listed = {
        train["preset"].help: PRESETS,
        train["strategy"].help: STRATEGIES,
        compare["measure"].help: MEASURES,
        reproduce["tables"].help: paper().tables,
    }
    for text, names in listed.items():
        assert [name for name in names if name not in text] == []
    assert choices(get_type_hints(predict.VideoOptions)["faces"]) == {*FACES}
    assert tuple(PRESETS) == PRESET_NAMES
    assert {*SAME_NAME} <= {*Settings.model_fields}
