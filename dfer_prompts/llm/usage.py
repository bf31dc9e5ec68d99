"""Budget, token estimates and progress of the requests.

A server reports the tokens of a prompt with its answer. Before that they are estimated: from the count for
the same prompt, else from the characters per token of other prompts of the set, else with four characters per
token, a rule of thumb for English, and `IMAGE_TOKENS` per image. An answer has at most `max_tokens` tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .answers import content_of, usage_of
from .images import IMAGE_TOKENS, message_text
from .response_cache import Request

CHARACTERS_PER_TOKEN = 4.0


@dataclass
class Budget:
    """The remaining requests and tokens. Tokens are reserved before a request and settled after it.

    The reservation is the estimate for the prompt plus `max_tokens`, so `tokens` is exceeded only if the
    server counts more for a prompt than estimated.
    """

    requests: int | None = None
    tokens: int | None = None
    asked: int = field(default=0, init=False)
    spent: int = field(default=0, init=False)
    reserved: int = field(default=0, init=False)

    def fits(self, tokens: int) -> bool:
        """Whether one more request of this many tokens may be sent now."""
        within = self.requests is None or self.asked < self.requests
        return within and (self.tokens is None or self.spent + self.reserved + tokens <= self.tokens)

    def reserve(self, tokens: int) -> None:
        """Count a request that is about to be sent."""
        self.asked += 1
        self.reserved += tokens

    def settle(self, reserved: int, spent: int) -> None:
        """Replace the reservation of a request by the tokens it used."""
        self.reserved -= reserved
        self.spent += spent

    def reason(self, tokens: int) -> str:
        """Why a request of this many tokens does not fit, as a message for the user."""
        if self.requests is not None and self.asked >= self.requests:
            return f"stopped after {self.asked} requests: --max-requests is reached"
        if self.tokens is not None and tokens > self.tokens:
            return (
                f"--budget-tokens {self.tokens} is less than the {tokens} that one request may take: "
                "raise it, or lower --max-tokens"
            )
        return (
            f"stopped after {self.spent} of the {self.tokens} tokens of --budget-tokens: "
            f"another request may take {tokens}"
        )


@dataclass(frozen=True)
class Estimate:
    """Estimates the tokens of requests from the server's counts for answered ones."""

    prompts: Mapping[str, int] = field(default_factory=dict)  # prompt -> tokens counted by the server
    characters_per_token: float = CHARACTERS_PER_TOKEN
    completion: float | None = None  # mean over the answers
    tokens_per_image: float = IMAGE_TOKENS

    @classmethod
    def of(cls, answered: Iterable[tuple[Request, Any]]) -> Estimate:
        """The estimate from answered requests with their responses."""
        prompts: dict[str, int] = {}
        texts: dict[str, tuple[int, int]] = {}  # prompt -> characters, images
        completions = []
        for request, response in answered:
            prompt, completion = usage_of(response, "prompt_tokens"), usage_of(response, "completion_tokens")
            if prompt:
                key = _prompt(request)
                prompts[key] = prompt
                texts[key] = (len(message_text(request.messages)), len(request.images))
            if completion is not None:
                completions.append(completion)
        plain = {key: length for key, (length, images) in texts.items() if not images}
        rate = sum(plain.values()) / sum(map(prompts.__getitem__, plain)) if plain else CHARACTERS_PER_TOKEN
        mean = sum(completions) / len(completions) if completions else None
        return cls(prompts, rate, mean, _tokens_per_image(prompts, texts, rate))

    @property
    def basis(self) -> str:
        """The basis of the prompt estimate, as text."""
        return (
            "from the server's counts for stored answers" if self.prompts else "with 4 characters per token"
        )

    def prompt_tokens(self, request: Request) -> int:
        """Tokens of the prompt."""
        text = len(message_text(request.messages)) / self.characters_per_token
        images = self.tokens_per_image * len(request.images)
        return self.prompts.get(_prompt(request)) or math.ceil(text + images)

    def most(self, request: Request) -> int:
        """Tokens of the prompt and of the longest possible answer."""
        return self.prompt_tokens(request) + request.sampling.max_tokens

    def spent(self, request: Request, response: Any) -> int:
        """Tokens of prompt and answer as counted by the server, each estimated if it is not reported."""
        prompt, completion = usage_of(response, "prompt_tokens"), usage_of(response, "completion_tokens")
        if prompt is None:
            prompt = self.prompt_tokens(request)
        if completion is None:
            completion = math.ceil(len(content_of(response)) / CHARACTERS_PER_TOKEN)
        return prompt + completion


def _prompt(request: Request) -> str:
    """What distinguishes the prompts of requests: the text and the images."""
    return "\n".join([message_text(request.messages), *(image.reference for image in request.images)])


def _tokens_per_image(
    prompts: Mapping[str, int], texts: Mapping[str, tuple[int, int]], characters_per_token: float
) -> float:
    """The mean over the images of counted prompts; IMAGE_TOKENS if none was counted."""
    with_images = {key: each for key, each in texts.items() if each[1]}
    count = sum(images for _, images in with_images.values())
    words = sum(length for length, _ in with_images.values()) / characters_per_token
    total = sum(prompts[key] for key in with_images)
    return max(total - words, 0.0) / count if count else IMAGE_TOKENS


def token_totals(responses: Sequence[Any]) -> tuple[int | None, int | None]:
    """The total prompt and completion tokens reported by the server; None if it never reported any."""
    prompt = [each for each in (usage_of(one, "prompt_tokens") for one in responses) if each is not None]
    answer = [each for each in (usage_of(one, "completion_tokens") for one in responses) if each is not None]
    return (sum(prompt) if prompt else None, sum(answer) if answer else None)


@dataclass
class Tally:
    """Counts of requests, of one class or of all; tokens as reported by the server in this call."""

    requests: int = 0
    found: int = 0  # answers that were already stored
    answered: int = 0  # responses received in this call
    failed: int = 0  # responses without a usable answer, and requests without a response
    lost: int = 0  # requests without a response
    retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def done(self) -> int:
        """Finished requests."""
        return self.found + self.answered + self.lost

    def arrived(self, response: Any, *, is_answer: bool) -> None:
        """Count a response."""
        self.answered += 1
        self.failed += not is_answer
        self.prompt_tokens += usage_of(response, "prompt_tokens") or 0
        self.completion_tokens += usage_of(response, "completion_tokens") or 0


@dataclass
class Progress:
    """Progress of the requests for one description set, by class."""

    title: str
    classes: dict[str, Tally] = field(default_factory=dict)
    latest: str = ""  # class of the last event
    retrying: bool = False  # whether the last event was a retry

    @property
    def total(self) -> Tally:
        """The sum over the classes."""
        names = Tally().__dict__
        return Tally(**{name: sum(getattr(each, name) for each in self.classes.values()) for name in names})


Report = Callable[[Progress], None]
