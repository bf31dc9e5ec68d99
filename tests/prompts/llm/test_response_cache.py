"""The key of an answer, and the store that never holds half of one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfer_prompts.llm.response_cache import Request, ResponseStore
from dfer_prompts.llm.sampling import Sampling

REQUEST = Request(
    class_name="fear",
    base_url="http://localhost:1/v1",
    model="tiny",
    messages=({"role": "user", "content": "fear?"},),
    sampling=Sampling(temperature=1, top_p=0.5, max_tokens=10, seed=7),
    sample=2,
)


def test_the_cache_key_is_the_sha256_of_the_request() -> None:
    canonical = (
        '{"base_url":"http://localhost:1/v1","messages":[{"content":"fear?","role":"user"}],"model":"tiny",'
        '"response_format":"text","sample":2,"sampling":{"max_tokens":10,"reasoning_effort":null,"seed":9,'
        '"temperature":1.0,"top_p":0.5}}'
    )
    assert REQUEST.key == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        {"base_url": "http://localhost:2/v1"},
        {"model": "large"},
        {"messages": ({"role": "user", "content": "anger?"},)},
        {"messages": ({"role": "system", "content": "fear?"},)},
        {"sample": 3},
        {"sampling": REQUEST.sampling.model_copy(update={"temperature": 0.9})},
        {"sampling": REQUEST.sampling.model_copy(update={"top_p": 0.9})},
        {"sampling": REQUEST.sampling.model_copy(update={"max_tokens": 11})},
        {"sampling": REQUEST.sampling.model_copy(update={"seed": 8})},
        {"sampling": REQUEST.sampling.model_copy(update={"reasoning_effort": "low"})},
    ],
)
def test_every_field_of_a_request_changes_the_cache_key(other: dict[str, Any]) -> None:
    assert replace(REQUEST, **other).key != REQUEST.key


def test_the_class_name_alone_does_not_change_the_cache_key() -> None:
    assert replace(REQUEST, class_name="terror").key == REQUEST.key


def test_a_stored_record_is_read_back_and_is_the_only_file(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "responses")
    record = {"request": REQUEST.identity, "response": {"text": "raised brows \ud83d é"}}
    assert store.get(REQUEST.key) is None
    store.put(REQUEST.key, record)
    assert store.get(REQUEST.key) == record
    assert [path.name for path in store.folder.iterdir()] == [f"{REQUEST.key}.json"]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        '{"request": {',
        "[]",
        '{"response": {}}',
        b"\xff\xfe",
        json.dumps({"request": {**REQUEST.identity, "model": "another"}, "response": {}}),
    ],
)
def test_a_damaged_record_is_requested_again(tmp_path: Path, damage: str | bytes) -> None:
    store = ResponseStore(tmp_path)
    raw = damage if isinstance(damage, bytes) else damage.encode()
    (tmp_path / f"{REQUEST.key}.json").write_bytes(raw)
    assert store.get(REQUEST.key) is None
    store.put(REQUEST.key, {"request": REQUEST.identity, "response": 1})
    assert store.get(REQUEST.key) == {"request": REQUEST.identity, "response": 1}
