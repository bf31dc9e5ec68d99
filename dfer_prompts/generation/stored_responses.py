"""The stored answers, as a person looks through them: what was asked, when, and what is read in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, system_errors
from ..llm.answers import Answer, content_of, usage_of
from ..llm.response_cache import ResponseStore
from .run import read_record


@dataclass(frozen=True)
class StoredAnswer:
    """One stored response, and what today's parser reads in it."""

    key: str
    class_name: str | None  # it was first asked for; None in stores of older versions
    template: str | None
    model: str
    base_url: str
    prompt: str
    sampling: dict[str, Any]  # without what the server refused
    sample: int
    received: str
    form: str  # it was asked in: json_schema, json_object, text
    reading: str | None  # how it can be read; None where it is no answer
    failure: str | None  # why it is no answer
    content: str
    descriptors: list[str]
    prompt_tokens: int | None
    completion_tokens: int | None


@system_errors()
def stored_answers(
    store: ResponseStore, *, model: str | None = None, containing: str | None = None
) -> tuple[list[StoredAnswer], list[str]]:
    """The stored answers, oldest first, and a sentence for each file that is damaged.

    Only those of `model`, and those in whose prompt the words `containing` stand, where these are given.
    """
    found, damaged = [], []
    for key in store.keys():  # noqa: SIM118 - not a dict
        try:
            each = stored_answer(store, key)
        except InputError as error:
            damaged.append(str(error))
            continue
        wanted = containing is None or containing.casefold() in each.prompt.casefold()
        if wanted and model in (None, each.model):
            found.append(each)
    return sorted(found, key=lambda each: (each.received, each.key)), damaged


def stored_answer(store: ResponseStore, key: str) -> StoredAnswer:
    """The answer under a key, or the beginning of one. Raises InputError: none, several, or damaged."""
    whole = store.find(key)
    record = store.read(whole)
    try:
        return _answer(whole, record)
    except (LookupError, TypeError, AttributeError) as error:
        path = store.folder / f"{whole}.json"
        raise InputError(f"{path} is damaged: its request is not one of ours") from error


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
        prompt="\n".join(str(message["content"]) for message in request["messages"]),
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
