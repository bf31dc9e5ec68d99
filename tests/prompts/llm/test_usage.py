"""What may be asked: estimates, reservations, and where the asking stops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfer_prompts.classes import load_class_set
from dfer_prompts.errors import WorkError
from dfer_prompts.generation.plan import RequestOptions, plan_for
from dfer_prompts.generation.run import ask_and_rank
from dfer_prompts.llm.endpoint import Endpoint
from dfer_prompts.llm.images import Image, image_message
from dfer_prompts.llm.response_cache import Request, ResponseStore
from dfer_prompts.llm.sampling import Sampling
from dfer_prompts.llm.usage import Budget, Estimate
from dfer_prompts.templates import load_template
from dfer_prompts.workspace import Workspace

from ..endpoint import FakeEndpoint, Reply, completion


def request(prompt: str, max_tokens: int = 100) -> Request:
    messages = ({"role": "user", "content": prompt},)
    return Request("fear", "http://h/v1", "tiny", messages, Sampling(max_tokens=max_tokens), 0)


def answer(prompt: int | None, completion_tokens: int | None, content: str = "- a frown") -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion_tokens}
    return {"choices": [{"message": {"content": content}}], "usage": usage}


def test_prompt_tokens_are_estimated_until_the_server_reports_usage() -> None:
    nothing_known = Estimate()
    assert nothing_known.prompt_tokens(request("12345")) == 2
    assert "4 characters" in nothing_known.basis
    assert nothing_known.most(request("12345", max_tokens=100)) == 102

    counted = Estimate.of([(request("x" * 20), answer(10, 6)), (request("y" * 40), answer(20, 8))])
    assert counted.prompt_tokens(request("x" * 20)) == 10  # as the server counted this very prompt
    assert counted.prompt_tokens(request("z" * 30)) == 15  # at its rate, 2 characters a token
    assert counted.completion == 7
    assert "server's counts" in counted.basis


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": -3}, "?", [1], True])
def test_invalid_usage_is_replaced_by_an_estimate(usage: Any) -> None:
    response = {"choices": [{"message": {"content": "12345678"}}], "usage": usage}
    assert Estimate().spent(request("1234"), response) == 1 + 2
    assert Estimate.of([(request("1234"), response)]) == Estimate()


def test_tokens_are_reserved_once() -> None:
    budget = Budget(tokens=250)
    budget.reserve(100)
    budget.reserve(100)
    assert not budget.fits(100)
    budget.settle(100, 30)
    assert budget.fits(100)
    assert not budget.fits(121)


def ask_for_fear(endpoint: FakeEndpoint, folder: Path, budget: Budget, **asking: Any) -> None:
    workspace = Workspace(folder)
    plan = plan_for(
        load_class_set("dfew"),
        load_template("paper", workspace),
        Endpoint(endpoint.base_url, "tiny"),
        RequestOptions(samples=3, **asking),
    )
    ask_and_rank(plan, ResponseStore(workspace.responses), concurrency=4, budget=budget)


def test_requests_stop_at_their_limit_and_answers_are_kept(endpoint: FakeEndpoint, isolated: Path) -> None:
    with pytest.raises(WorkError) as error:
        ask_for_fear(endpoint, isolated, Budget(requests=10))
    assert str(error.value) == (
        "stopped after 10 requests: --max-requests is reached\n"
        "10 of 21 answers are stored; run the same command again to request the rest"
    )
    assert len(endpoint.requests) == 10
    ask_for_fear(endpoint, isolated, Budget(requests=11))
    assert len(endpoint.requests) == 21


def test_requests_stop_before_the_token_limit(endpoint: FakeEndpoint, isolated: Path) -> None:
    # A prompt is 35 to 37 tokens by the estimate and 40 by this server, which answers in 20.
    with pytest.raises(WorkError, match=r"of the 600 tokens of --budget-tokens: another .* may take 1"):
        ask_for_fear(endpoint, isolated, Budget(tokens=600), max_tokens=100)
    assert 60 * len(endpoint.requests) <= 600
    assert len(endpoint.requests) == 8  # another might take 100 for its answer, and 480 are spent


def test_requests_wait_for_reserved_tokens_of_others(endpoint: FakeEndpoint, isolated: Path) -> None:
    # Four under way set 548 tokens aside; the last of 21 is sent with 1200 spent and 137 set aside.
    ask_for_fear(endpoint, isolated, Budget(tokens=1340), max_tokens=100)
    assert len(endpoint.requests) == 21


def test_a_budget_too_small_for_any_request_sends_nothing(endpoint: FakeEndpoint, isolated: Path) -> None:
    with pytest.raises(WorkError, match=r"--budget-tokens 100 is less than the 2[0-9]{3} that one"):
        ask_for_fear(endpoint, isolated, Budget(tokens=100))
    assert endpoint.requests == []


def test_answers_without_usage_are_counted_by_their_text(endpoint: FakeEndpoint, isolated: Path) -> None:
    reply = {**completion("- a frown" * 40), "usage": None}  # 360 characters are 90 tokens
    endpoint.script = lambda body, earlier: Reply(reply)
    with pytest.raises(WorkError, match="--budget-tokens"):
        ask_for_fear(endpoint, isolated, Budget(tokens=500), max_tokens=100)
    assert len(endpoint.requests) == 3  # 3 x (36 + 90) are spent, and a fourth does not fit


def test_images_are_estimated_until_the_server_has_counted_some() -> None:
    images = tuple(Image(bytes([number])) for number in range(4))
    message = image_message("x" * 40, images)
    shown = Request("fear", "http://h/v1", "m", (message,), Sampling(), 0, images=images)
    assert Estimate().prompt_tokens(shown) == 10 + 4 * 576
    other = Request("fear", "http://h/v1", "m", (image_message("y" * 80, images[:2]),), Sampling(), 0)
    two = replace(other, images=images[:2])
    counted = Estimate.of([(two, answer(20 + 2 * 100, 5))])
    assert counted.prompt_tokens(two) == 220
    assert counted.prompt_tokens(shown) == 10 + 4 * 100
