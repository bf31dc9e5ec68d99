"""The tabs Generate, Optimize and Predict over HTTP: what they write, query, show and refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from dfer_prompts import Workspace, load
from dfer_prompts.web.generate_tab import generating, models_offered

from ..prompts.endpoint import FEATURES, FakeEndpoint, serve
from ..prompts.forks import Forks
from .calls import ask, call, events, file
from .server import Server, fill, serving

GAIN = {"uar": {"value": 70.0, "low": 60.0, "high": 80.0}, "gain": {"value": 4.0, "low": 1.0, "high": 7.5}}
LOG: list[dict[str, Any]] = [
    {"model": "tiny", "base_url": "http://127.0.0.1:9/v1", "sampling": {}},
    {
        "round": 1,
        "edits": [{"answer": 0, "class": "fear", "action": "add", "old": None, "new": "<b>tears</b>"}],
        "refused": [{"answer": 0, "edit": "class: fear", "reason": "no known action"}],
        "candidates": 1,
        "best": {"uar": 66.0, "objective": 65.0},
        "changes": ["fear: add '<b>tears</b>'"],
        "chance_of_no_gain": 0.01,
        "accepted": True,
        "why": "no gain in 0.010 of the bootstrap samples, at most 0.1",
        "uar": 66.0,
    },
    {
        "version": "better", "of": "v1@4", "dataset": "drawn", "folds": [2, 3], "confirming_folds": [3],
        "test_fold": None, "clips": {"chose": 8, "confirm": 8, "test": 0}, "uar_of_the_first": 62.0,
        "changes": ["fear: add '<b>tears</b>'"], "controls": {}, "beside_controls": {},
        "answers_without_edits": 0, "asked": 1, "found": 0, "stopped": None,
        "uar_on_the_clips_that_chose": 66.0, "confirmed": GAIN, "tested": None,
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeEndpoint]:
    with serve() as started:
        yield started


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, processes: Forks, endpoint: FakeEndpoint
) -> Iterator[Server]:
    folder = fill(tmp_path_factory.mktemp("served") / "workspace")
    price = "prices: {tiny: {prompt: 1.0, completion: 2.0}}\n"
    (folder / "dfer.yaml").write_text(f"base_url: {endpoint.base_url}\nmodel: tiny\n{price}")
    (folder / "optimizations").mkdir()
    lines = "".join(json.dumps(each) + "\n" for each in LOG)
    (folder / "optimizations" / "better.jsonl").write_text(lines)
    (folder / "optimizations" / "cut.jsonl").write_text(lines[:300])
    with serving(folder, processes=processes) as started:
        yield started


def given(**changed: Any) -> list[Any]:
    """The inputs of the buttons Dry run and Generate."""
    usual = {
        "template": "paper", "class_set": "dfew", "model": "configured", "samples": 2, "top_k": 3,
        "short": False,
    }  # fmt: skip
    return list((usual | changed).values())


def test_templates_that_show_clips_are_not_offered(server: Server, session: str) -> None:
    loaded = [call(server, session, event) for event, kind, _ in events(server, given=0) if kind == "load"]
    choices = [each["choices"] for one in loaded for each in one or [] if "choices" in each]
    lists = [{name for name, _ in each} for each in choices if ["paper", "paper"] in each]
    every, to_generate = sorted(lists, key=len, reverse=True)  # the tab Descriptions shows every template
    assert every - to_generate == {"optimize", "frames", "frames-contrast"}


def test_a_dry_run_shows_prompts_and_costs_and_requests_nothing(
    server: Server, session: str, endpoint: FakeEndpoint
) -> None:
    before = len(endpoint.requests)
    answer = call(server, session, "Dry run", *given(samples=4))
    assert answer
    assert "visual features for the facial expression of happiness" in answer[0]
    assert "paper, tiny: 28 requests (7 classes x 4)" in answer[0]
    most = 28 * 2048
    assert f"at most {most} of answers" in answer[0]
    assert re.search(r"cost: at most 0\.11\d\d USD", answer[0])  # 57344 tokens at 2 dollars a million
    assert len(endpoint.requests) == before


def test_a_generated_version_is_written_and_in_the_lists(
    server: Server, session: str, endpoint: FakeEndpoint
) -> None:
    before = len(endpoint.requests)
    answer = call(server, session, "Generate", "page", *given())
    assert answer
    assert "Requested 14, found stored 0, failed 0" in answer[0]
    assert len(endpoint.requests) - before == 14
    made = load("page", Workspace(server.workspace))
    assert (made.manifest.model, made.manifest.base_url) == ("tiny", endpoint.base_url)
    assert {each.text for each in made.members["fear"][0]} <= set(FEATURES)
    assert all(each.text in answer[0] for each in made.members["fear"][0])
    offered = [call(server, session, event) for event, kind, _ in events(server, 0) if kind == "change"]
    lists = [each for found in offered if found for each in found if "choices" in each]
    assert len(lists) >= 6  # those of the tab Descriptions, and of Predict
    assert all("page" in json.dumps(each["choices"]) for each in lists)
    again = call(server, session, "Generate", "page", *given())
    assert again
    assert "problem" in again[0]
    assert len(endpoint.requests) - before == 14


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "http://127.0.0.1:1/v1"},
        {"model": "tiny"},
        {"template": "../../etc/passwd"},
        {"template": "optimize"},
        {"template": "frames"},  # needs clips
        {"class_set": "/etc/passwd"},
        {"samples": 1000},
        {"samples": "many"},
        {"top_k": -1},
    ],
)
def test_what_is_not_offered_is_refused(
    server: Server, session: str, endpoint: FakeEndpoint, changed: dict[str, Any]
) -> None:
    before = len(endpoint.requests)
    for button, name in (("Dry run", []), ("Generate", ["other"])):
        answer = call(server, session, button, *name, *given(**changed))
        assert answer is None or "problem" in answer[0]
    assert len(endpoint.requests) == before
    assert not (server.workspace / "descriptions" / "other").exists()
    assert server.called() == set()


def test_an_open_page_without_a_password_queries_the_demo_model_only(
    tmp_path: Path, endpoint: FakeEndpoint
) -> None:
    (tmp_path / "dfer.yaml").write_text(f"base_url: {endpoint.base_url}\n")
    place, before = Workspace(tmp_path), len(endpoint.requests)
    assert [name for _, name in models_offered(place, True)] == ["configured", "demo"]
    assert [name for _, name in models_offered(place, False)] == ["demo"]
    ((said, _),) = generating(place, False)("other", gr.Progress(), *given())
    assert "configured" in said
    assert "problem" in said
    assert len(endpoint.requests) == before


def test_an_optimisation_is_shown_with_its_rounds_and_edits(server: Server, session: str) -> None:
    answer = call(server, session, "Show optimisation", "better")
    assert answer
    page, *downloads = answer
    assert 'sandbox=""' in page
    assert page.count("<") == 2
    report = ask(server, f"/gradio_api/file={downloads[0]['value']['path']}")[2].decode()
    assert report.count("<svg") == 2
    assert "&lt;b&gt;tears&lt;/b&gt;" in report
    assert "Confirmed gain: +4.00 points of UAR (+1.00 to +7.50)." in report
    assert "no known action" in report
    assert [each.name for each in (server.workspace / "optimizations").glob("*.html")] == []
    damaged = call(server, session, "Show optimisation", "cut")
    assert damaged
    assert "cut.jsonl is not a whole log" in damaged[0]


@pytest.mark.parametrize("name", ["../descriptions/hostile/manifest", "/etc/passwd", "..", "better.jsonl"])
def test_an_optimisation_is_never_a_path(server: Server, session: str, name: str) -> None:
    answer = call(server, session, "Show optimisation", name)
    assert answer is None or "problem" in answer[0]


def test_an_example_clip_is_predicted_and_kept_for_the_next_visitor(server: Server, session: str) -> None:
    for _ in range(2):
        example = call(server, session, "Example: happiness")
        assert example
        video, faces = example
        path = video["path"] if "path" in video else video["video"]["path"]
        assert ask(server, f"/gradio_api/file={path}")[0] == 200
        how = (faces, "the largest face", 0, 0, False)
        shown = call(server, session, "Predict", "demo/descriptions/v1", file(path), *how)
        assert shown
        assert '<p class="answer"><b>happiness</b>' in shown[0]
        assert Path(path).is_file()
