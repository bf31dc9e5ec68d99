"""Class set x template x samples -> description set: ask what is missing, read, rank, cut.

An answer is paid for once. Each response is stored the moment it arrives, and a rerun asks only for what is
not there. A response that is no answer (truncated, refused, empty, malformed) is kept in the manifest's
failures, and a rerun asks for it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from .classes import ClassSet
from .description_set import DescriptionSet, Descriptor, Manifest
from .errors import InputError, Interrupted, WorkError
from .ranking import rank
from .responses import Request, ResponseStore, Sampling
from .sources.endpoint import Endpoint, run_blocking
from .sources.llm import Answer, Lost, ask, read_answer
from .templates import Template
from .validation import first_problem

Report = Callable[[int, int, str], None]  # requests done, requests in all, the class just answered


@dataclass(frozen=True)
class Outcome:
    """A draft, what it is made of, and what it cost."""

    draft: DescriptionSet
    responses: list[dict[str, Any]]  # every response, answer or not, as it goes into responses.jsonl
    asked: int  # requests sent in this call
    found: int  # answers that were already stored
    failed: int  # responses that were no answers; the manifest's `failures` say which and why
    prompt_tokens: int | None  # of the requests sent in this call; None where the server tells no usage
    completion_tokens: int | None


def generate(
    class_set: ClassSet,
    template: Template,
    endpoint: Endpoint,
    *,
    responses: ResponseStore,
    sampling: Sampling | None = None,
    samples: int = 5,
    top_k: int = 6,
    concurrency: int = 8,
    allow_short: bool = False,
    report: Report | None = None,
) -> Outcome:
    """Ask for each class `samples` times, and rank the descriptors of the answers into a draft.

    `sampling` defaults to what the template and the endpoint ask for (`sampling_for`). `allow_short` accepts
    classes with fewer than `top_k` descriptors, though not with none.

    Raises WorkError when requests stayed without a response or a class came out short, InputError when the
    template or the model is wrong, and Interrupted on Ctrl-C. What had arrived is stored in every case.
    """
    drawn = sampling or sampling_for(endpoint, template)
    requests = plan(class_set, template, endpoint, drawn, samples)
    records = answered(requests, responses)
    found = len(records)
    missing = [request for request in requests if request.key not in records]
    missing.sort(key=lambda request: request.sample)  # each class once before any class twice
    done = found

    def arrived(request: Request, response: Any) -> None:
        nonlocal done
        record = {"request": request.identity, "received": _now(), "response": response}
        responses.put(request.key, record)
        records[request.key] = record
        done += 1
        if report:
            report(done, len(requests), request.class_name)

    if report:
        report(done, len(requests), "")
    try:
        lost = run_blocking(ask(endpoint, missing, arrived, concurrency=concurrency)) if missing else []
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped: {_kept(requests, records)}") from None
    if lost:
        raise WorkError(f"{_reasons(lost)}\n{_kept(requests, records)}")
    draft = _draft(class_set, template, endpoint, drawn, requests, records, samples, top_k, allow_short)
    new = [records[request.key]["response"] for request in missing]
    return Outcome(
        draft=draft,
        responses=[_row(request, records[request.key]) for request in requests],
        asked=len(missing),
        found=found,
        failed=len(draft.manifest.failures),
        prompt_tokens=_tokens(new, "prompt_tokens"),
        completion_tokens=_tokens(new, "completion_tokens"),
    )


def sampling_for(endpoint: Endpoint, template: Template, **given: Any) -> Sampling:
    """The sampling parameters: those given (None: not given), else the template's, else the endpoint's.

    Raises InputError when one is out of its range.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return Sampling.model_validate({**endpoint.sampling_defaults, **template.sampling, **chosen})
    except ValidationError as error:
        raise InputError(f"sampling: {first_problem(error)}") from error


def prompts(class_set: ClassSet, template: Template) -> dict[str, list[dict[str, str]]]:
    """The chat messages for each class name. Raises InputError when two classes would be asked the same."""
    asked_for: dict[str, str] = {}
    rendered = {}
    for each in class_set.classes:
        messages = template.messages(each, class_set)
        content = messages[0]["content"]
        if content in asked_for:
            raise InputError(
                f"{template.path} asks the same for {asked_for[content]} and {each.name}\n"
                "Name the class in it: {{ expression }}"
            )
        asked_for[content] = each.name
        rendered[each.name] = messages
    return rendered


def plan(
    class_set: ClassSet, template: Template, endpoint: Endpoint, sampling: Sampling, samples: int
) -> list[Request]:
    """All requests of a generation, class by class; each sample has a seed of its own."""
    return [
        Request(name, endpoint.base_url, endpoint.model, tuple(messages), sampling, sample)
        for name, messages in prompts(class_set, template).items()
        for sample in range(samples)
    ]


def answered(requests: Sequence[Request], responses: ResponseStore) -> dict[str, dict[str, Any]]:
    """The stored records, by key, of those requests whose response is an answer."""
    stored = ((request.key, responses.get(request.key)) for request in requests)
    return {key: record for key, record in stored if record and _is_answer(record)}


def _draft(
    class_set: ClassSet,
    template: Template,
    endpoint: Endpoint,
    sampling: Sampling,
    requests: Sequence[Request],
    records: Mapping[str, dict[str, Any]],
    samples: int,
    top_k: int,
    allow_short: bool,
) -> DescriptionSet:
    answers: dict[str, list[list[str]]] = {name: [] for name in class_set.names}
    failures: list[dict[str, Any]] = []
    for request in requests:
        read = read_answer(records[request.key]["response"])
        if isinstance(read, Answer):
            answers[request.class_name].append(read.descriptors)
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
    ranked = {name: rank(texts, top_k) if texts else [] for name, texts in answers.items()}
    _check_lengths(ranked, top_k, allow_short, failures)
    manifest = Manifest(
        class_set=class_set.as_manifest(),
        source="llm",
        template=template.name,
        template_sha256=template.sha256,
        model=endpoint.model,
        base_url=endpoint.base_url,
        sampling={**sampling.model_dump(exclude_none=True), "samples": samples, "top_k": top_k},
        failures=failures,
    )
    members = {name: (tuple(descriptors),) for name, descriptors in ranked.items()}
    return DescriptionSet("", class_set.names, members, manifest)


def _check_lengths(
    ranked: Mapping[str, list[Descriptor]],
    top_k: int,
    allow_short: bool,
    failures: Sequence[Mapping[str, Any]],
) -> None:
    least = 1 if allow_short else top_k
    short = [f"{name} has {len(found)}" for name, found in ranked.items() if len(found) < least]
    if not short:
        return
    listed = ", ".join(short[:5]) + (f", and {len(short) - 5} more classes" if len(short) > 5 else "")
    no_answers = ""
    if failures:
        (reason, detail), count = Counter((f["reason"], f["detail"]) for f in failures).most_common(1)[0]
        no_answers = f"; {len(failures)} responses were no answers, {count} of them {reason} ({detail})"
    advice = "Take more --samples or a smaller --top-k"
    raise WorkError(
        f"fewer than {least} descriptors: {listed}{no_answers}\n"
        + (advice if allow_short else f"{advice}, or go on with --allow-short; what was answered is stored")
    )


def _reasons(lost: Sequence[Lost]) -> str:
    counted = Counter(each.reason for each in lost).most_common()
    others = f" (and {len(counted) - 1} other reasons)" if len(counted) > 1 else ""
    return f"{counted[0][0]}{others}"


def _kept(requests: Sequence[Request], records: Mapping[str, dict[str, Any]]) -> str:
    kept = sum(1 for record in records.values() if _is_answer(record))
    return f"{kept} of {len(requests)} answers are stored; run the same command again to ask for the rest"


def _is_answer(record: Mapping[str, Any]) -> bool:
    return isinstance(read_answer(record["response"]), Answer)


def _row(request: Request, record: Mapping[str, Any]) -> dict[str, Any]:
    return {"class_name": request.class_name, "sample": request.sample, "key": request.key, **record}


def _tokens(responses: Sequence[Any], kind: str) -> int | None:
    usages = [each.get("usage") for each in responses if isinstance(each, dict)]
    counts = [usage.get(kind) for usage in usages if isinstance(usage, dict)]
    told = [count for count in counts if isinstance(count, int)]
    return sum(told) if told else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
