"""The stored responses, for display: the request, its date, and the parsed answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, system_errors
from ..llm.answers import Answer, content_of, usage_of
from ..llm.images import shown_text
from ..llm.response_cache import ResponseStore
from .run import read_record


@dataclass(frozen=True)
class StoredAnswer:
    """One stored response and its parsed answer."""

    key: str
    class_name: str | None  # first requested for it; None in records of older versions
    template: str | None
    model: str
    base_url: str
    prompt: str
    sampling: dict[str, Any]  # without parameters that the server rejected
    sample: int
    received: str
    form: str  # of the request: json_schema, json_object, text
    reading: str | None  # format it was read as; None if there is no usable answer
    failure: str | None  # why there is no usable answer
    content: str
    descriptors: list[str]
    prompt_tokens: int | None
    completion_tokens: int | None


@system_errors()
def stored_answers(
    store: ResponseStore, *, model: str | None = None, containing: str | None = None
) -> tuple[list[StoredAnswer], list[str]]:
    """The stored answers, oldest first, and a message for each damaged file.

    If given, only those of `model`, and those whose prompt contains the text `containing`.
    """
    found, damaged = [], []
    for key in store.keys():  # noqa: SIM118 - not a dict
        try:
            each = stored_answer(store, key)
        except InputError as error:
            damaged.append(str(error))
            continue
        matches = containing is None or containing.casefold() in each.prompt.casefold()
        if matches and model in (None, each.model):
            found.append(each)
    return sorted(found, key=lambda each: (each.received, each.key)), damaged


def stored_answer(store: ResponseStore, key: str) -> StoredAnswer:
    """The answer with this key or key prefix. Raises InputError if none, several or a damaged one match."""
    full_key = store.find(key)
    record = store.read(full_key)
    try:
        return _answer(full_key, record)
    except (LookupError, TypeError, AttributeError) as error:
        path = store.folder / f"{full_key}.json"
        raise InputError(f"{path} is damaged: its request has an unknown format") from error


def _answer(key: str, record: Mapping[str, Any]) -> StoredAnswer:
    request, response = record["request"], record["response"]
    not_sent = record.get("not_sent", ())
    read = read_record(record)
    answer = read if isinstance(read, Answer) else None
    return StoredAnswer(
        key=key,
        class_name=record.get("class_name"),
        template=record.get("template"),
        model=str(request["model"]),
        base_url=str(request["base_url"]),
        prompt=shown_text(request["messages"]),
        sampling={name: value for name, value in request["sampling"].items() if name not in not_sent},
        sample=int(request["sample"]),
        received=str(record.get("received", "")),
        form=str(record.get("form", "text")),
        reading=answer.reading if answer else None,
        failure=None if isinstance(read, Answer) else f"{read.reason} ({read.detail})",
        content=content_of(response),
        descriptors=answer.descriptors if answer else [],
        prompt_tokens=usage_of(response, "prompt_tokens"),
        completion_tokens=usage_of(response, "completion_tokens"),
    )
