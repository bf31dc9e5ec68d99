"""How much may be asked: what a request is likely to take, and when to stop.

A server counts the tokens of a question when it answers it. Before that they are estimated: by what the
server counted for the same prompt, else by the rate it counted for others of the same set, else by four
characters a token, a rule of thumb for English that holds for no tokenizer exactly. An answer takes
`max_tokens` at most.

How far the asking is, class by class: what long work tells whoever watches it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .answers import content_of, usage_of
from .response_cache import Request

CHARACTERS_PER_TOKEN = 4.0


@dataclass
class Budget:
    """What may still be asked. Tokens are reserved before a request is sent, and settled when it ended.

    What is reserved is the estimate of the prompt and all that the answer may take, so `tokens` is exceeded
    only by as much as the server counts more for a prompt than was estimated.
    """

    requests: int | None = None
    tokens: int | None = None
    asked: int = field(default=0, init=False)
    spent: int = field(default=0, init=False)
    reserved: int = field(default=0, init=False)

    def fits(self, tokens: int) -> bool:
        """Whether one more request of so many tokens may be sent now."""
        within = self.requests is None or self.asked < self.requests
        return within and (self.tokens is None or self.spent + self.reserved + tokens <= self.tokens)

    def reserve(self, tokens: int) -> None:
        """Count a request that is about to be sent."""
        self.asked += 1
        self.reserved += tokens

    def settle(self, reserved: int, spent: int) -> None:
        """Replace what was reserved for a request by what it took."""
        self.reserved -= reserved
        self.spent += spent

    def reason(self, tokens: int) -> str:
        """Why a request of so many tokens does not fit any more, for the person who set the limit."""
        if self.requests is not None and self.asked >= self.requests:
            return f"stopped after {self.asked} requests, as --max-requests says"
        if self.tokens is not None and tokens > self.tokens:
            return (
                f"--budget-tokens {self.tokens} is less than the {tokens} that one request may take: "
                "raise it, or lower --max-tokens"
            )
        return (
            f"stopped after {self.spent} of the {self.tokens} tokens that --budget-tokens allows: "
            f"another request may take {tokens}"
        )


@dataclass(frozen=True)
class Estimate:
    """What requests are likely to take, by what the server counted for those that are answered."""

    prompts: Mapping[str, int] = field(default_factory=dict)  # by text, as the server counted them
    characters_per_token: float = CHARACTERS_PER_TOKEN
    completion: float | None = None  # the mean of the answers there are

    @classmethod
    def of(cls, answered: Iterable[tuple[Request, Any]]) -> Estimate:
        """By the requests that are answered, each with its response."""
        prompts: dict[str, int] = {}
        completions = []
        for request, response in answered:
            prompt, completion = usage_of(response, "prompt_tokens"), usage_of(response, "completion_tokens")
            if prompt:
                prompts[prompt_text(request)] = prompt
            if completion is not None:
                completions.append(completion)
        rate = sum(map(len, prompts)) / sum(prompts.values()) if prompts else CHARACTERS_PER_TOKEN
        return cls(prompts, rate, sum(completions) / len(completions) if completions else None)

    @property
    def basis(self) -> str:
        """What the estimate of prompts rests on, in words."""
        return "by what the server counted for stored answers" if self.prompts else "at 4 characters a token"

    def prompt_tokens(self, request: Request) -> int:
        """Of the question."""
        text = prompt_text(request)
        return self.prompts.get(text) or math.ceil(len(text) / self.characters_per_token)

    def most(self, request: Request) -> int:
        """Of the question and the longest answer it may get."""
        return self.prompt_tokens(request) + request.sampling.max_tokens

    def spent(self, request: Request, response: Any) -> int:
        """What the server counted, each half estimated where it does not say."""
        prompt, completion = usage_of(response, "prompt_tokens"), usage_of(response, "completion_tokens")
        if prompt is None:
            prompt = self.prompt_tokens(request)
        if completion is None:
            completion = math.ceil(len(content_of(response)) / CHARACTERS_PER_TOKEN)
        return prompt + completion


def prompt_text(request: Request) -> str:
    """The text of all its messages."""
    return "\n".join(message["content"] for message in request.messages)


def told(responses: Sequence[Any]) -> tuple[int | None, int | None]:
    """The prompt and completion tokens that the server counted in all; None where it never said."""
    prompt = [each for each in (usage_of(one, "prompt_tokens") for one in responses) if each is not None]
    answer = [each for each in (usage_of(one, "completion_tokens") for one in responses) if each is not None]
    return (sum(prompt) if prompt else None, sum(answer) if answer else None)


@dataclass
class Tally:
    """Requests of one class, or of all; tokens are those the server counted in this call."""

    requests: int = 0
    found: int = 0  # answers that were already stored
    answered: int = 0  # responses that arrived in this call
    failed: int = 0  # of those the ones that are no answers, and the requests without a response
    lost: int = 0  # requests without a response
    retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def done(self) -> int:
        """Requests that nothing more will happen to."""
        return self.found + self.answered + self.lost

    def arrived(self, response: Any, *, is_answer: bool) -> None:
        """Count a response."""
        self.answered += 1
        self.failed += not is_answer
        self.prompt_tokens += usage_of(response, "prompt_tokens") or 0
        self.completion_tokens += usage_of(response, "completion_tokens") or 0


@dataclass
class Progress:
    """All classes of one set that is being asked for."""

    title: str
    classes: dict[str, Tally] = field(default_factory=dict)
    latest: str = ""  # the class that something happened to
    retrying: bool = False  # whether that was another attempt

    @property
    def total(self) -> Tally:
        """The sum over the classes."""
        names = Tally().__dict__
        return Tally(**{name: sum(getattr(each, name) for each in self.classes.values()) for name in names})


Report = Callable[[Progress], None]
