"""Class set x template x samples -> description set: ask what is missing, read, rank, cut.

An answer is paid for once. Each response is stored the moment it arrives, and a rerun asks only for what is
not there. A response that is no answer (truncated, refused, empty, malformed) is kept in the manifest's
failures, and a rerun asks for it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dfer_model.io import require_writable, sweep

from ..description_set import DescriptionSet, Descriptor, Manifest
from ..errors import Interrupted, WorkError, system_words
from ..llm.answers import Answer, Failure, read_answer
from ..llm.client import Asked, Lost, Reply, Watcher, ask
from ..llm.endpoint import TIMEOUT_S, run_blocking
from ..llm.response_cache import Request, ResponseStore
from ..llm.usage import Budget, Estimate, Progress, Report, Tally, told
from .plan import Plan
from .rank import rank_classes


@dataclass(frozen=True)
class Stored:
    """A stored response and what today's parser reads in it."""

    record: dict[str, Any]
    read: Answer | Failure


@dataclass(frozen=True)
class Outcome:
    """A description set, what it is made of, and what that cost."""

    descriptions: DescriptionSet
    responses: list[dict[str, Any]] = field(default_factory=list)  # all of them, as in responses.jsonl
    asked: int = 0  # requests sent in this call
    found: int = 0  # answers that were already stored
    failed: int = 0  # responses that were no answers; the manifest's `failures` say which and why
    retried: int = 0  # attempts beyond the first
    prompt_tokens: int | None = None  # of the requests sent in this call; None where the server tells none
    completion_tokens: int | None = None
    cost: float | None = None  # in US dollars; None where no price is known


def ask_and_rank(
    plan: Plan,
    responses: ResponseStore,
    *,
    concurrency: int = 8,
    timeout: float = TIMEOUT_S,
    budget: Budget | None = None,
    report: Report | None = None,
    note: Callable[[str], None] | None = None,
) -> Outcome:
    """Ask for what is not stored yet, and rank the descriptors of all answers into a draft.

    `report` is told of every change, `note` what a person should know of the server, once.

    Raises WorkError when requests stayed without a response, the budget ended or a class came out short,
    InputError when the template or the model is wrong, and Interrupted on Ctrl-C. What had arrived is stored
    in every case. Raises OSError before anything is asked when nothing could be stored.
    """
    sweep(responses.folder)
    records = answered(plan.requests, responses)
    found = len(records)
    missing = [request for request in plan.requests if request.key not in records]
    missing.sort(key=lambda request: request.sample)  # each class once before any class twice
    if missing:
        require_writable(responses.folder)
    if missing and note:
        note(f"Asking {plan.title} at {plan.endpoint.base_url}: {len(missing)} requests")
    keeper = _Keeper(plan, responses, records, report, note)
    estimate = Estimate.of(
        (each, records[each.key].record["response"]) for each in plan.requests if each.key in records
    )
    work = ask(
        plan.endpoint,
        missing,
        keeper,
        concurrency=concurrency,
        timeout=timeout,
        budget=budget,
        estimate=estimate,
    )
    _finish(plan, responses, work)
    draft = _draft(plan, records)
    prompt, completion = told([records[request.key].record["response"] for request in missing])
    return Outcome(
        descriptions=draft,
        responses=[_row(request, records[request.key]) for request in plan.requests],
        asked=len(missing),
        found=found,
        failed=len(draft.manifest.failures),
        retried=keeper.progress.total.retried,
        prompt_tokens=prompt,
        completion_tokens=completion,
    )


def _finish(plan: Plan, responses: ResponseStore, work: Coroutine[Any, Any, Asked]) -> None:
    """Ask to the end; whatever keeps a request from its response is raised with what is kept."""
    try:
        ended = run_blocking(work)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped: {_kept(plan, responses)}") from None
    except OSError as error:  # of the disk; those of the network are the SDK's
        raise WorkError(f"{system_words(error)}\n{_kept(plan, responses)}") from error
    if ended.lost:
        raise WorkError(f"{_reasons(ended.lost)}\n{_kept(plan, responses)}")
    if ended.stopped:
        raise WorkError(f"{ended.stopped}\n{_kept(plan, responses)}")


def answered(requests: Sequence[Request], responses: ResponseStore) -> dict[str, Stored]:
    """What is stored, by key, of those requests whose response is an answer."""
    found = {}
    for request in requests:
        record = responses.get(request.key)
        if record and isinstance(read := read_record(record, request.class_name), Answer):
            found[request.key] = Stored(record, read)
    return found


def read_record(record: Mapping[str, Any], class_name: str | None = None) -> Answer | Failure:
    """What today's parser reads in a stored record; the class is the record's where none is given."""
    return read_answer(record["response"], record.get("form", "text"), class_name or record.get("class_name"))


class _Keeper(Watcher):
    """Stores each response as it arrives, and tells how far the asking is."""

    def __init__(
        self,
        plan: Plan,
        responses: ResponseStore,
        records: dict[str, Stored],
        report: Report | None,
        note: Callable[[str], None] | None,
    ) -> None:
        self._plan, self._responses, self._records = plan, responses, records
        self._report, self._note = report, note
        self.progress = Progress(plan.title, {name: Tally() for name in plan.class_set.names})
        for request in plan.requests:
            tally = self.progress.classes[request.class_name]
            tally.requests += 1
            tally.found += request.key in records
        self._say()

    async def arrived(self, request: Request, reply: Reply) -> None:
        read = read_answer(reply.body, reply.form, request.class_name)
        record = {
            "class_name": request.class_name,
            "template": self._plan.template.name,
            "form": reply.form,
            "reading": read.reading if isinstance(read, Answer) else None,
            "request": request.identity,
            "received": datetime.now(UTC).isoformat(timespec="seconds"),
            "response": reply.body,
        }
        if reply.not_sent:
            record["not_sent"] = list(reply.not_sent)
        # Bringing a file to the disk takes milliseconds, in which the other requests go on.
        await asyncio.to_thread(self._responses.put, request.key, record)
        self._records[request.key] = Stored(record, read)
        self.progress.classes[request.class_name].arrived(reply.body, is_answer=isinstance(read, Answer))
        self._say(request.class_name)

    def retried(self, request: Request) -> None:
        self.progress.classes[request.class_name].retried += 1
        self._say(request.class_name, retrying=True)

    def lost(self, lost: Lost) -> None:
        tally = self.progress.classes[lost.request.class_name]
        tally.lost += 1
        tally.failed += 1
        self._say(lost.request.class_name)

    def note(self, sentence: str) -> None:
        if self._note:
            self._note(sentence)

    def _say(self, latest: str = "", *, retrying: bool = False) -> None:
        self.progress.latest, self.progress.retrying = latest, retrying
        if self._report:
            self._report(self.progress)


def _draft(plan: Plan, records: Mapping[str, Stored]) -> DescriptionSet:
    answers: dict[str, list[list[str]]] = {name: [] for name in plan.class_set.names}
    failures: list[dict[str, Any]] = []
    readings: Counter[str] = Counter()
    for request in plan.requests:
        read = records[request.key].read
        if isinstance(read, Answer):
            answers[request.class_name].append(read.descriptors)
            readings[read.reading] += 1
        else:
            failures.append(
                {
                    "class_name": request.class_name,
                    "sample": request.sample,
                    "reason": read.reason,
                    "detail": read.detail,
                    "key": request.key,
                }
            )
    ranked = rank_classes(answers, plan.top_k, plan.rank)
    _check_lengths(ranked, plan, failures)
    manifest = Manifest(
        class_set=plan.class_set.as_manifest(),
        source="llm",
        template=plan.template.name,
        template_sha256=plan.template.sha256,
        template_text=plan.template.text,
        model=plan.endpoint.model,
        base_url=plan.endpoint.base_url,
        sampling=_sampling(plan, [records[request.key] for request in plan.requests]),
        readings=dict(sorted(readings.items())),
        failures=failures,
    )
    members = {name: (tuple(descriptors),) for name, descriptors in ranked.items()}
    return DescriptionSet("", plan.class_set.names, members, manifest)


def _sampling(plan: Plan, stored: Sequence[Stored]) -> dict[str, Any]:
    """How the answers were drawn, as the manifest has it.

    `not_sent` counts the answers asked without a parameter that the server refused; a parameter that no
    answer was asked with has no value.
    """
    sampling = plan.sampling.model_dump(exclude_none=True)
    not_sent = Counter(name for each in stored for name in each.record.get("not_sent", ()))
    for name, count in not_sent.items():
        if count == len(stored):
            sampling.pop(name, None)
    refused = {"not_sent": dict(sorted(not_sent.items()))} if not_sent else {}
    return {**sampling, "samples": plan.samples, "top_k": plan.top_k, "rank": plan.rank, **refused}


def _check_lengths(
    ranked: Mapping[str, list[Descriptor]], plan: Plan, failures: Sequence[Mapping[str, Any]]
) -> None:
    least = 1 if plan.allow_short else plan.top_k
    short = [f"{name} has {len(found)}" for name, found in ranked.items() if len(found) < least]
    if not short:
        return
    listed = ", ".join(short[:5]) + (f", and {len(short) - 5} more classes" if len(short) > 5 else "")
    no_answers, advice = "", "Take more --samples or a smaller --top-k"
    if failures:
        (reason, detail), count = Counter((f["reason"], f["detail"]) for f in failures).most_common(1)[0]
        are = "response was no answer" if len(failures) == 1 else "responses were no answers"
        most = f", {count} of them " if count < len(failures) else ": "
        no_answers = f"; {len(failures)} {are}{most}{reason} ({detail})"
        advice = "The same command asks for them again; or take more --samples or a smaller --top-k"
    if not plan.allow_short:
        advice += ", or go on with --allow-short; what was answered is stored"
    raise WorkError(f"fewer than {least} descriptors: {listed}{no_answers}\n{advice}")


def _reasons(lost: Sequence[Lost]) -> str:
    counted = Counter(each.reason for each in lost).most_common()
    others = f" (and {len(counted) - 1} other reasons)" if len(counted) > 1 else ""
    return f"{counted[0][0]}{others}"


def _kept(plan: Plan, responses: ResponseStore) -> str:
    kept = len(answered(plan.requests, responses))
    return (
        f"{kept} of {len(plan.requests)} answers are stored; run the same command again to ask for the rest"
    )


def _row(request: Request, stored: Stored) -> dict[str, Any]:
    reading = stored.read.reading if isinstance(stored.read, Answer) else None
    place = {"class_name": request.class_name, "sample": request.sample, "key": request.key}
    return {**place, **stored.record, "class_name": request.class_name, "reading": reading}
