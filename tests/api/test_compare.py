"""`score`, `search` and `compare` from Python: the numbers that the commands print, with the same words."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dfer_model.data.packed import PackedClips
from dfer_prompts import Workspace, compare, control_set, facs_set, load, load_class_set, score, search
from dfer_prompts.cli import main
from dfer_prompts.errors import InputError

from ..model import tiny


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=6, folds=3)


@pytest.fixture
def of_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(command: str, packed: PackedClips) -> Any:
        words = [*command.split(), "--dataset", str(packed.path), "--clip", tiny.register(), "--json"]
        sets = [word for each in [*QUICK, "weights=random"] for word in ("--set", each)]
        monkeypatch.setattr(sys, "argv", ["dfer-prompts", *words, *sets])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == 0
        return json.loads(capsys.readouterr().out)

    return run


QUICK = ["epochs=1", "frames=2", "contexts=2", "batch_size=4", "workers=0"]


def choices() -> Any:
    return {"clip": tiny.register(), "weights": "random", "overrides": QUICK}


def without_request(comparison: dict[str, Any]) -> dict[str, Any]:
    """All but the options as they were given: keywords here, --set on the command line."""
    return {key: value for key, value in comparison.items() if key != "request"}


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_score_equals_its_command(packed: PackedClips, of_command: Any) -> None:
    scores = score("v1@2", load("v1"), dataset=packed, folds=[1], **choices())
    assert as_json(scores.as_dict()) == of_command("descriptions score v1@2 v1 --folds 1", packed)
    assert [each.name for each in scores.sets] == ["v1@2", "v1"]
    assert scores.zero_shot is not None
    assert scores.class_names == packed.class_names
    texts_alone = score("v1@2", **choices())
    assert (texts_alone.zero_shot, len(texts_alone.class_names)) == (None, 11)


def test_search_writes_the_version_of_its_command(packed: PackedClips, of_command: Any) -> None:
    searched = search("v1", folds=(2, 3, 2), dataset=packed.path, k=2, version="mine", **choices())
    assert searched.descriptions == load("mine")
    assert searched.folder == Path("descriptions/mine").resolve()
    assert (searched.folds, searched.left) == ((2, 3), (1,))
    again = of_command("descriptions search v1 --folds 2,3 --k 2 --version again", packed)
    mine = as_json(searched.as_dict())
    for key in set(again) - {"version", "folder", "uar"}:
        assert mine[key] == again[key]
    assert list(mine["uar"].values()) == list(again["uar"].values())
    with pytest.raises(InputError, match="mine was chosen with the labels of fold 2, 3 of tiny"):
        compare("mine", "v1@2", dataset=packed, **choices())


def test_compare_stores_the_comparison_of_its_command(packed: PackedClips, of_command: Any) -> None:
    stages: list[str] = []

    @contextmanager
    def progress(stage: str) -> Iterator[Callable[..., None]]:
        yield lambda done, total, _note="": stages.append(stage) if done == total else None

    compared = compare(
        "v1@2", load("v1@4"), dataset=packed, control=["swapped"], folds=[1], seeds=[1],
        progress=progress, **choices(),
    )  # fmt: skip
    assert list(dict.fromkeys(stages)) == ["zero-shot", "training"]
    assert [each.name for each in compared.texts] == ["v1@2", "v1@4", "control:swapped"]
    assert len(compared.comparison.verdicts) == 6  # two measures: each set on the control, one on the other
    stored = json.loads((compared.folder / "comparison.json").read_text())
    assert without_request(stored) == without_request(as_json(compared.as_dict()))
    of_the_command = of_command("compare v1@2 v1@4 --control swapped --folds 1 --seeds 1", packed)
    assert without_request(of_the_command) == without_request(stored)


def test_measures_have_the_same_names_in_python(packed: PackedClips, of_command: Any) -> None:
    messages: list[str] = []
    options = {"dataset": packed, "folds": [1], "seeds": [1], **choices()}
    compared = compare(
        "v1@2", "v1@4", measure=["zero-shot", "few-shot"], shots=[0, 1], note=messages.append, **options
    )
    trainings, memory = messages  # the memory of two trainings that differ by texts alone is reported once
    assert trainings == "few-shot: 2 trainings (2 sets x 1 fold x 1 seed x 1 number of shots)"
    assert memory.startswith("training takes about ")
    assert compared.comparison.measures == ("zero-shot", "few-shot")
    words = "compare v1@2 v1@4 --measure zero-shot --measure few-shot --shots 0,1 --folds 1 --seeds 1"
    assert without_request(of_command(words, packed)) == without_request(as_json(compared.as_dict()))
    with pytest.raises(InputError, match="no measure is given"):
        compare("v1@2", "v1@4", measure=[], **options)


def test_another_workspace_can_be_given(packed: PackedClips, tmp_path: Path) -> None:
    (tmp_path / "dfer.yaml").write_text(f"datasets: {{tiny: {packed.path}}}")
    place = Workspace(tmp_path)
    assert search("v1", folds=[2], k=1, workspace=place, **choices()).folder.parent == place.descriptions
    scores = score("v2", folds=[1], dataset="tiny", workspace=place, **choices())
    assert scores.sets[0].name == "v2"
    assert not list(Path.cwd().iterdir())


def test_wrong_input_is_an_error(packed: PackedClips) -> None:
    v1 = load("v1@2")
    draft = facs_set(load_class_set("mafw"))
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("no description set is given", lambda: score(**choices())),
        ("no dataset is given", lambda: compare("v1", "v1@2", **choices())),
        ("no fold is given", lambda: score("v1", dataset=packed, folds=[], **choices())),
        ("no seed is given", lambda: compare("v1", "v1@2", dataset=packed, seeds=[], **choices())),
        ("the set is unsaved", lambda: compare("v1", draft, dataset=packed, **choices())),
        (
            "given twice",
            lambda: compare(v1, control_set("swapped", v1), controls=True, dataset=packed, **choices()),
        ),
    ]
    for message, call in wrong:
        with pytest.raises(InputError, match=message):
            call()
    assert not Path("runs").exists()
