"""From a class set and a template to a draft, over a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dfer_prompts.classes import ClassSet, load_class_set
from dfer_prompts.errors import InputError, Interrupted, WorkError
from dfer_prompts.generation.plan import RequestOptions, plan_for, prompts, sampling_for
from dfer_prompts.generation.run import Outcome, ask_and_rank
from dfer_prompts.llm.endpoint import Endpoint
from dfer_prompts.llm.response_cache import ResponseStore
from dfer_prompts.llm.usage import Progress
from dfer_prompts.templates import Template, load_template
from dfer_prompts.workspace import Workspace

from ..endpoint import FakeEndpoint, Reply, completion

DFEW = load_class_set("dfew")


@pytest.fixture
def workspace(isolated: Path) -> Workspace:
    return Workspace(isolated)


@pytest.fixture
def template(workspace: Workspace) -> Template:
    return load_template("paper", workspace)


def run(
    server: FakeEndpoint, workspace: Workspace, class_set: ClassSet = DFEW, report: Any = None, **asking: Any
) -> Outcome:
    endpoint = Endpoint(server.base_url, "tiny")
    plan = plan_for(class_set, load_template("paper", workspace), endpoint, RequestOptions(**asking))
    return ask_and_rank(plan, ResponseStore(workspace.responses), report=report)


def is_about(body: dict[str, Any], name: str) -> bool:
    return f"expression of {name}?" in body["messages"][0]["content"]


def descriptors(outcome: Outcome, name: str) -> list[tuple[str, int]]:
    (member,) = outcome.descriptions.members[name]
    return [(each.text, each.support) for each in member]


def test_answers_are_ranked_and_the_manifest_records_how(
    endpoint: FakeEndpoint, workspace: Workspace, template: Template
) -> None:
    texts = {
        1: "- wide eyes\n- raised brows\n- an open mouth",
        2: "- raised brows\n- Wide eyes\n- pale skin",
        3: "- raised brows\n- tense lips",
    }
    endpoint.script = lambda body, earlier: (
        Reply(completion(texts[body["seed"]])) if is_about(body, "fear") else None
    )
    outcome = run(endpoint, workspace, samples=3, top_k=2)
    assert descriptors(outcome, "fear") == [("raised brows", 3), ("wide eyes", 2)]
    assert (outcome.asked, outcome.found, outcome.failed) == (21, 0, 0)
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (21 * 40, 21 * 20)
    manifest = outcome.descriptions.manifest
    assert manifest.class_set == {"name": "dfew", "class_names": list(DFEW.names)}
    assert (manifest.source, manifest.model, manifest.base_url) == ("llm", "tiny", endpoint.base_url)
    assert (manifest.template, manifest.template_sha256) == ("paper", template.sha256)
    assert manifest.sampling == {
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 2048,
        "seed": 1,
        "samples": 3,
        "top_k": 2,
        "rank": "support",
    }


def test_responses_are_stored_verbatim_one_per_request(endpoint: FakeEndpoint, workspace: Workspace) -> None:
    answer = {**completion("- raised brows\n- wide eyes"), "system_fingerprint": "fp", "own": [1, None]}
    endpoint.script = lambda body, earlier: Reply(answer)
    outcome = run(endpoint, workspace, samples=2, top_k=2)
    assert [(row["class_name"], row["sample"]) for row in outcome.responses] == [
        (name, sample) for name in DFEW.names for sample in (0, 1)
    ]
    for row in outcome.responses:
        assert row["response"] == answer
        stored = json.loads((workspace.responses / f"{row['key']}.json").read_text())
        assert stored["response"] == answer


def test_a_rerun_requests_nothing_and_a_larger_one_only_the_rest(
    endpoint: FakeEndpoint, workspace: Workspace
) -> None:
    first = run(endpoint, workspace, samples=2)
    again = run(endpoint, workspace, samples=2)
    assert (again.asked, again.found) == (0, 14)
    assert again.descriptions.members == first.descriptions.members
    assert again.prompt_tokens is None
    more = run(endpoint, workspace, samples=3)
    assert (more.asked, more.found) == (7, 14)
    assert len(endpoint.requests) == 21


def test_stored_answers_are_separate_per_endpoint(endpoint: FakeEndpoint, workspace: Workspace) -> None:
    run(endpoint, workspace, samples=1)
    endpoint.base_url += "/other"
    assert run(endpoint, workspace, samples=1).found == 0


FAILING = [
    ("truncated", Reply(completion("- raised brows", finish="length"))),
    ("refused", Reply(completion(None, refusal="no"))),
    ("empty", Reply(completion("  "))),
    ("malformed", Reply({"object": "chat.completion"})),
    ("malformed", Reply('{"choices": [')),
    ("malformed", Reply("<html>502</html>")),
]


@pytest.mark.parametrize(("reason", "reply"), FAILING)
def test_an_unusable_answer_is_stored_reported_and_requested_again(
    endpoint: FakeEndpoint, workspace: Workspace, reason: str, reply: Reply
) -> None:
    endpoint.script = lambda body, earlier: (
        reply if is_about(body, "fear") and body["seed"] == 2 and earlier == 0 else None
    )
    outcome = run(endpoint, workspace, samples=3)
    (failure,) = outcome.descriptions.manifest.failures
    assert (failure["class_name"], failure["sample"], failure["reason"]) == ("fear", 1, reason)
    assert outcome.failed == 1
    assert outcome.descriptions.members["fear"][0][0].samples == 2
    assert (workspace.responses / f"{failure['key']}.json").is_file()
    again = run(endpoint, workspace, samples=3)
    assert (again.asked, again.found, again.failed) == (1, 20, 0)
    assert again.descriptions.members["fear"][0][0].samples == 3


def test_an_answer_without_usage_is_read(endpoint: FakeEndpoint, workspace: Workspace) -> None:
    bare = {"choices": [{"message": {"content": "- raised brows"}}]}
    endpoint.script = lambda body, earlier: Reply(bare)
    outcome = run(endpoint, workspace, samples=1, top_k=1)
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (None, None)
    assert descriptors(outcome, "anger") == [("raised brows", 1)]


def test_descriptors_of_other_classes_in_an_answer_are_ignored(
    endpoint: FakeEndpoint, workspace: Workspace
) -> None:
    table = (
        "| Region | Fear | Anger |\n|---|---|---|\n| Eyes | wide | glaring |\n| Lips | stretched | pressed |"
    )
    endpoint.script = lambda body, earlier: Reply(completion(table)) if is_about(body, "anger") else None
    for _ in range(2):  # asked, and read again from the store
        outcome = run(endpoint, workspace, samples=1, top_k=2)
        assert descriptors(outcome, "anger") == [("eyes glaring", 1), ("lips pressed", 1)]


def test_a_class_with_too_few_descriptors_is_named_with_its_count(
    endpoint: FakeEndpoint, workspace: Workspace
) -> None:
    endpoint.script = lambda body, earlier: (
        Reply(completion("- raised brows\n- wide eyes")) if is_about(body, "fear") else None
    )
    with pytest.raises(WorkError) as error:
        run(endpoint, workspace, samples=2)
    assert str(error.value).splitlines()[0] == "fewer than 6 descriptors: fear has 2"
    assert "--allow-short" in str(error.value)
    allowed = run(endpoint, workspace, samples=2, allow_short=True)
    assert (allowed.asked, len(allowed.descriptions.members["fear"][0])) == (0, 2)


def test_a_class_without_an_answer_is_an_error_even_with_allow_short(
    endpoint: FakeEndpoint, workspace: Workspace
) -> None:
    endpoint.script = lambda body, earlier: (
        Reply(completion("I'm sorry, I can't.")) if is_about(body, "fear") else None
    )
    with pytest.raises(WorkError, match=r"fear has 0; 2 responses had no usable answer: refused"):
        run(endpoint, workspace, samples=2, allow_short=True)


def test_other_answers_are_kept_if_a_request_fails(endpoint: FakeEndpoint, workspace: Workspace) -> None:
    broken = True
    endpoint.script = lambda body, earlier: (
        Reply({"error": {"message": "boom"}}, status=500) if broken and is_about(body, "fear") else None
    )
    with pytest.raises(WorkError) as error:
        run(endpoint, workspace, samples=1)
    assert str(error.value) == (
        f"{endpoint.base_url} answers 500: boom\n"
        "6 of 7 answers are stored; run the same command again to request the rest"
    )
    broken = False
    assert run(endpoint, workspace, samples=1).asked == 1


def test_progress_counts_stored_answers(endpoint: FakeEndpoint, workspace: Workspace) -> None:
    run(endpoint, workspace, samples=1)
    seen: list[tuple[int, int, str]] = []

    def report(progress: Progress) -> None:
        seen.append((progress.total.done, progress.total.requests, progress.latest))

    run(endpoint, workspace, samples=2, report=report)
    assert seen[0] == (7, 14, "")
    assert [done for done, _, _ in seen] == list(range(7, 15))
    assert {note for _, _, note in seen[1:]} == set(DFEW.names)


def test_generate_works_inside_a_running_event_loop(endpoint: FakeEndpoint, workspace: Workspace) -> None:
    async def notebook() -> Outcome:
        return run(endpoint, workspace, samples=1)

    assert asyncio.run(notebook()).asked == 7


def test_options_take_precedence_over_the_template(workspace: Workspace) -> None:
    path = workspace.prompts / "cold.md"
    path.parent.mkdir()
    path.write_text("---\nname: cold\npurpose: x\nsampling: {temperature: 0, seed: 9}\n---\n{{ expression }}")
    cold = load_template("cold", workspace)
    drawn = sampling_for(Endpoint("http://h/v1", "m"), cold, temperature=None, seed=4)
    assert (drawn.temperature, drawn.seed, drawn.top_p) == (0.0, 4, 1.0)
    openai = Endpoint("https://api.openai.com/v1", "gpt-6-luna")
    assert sampling_for(openai, cold).reasoning_effort == "none"
    with pytest.raises(InputError, match="temperature"):
        sampling_for(openai, cold, temperature=-1.0)


def test_a_template_that_does_not_name_the_class_is_an_error(workspace: Workspace) -> None:
    path = workspace.prompts / "same.md"
    path.parent.mkdir()
    path.write_text("---\nname: same\npurpose: x\n---\nWhat do faces look like?")
    with pytest.raises(InputError, match="gives the same prompt for happiness and sadness"):
        prompts(DFEW, load_template("same", workspace))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
def test_an_interrupt_inside_a_running_event_loop_stops_the_requests(
    endpoint: FakeEndpoint, workspace: Workspace
) -> None:
    endpoint.script = lambda body, earlier: Reply(
        completion("- a frown"), delay=0.0 if body["seed"] == 1 else 30
    )

    def stop() -> None:
        while len(endpoint.answered) < 7:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    async def notebook() -> None:
        run(endpoint, workspace, samples=2)

    loop = asyncio.new_event_loop()  # asyncio.run would take the signal for itself; notebooks do not
    stopping = threading.Thread(target=stop)
    stopping.start()
    try:
        with pytest.raises(Interrupted, match=r"of 14 answers are stored"):
            loop.run_until_complete(notebook())
    finally:
        stopping.join()
        loop.close()
