"""Requests for edits: sent through the same client and response cache as those of `generate`."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dfer_model.io import require_writable

from ..errors import Interrupted, WorkError
from ..llm.answers import content_of, read_answer
from ..llm.client import Lost, Reply, Watcher, ask, record_of
from ..llm.endpoint import Endpoint, run_blocking
from ..llm.response_cache import Request, ResponseStore
from ..llm.sampling import Sampling
from ..llm.usage import Budget, token_totals
from ..templates import Template
from ..templates.feedback import OPTIMIZE, Feedback

WHOLE_SET = "all classes"  # in place of the class of a request
STORED = "The answers are stored; run the same command again to request the rest"


@dataclass(frozen=True)
class Answers:
    """The answers of one round, in the order of their samples, and why some were not requested."""

    prompt_sha256: str
    texts: list[str]
    keys: list[str]
    stopped: str | None = None


@dataclass
class EditRequests:
    """Requests edits from one model, round by round, and counts requests and tokens."""

    endpoint: Endpoint
    template: Template
    sampling: Sampling
    responses: ResponseStore
    budget: Budget
    concurrency: int = 8
    timeout: float = 300.0
    note: Callable[[str], None] | None = None
    found: int = field(default=0, init=False)  # answers that were stored before
    records: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)  # all, by key, in order

    def __post_init__(self) -> None:
        if self.endpoint.is_demo and self.note:
            self.note(f"{self.endpoint.model_title}\nIt is not trained to answer the template {OPTIMIZE}")

    @property
    def sent(self) -> int:
        """The number of requests sent."""
        return self.budget.asked

    def answers(self, feedback: Feedback, first: int, count: int) -> Answers:
        """`count` answers on the feedback, samples `first` and following; stored ones are not requested.

        Raises WorkError if a request gets no response, and Interrupted on Ctrl-C; answers received so far are
        stored.
        """
        messages = tuple(self.template.feedback_messages(feedback))
        sha256 = hashlib.sha256(json.dumps(messages).encode()).hexdigest()
        requests = [
            Request(WHOLE_SET, self.endpoint.base_url, self.endpoint.model, messages, self.sampling, sample)
            for sample in range(first, first + count)
        ]
        known = {each.key: record for each in requests if (record := self.responses.get(each.key))}
        missing = [each for each in requests if each.key not in known]
        self.found += len(known)
        stopped = self._request(missing, known) if missing else None
        kept = [each.key for each in requests if each.key in known]
        self.records |= {key: known[key] for key in kept}
        return Answers(sha256, [content_of(known[key]["response"]) for key in kept], kept, stopped)

    def rows(self) -> list[dict[str, Any]]:
        """All answers as rows of responses.jsonl."""
        return [
            {
                "class_name": WHOLE_SET,
                "sample": number,
                "key": key,
                **{name: value for name, value in record.items() if name != "class_name"},
            }
            for number, (key, record) in enumerate(self.records.items())
        ]

    def tokens(self) -> tuple[int | None, int | None]:
        """Tokens of prompts and answers of all responses; None if the server reports none."""
        return token_totals([record["response"] for record in self.records.values()])

    def _request(self, missing: list[Request], known: dict[str, dict[str, Any]]) -> str | None:
        """Send the requests; the reason if the budget ended before all were sent."""
        require_writable(self.responses.folder)
        writer = _ResponseWriter(self.responses, known, self.note)
        work = ask(
            self.endpoint,
            missing,
            writer,
            concurrency=self.concurrency,
            timeout=self.timeout,
            budget=self.budget,
        )
        try:
            ended = run_blocking(work)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped\n{STORED}") from None
        if ended.lost:
            raise WorkError(f"{ended.lost[0].reason}\n{STORED}")
        return ended.stopped


class _ResponseWriter(Watcher):
    """Stores each response as it arrives."""

    def __init__(
        self,
        responses: ResponseStore,
        known: dict[str, dict[str, Any]],
        note: Callable[[str], None] | None,
    ) -> None:
        self._responses, self._known, self._note = responses, known, note

    async def arrived(self, request: Request, reply: Reply) -> None:
        record = record_of(request, OPTIMIZE, reply, read_answer(reply.body, reply.form))
        await asyncio.to_thread(self._responses.put, request.key, record)
        self._known[request.key] = record

    def lost(self, lost: Lost) -> None:
        """Nothing: `ask` returns the lost requests."""

    def note(self, sentence: str) -> None:
        if self._note:
            self._note(sentence)
