"""Execute a plan: send the requests without a stored answer, parse the answers, rank the descriptors.

Each response is stored as soon as it arrives, and a rerun sends only the missing requests. A response
without a usable answer (truncated, refused, empty, malformed) is listed in the manifest's failures and
requested again in a rerun.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from dfer_model.io import require_writable, sweep

from ..description_set import DescriptionSet, Descriptor, Manifest
from ..errors import Interrupted, WorkError, system_words
from ..llm.answers import Answer, Failure, read_answer
from ..llm.client import Asked, Lost, Reply, Watcher, ask, record_of
from ..llm.endpoint import TIMEOUT_S, run_blocking
from ..llm.response_cache import Request, ResponseStore
from ..llm.usage import Budget, Estimate, Progress, Report, Tally, token_totals
from .clip_descriptions import ClipDescription, described_clips
from .clip_images import check_may_be_sent, sending
from .plan import Plan
from .rank import rank_classes


@dataclass(frozen=True)
class Stored:
    """A stored response and its parsed answer or failure."""

    record: dict[str, Any]
    read: Answer | Failure


@dataclass(frozen=True)
class Outcome:
    """A description set, the responses it is made of, and their cost."""

    descriptions: DescriptionSet
    responses: list[dict[str, Any]] = field(default_factory=list)  # all of them, as in responses.jsonl
    asked: int = 0  # requests sent by this call
    found: int = 0  # answers that were already stored
    failed: int = 0  # responses without a usable answer, listed in the manifest's `failures`
    retried: int = 0  # attempts beyond the first
    prompt_tokens: int | None = None  # of the requests sent by this call; None if the server reports none
    completion_tokens: int | None = None
    cost: float | None = None  # in US dollars; None if no price is known
    clip_descriptions: tuple[ClipDescription, ...] = ()  # with `per_clip`


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
    """Send the requests without a stored answer and rank the descriptors of all answers into an unsaved set.

    `report` receives the progress after every change, `note` each message about the server once.

    Raises WorkError if requests got no response, the budget is used up or a class has too few descriptors,
    InputError for an invalid template or model, and Interrupted on Ctrl-C. Responses received so far are
    stored in every case. Raises OSError before the first request if the cache is not writable.
    """
    sweep(responses.folder)
    records = answered(plan.requests, responses)
    found = len(records)
    missing = [request for request in plan.requests if request.key not in records]
    missing.sort(key=lambda request: request.sample)  # sample 0 of every class before sample 1 of any class
    if missing:
        require_writable(responses.folder)
        if plan.shown is not None:
            unanswered = plan.unanswered(records)
            check_may_be_sent(unanswered, plan.shown, plan.endpoint)
            if note:
                note(f"Sending {sending(unanswered, plan.shown, plan.endpoint)}")
    if plan.endpoint.is_demo and note:
        note(plan.endpoint.model_title)
    if missing and note:
        note(f"Requesting {len(missing)} answers: {plan.title} at {plan.endpoint.base_url}")
    writer = _ResponseWriter(plan, responses, records, report, note)
    estimate = Estimate.of(
        (each, records[each.key].record["response"]) for each in plan.requests if each.key in records
    )
    work = ask(
        plan.endpoint,
        missing,
        writer,
        concurrency=concurrency,
        timeout=timeout,
        budget=budget,
        estimate=estimate,
    )
    _finish(plan, responses, work)
    draft = _draft(plan, records)
    prompt, completion = token_totals([records[request.key].record["response"] for request in missing])
    return Outcome(
        descriptions=draft,
        responses=[_row(request, records[request.key]) for request in plan.requests],
        asked=len(missing),
        found=found,
        failed=len(draft.manifest.failures),
        retried=writer.progress.total.retried,
        prompt_tokens=prompt,
        completion_tokens=completion,
        clip_descriptions=_clip_descriptions(plan, records),
    )


def _clip_descriptions(plan: Plan, records: Mapping[str, Stored]) -> tuple[ClipDescription, ...]:
    reads = [(request.clip_id, records[request.key].read) for request in plan.requests]
    answers = [(clip_id, read.descriptors) for clip_id, read in reads if clip_id and isinstance(read, Answer)]
    clips = () if plan.shown is None else chain(*plan.shown.clips.values())
    return described_clips(clips, answers, plan.top_k, plan.endpoint.model_title)


def _finish(plan: Plan, responses: ResponseStore, work: Coroutine[Any, Any, Asked]) -> None:
    """Run all requests; errors are raised with the number of stored answers."""
    try:
        ended = run_blocking(work)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped: {_kept(plan, responses)}") from None
    except OSError as error:  # from the disk; network errors are the SDK's
        raise WorkError(f"{system_words(error)}\n{_kept(plan, responses)}") from error
    if ended.lost:
        raise WorkError(f"{_reasons(ended.lost)}\n{_kept(plan, responses)}")
    if ended.stopped:
        raise WorkError(f"{ended.stopped}\n{_kept(plan, responses)}")


def answered(requests: Sequence[Request], responses: ResponseStore) -> dict[str, Stored]:
    """The stored answers by key, for those requests whose response is a usable answer."""
    found = {}
    for request in requests:
        record = responses.get(request.key)
        if record and isinstance(read := read_record(record, request.class_name), Answer):
            found[request.key] = Stored(record, read)
    return found


def read_record(record: Mapping[str, Any], class_name: str | None = None) -> Answer | Failure:
    """Parse a stored record; the class is the record's if none is given."""
    return read_answer(record["response"], record.get("form", "text"), class_name or record.get("class_name"))


class _ResponseWriter(Watcher):
    """Stores each response as it arrives and reports progress."""

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
        record = record_of(request, self._plan.template.name, reply, read)
        # Flushing a file takes milliseconds; in a thread it does not block the other requests.
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
                    **({} if request.clip_id is None else {"clip_id": request.clip_id}),
                }
            )
    ranked = rank_classes(answers, plan.top_k, plan.rank)
    _check_lengths(ranked, plan, failures)
    shown = plan.shown
    manifest = Manifest(
        class_set=plan.class_set.as_manifest(),
        source="llm" if shown is None else "frames",
        derivation={} if shown is None else dict(shown.derivation),
        seen=() if shown is None else shown.seen,
        template=plan.template.name,
        template_sha256=plan.template.sha256,
        template_text=plan.template.text,
        model=plan.endpoint.model_title,
        base_url=plan.endpoint.base_url,
        sampling=_sampling(plan, [records[request.key] for request in plan.requests]),
        readings=dict(sorted(readings.items())),
        failures=failures,
    )
    members = {name: (tuple(descriptors),) for name, descriptors in ranked.items()}
    return DescriptionSet("", plan.class_set.names, members, manifest)


def _sampling(plan: Plan, stored: Sequence[Stored]) -> dict[str, Any]:
    """The sampling parameters of the answers, as stored in the manifest.

    `not_sent` counts the answers requested without a parameter that the server rejected; a parameter that was
    never sent has no value.
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
    no_answers, advice = "", "Increase --samples or decrease --top-k"
    if failures:
        (reason, detail), count = Counter((f["reason"], f["detail"]) for f in failures).most_common(1)[0]
        are = "response had no usable answer" if len(failures) == 1 else "responses had no usable answer"
        most = f", {count} of them " if count < len(failures) else ": "
        no_answers = f"; {len(failures)} {are}{most}{reason} ({detail})"
        advice = "The same command requests them again; or increase --samples or decrease --top-k"
    if not plan.allow_short:
        advice += ", or use --allow-short; the answers are stored"
    raise WorkError(f"fewer than {least} descriptors: {listed}{no_answers}\n{advice}")


def _reasons(lost: Sequence[Lost]) -> str:
    counted = Counter(each.reason for each in lost).most_common()
    others = f" (and {len(counted) - 1} other reasons)" if len(counted) > 1 else ""
    return f"{counted[0][0]}{others}"


def _kept(plan: Plan, responses: ResponseStore) -> str:
    stored = len(answered(plan.requests, responses))
    return (
        f"{stored} of {len(plan.requests)} answers are stored; run the same command again to request the rest"
    )


def _row(request: Request, stored: Stored) -> dict[str, Any]:
    reading = stored.read.reading if isinstance(stored.read, Answer) else None
    place = {"class_name": request.class_name, "sample": request.sample, "key": request.key}
    if request.clip_id is not None:
        place["clip_id"] = request.clip_id
    return {**place, **stored.record, "class_name": request.class_name, "reading": reading}
