"""The workspace's `dfer.yaml`: what it may set, and what a person reads when it sets something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts.errors import InputError
from dfer_prompts.workspace import Workspace

WHOLE = """
model: qwen2.5
base_url: http://localhost:11434/v1
datasets: {mine: clips}
preset: quick
presets: {quick: {epochs: 1, base: paper}}
prices:
  "qwen:7b": {prompt: 0.5, completion: 2}
license: cc-by-4.0
"""


def workspace(text: str) -> Workspace:
    Path("dfer.yaml").write_text(text, encoding="utf-8")
    return Workspace()


def test_every_key_is_read() -> None:
    defaults = workspace(WHOLE).defaults
    assert (defaults.model, defaults.base_url) == ("qwen2.5", "http://localhost:11434/v1")
    assert defaults.datasets == {"mine": "clips"}
    assert defaults.preset == "quick"
    assert defaults.presets == {"quick": {"epochs": 1, "base": "paper"}}
    assert defaults.license == "cc-by-4.0"
    assert defaults.prices["qwen:7b"].of(prompt_tokens=3_000_000, completion_tokens=250_000) == 2.0


@pytest.mark.parametrize("text", ["", "# nothing\n", "datasets:\nmodel:\nprices:\n", None])
def test_unset_keys_are_absent(text: str | None) -> None:
    defaults = Workspace().defaults if text is None else workspace(text).defaults
    assert (defaults.model, defaults.base_url, defaults.preset, defaults.license) == (None,) * 4
    assert defaults.datasets == defaults.presets == defaults.prices == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datasets: [x]", "datasets: "),
        ("datasets: {a: 1}", "datasets, a: "),
        ("datasets: {1: a}", "datasets, the key 1: "),
        ("presets: 5", "presets: "),
        ("presets: {a: 1}", "presets, a: "),
        ("model: 5", "model: "),
        ("model: ''", "model: "),
        ("base_url: [a]", "base_url: "),
        ('base_url: "a\\nb"', "base_url: "),
        ("license: yes", "license: "),
        ("prices: 3", "prices: "),
        ("prices: {m: 3}", "prices, m: "),
        ("prices: {m: {prompt: 1}}", "prices, m, completion: "),
        ("prices: {m: {prompt: cheap, completion: 1}}", "prices, m, prompt: "),
        ("prices: {m: {prompt: -1, completion: 1}}", "prices, m, prompt: "),
        ("prices: {m: {prompt: .nan, completion: 1}}", "prices, m, prompt: "),
        ("prices: {m: {prompt: 1, completion: .inf}}", "prices, m, completion: "),
        ("prices: {m: {prompt: 1, completion: 1, total: 2}}", "prices, m, total: "),
        ("modle: x", "unknown key 'modle'; known keys: model, "),
        ("1: x", "unknown key 1; "),
    ],
)
def test_an_invalid_value_is_an_error_with_its_key(text: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        _ = workspace(text).defaults
    assert str(error.value).startswith(f"{Path('dfer.yaml').resolve()}: {says}")
    assert "\n" not in str(error.value)


def test_text_that_is_not_utf_8_is_an_error() -> None:
    Path("dfer.yaml").write_bytes(b"model: \xff")
    with pytest.raises(InputError, match=r"dfer\.yaml is not UTF-8 text \(byte 7\)"):
        _ = Workspace().defaults


def test_a_dataset_is_a_name_in_dfer_yaml_or_a_folder() -> None:
    Path("clips").mkdir()
    assert workspace(WHOLE).dataset("mine") == Workspace().dataset("clips") == Path("clips").resolve()
    with pytest.raises(InputError, match=r"no dataset 'other': .* \(it has mine\)\nCreate one: "):
        Workspace().dataset("other")


def test_a_missing_dataset_of_dfer_yaml_is_named_with_its_folder() -> None:
    with pytest.raises(
        InputError, match=r"sets the dataset 'mine' to .*clips, which is not a folder\nCreate one: "
    ):
        workspace(WHOLE).dataset("mine")


def test_a_similar_dataset_name_is_suggested() -> None:
    with pytest.raises(
        InputError, match=r"no dataset 'mien': .* \(it has mine\); did you mean mine\?\nCreate"
    ):
        workspace(WHOLE).dataset("mien")
