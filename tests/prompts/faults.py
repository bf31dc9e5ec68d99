"""A table of server faults during `generate`: the fault, the expected ending, the message.

The faults affect the requests of one class of seven. `tests/prompts/llm/test_faults.py` runs the table
in-process, `benchmarks/faults.py` with the program itself.
"""

from __future__ import annotations

import json
import re
import socket
import unicodedata
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dfer_prompts import DescriptionStore, Workspace

from .endpoint import FakeEndpoint, Reply, chunked, completion, cut, endless, raw, reset, slow, stalled

COMMAND = ("generate", "--classes", "dfew", "--samples", "1", "--top-k", "3", "--version", "mine")
CLASSES = 7
FEATURES = "raised brows", "wide eyes", "an open mouth"
LIST = "\n".join(f"- {each}" for each in FEATURES)
GOOD = json.dumps(completion(LIST)).encode()
QUICK = {"retry-after-ms": "5"}

NASTY = (
    "- raised brows\x00\n- \x1b[31mwide eyes\x1b[0m\n- an open mouth\x1b]0;owned\x07\n- \x9b2Jtense lips\n"
    "- <script>alert(1)</script>\n- <img src=x onerror=alert(1)>\n- \u202eflared nostrils\u2028\x7f"
)
NASTY_WORDS = "\x1b[2J\x9b31m\x00<b>no\u202e</b>\x07"

# The answer is read; a version is written after a retry; an error, and the same command requests it again.
Ending = Literal["read", "retried", "error"]


@dataclass(frozen=True)
class Fault:
    """A fault and its expected ending.

    `says` is a pattern for standard error, `timeout` the request timeout in seconds.
    """

    name: str
    reply: Reply
    ending: Ending
    says: str = ""
    timeout: float | None = None

    def script(self, body: dict[str, Any], earlier: int) -> Reply | None:
        """The server's reply; only the first attempt fails if a retry is to succeed."""
        affected = "of fear?" in body["messages"][0]["content"] and (self.ending != "retried" or earlier == 0)
        return self.reply if affected else None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of `dfer-prompts`."""
        return COMMAND if self.timeout is None else (*COMMAND, "--timeout", str(self.timeout))


def answers(status: int, **headers: str) -> Reply:
    return Reply(
        {"error": {"message": "try later"}}, status, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def edited(**changes: Any) -> Reply:
    """A good answer with top-level keys changed, or removed by `...`."""
    body = {**completion(LIST), **changes}
    return Reply({key: value for key, value in body.items() if value is not ...})


HUGE = 8 * 2**20
FAULTS = (
    Fault("429 with Retry-After, once", answers(429, retry_after="0.02"), "retried"),
    Fault("429 without Retry-After, once", answers(429), "retried"),
    Fault("500, once", answers(500), "retried"),
    Fault("503, once", answers(503), "retried"),
    Fault("reset in mid-body, once", reset(GOOD), "retried"),
    Fault("body cut off, once", cut(GOOD), "retried"),
    Fault("429 for ever", answers(429, **QUICK), "error", "answers 429: try later"),
    Fault("500 for ever", answers(500, **QUICK), "error", "answers 500: try later"),
    Fault("503 for ever", answers(503, **QUICK), "error", "answers 503: try later"),
    Fault("reset in mid-body for ever", reset(GOOD), "error", "reset by peer"),
    Fault("body cut off for ever", cut(GOOD), "error", "closed the connection"),
    Fault("stalled body", stalled(GOOD), "error", "did not answer in time", timeout=0.3),
    Fault(
        "a byte at a time without end", endless(b'{"id": "', b"x", 0.02), "error", "in time| s", timeout=0.3
    ),
    Fault("much without end", endless(b'{"id": "'), "error", "more than 32 MiB"),
    Fault("8 MiB", Reply(completion(f"{LIST}\n" * (HUGE // len(LIST)))), "read"),
    Fault("invalid JSON", raw(GOOD[:-20]), "error", "malformed \\(not JSON\\)"),
    Fault("NUL bytes for a body", raw(b"\0" * 64), "error", "malformed \\(not JSON\\)"),
    Fault("nested 100,000 deep", raw(b"[" * 100_000), "error", "malformed \\(not JSON\\)"),
    Fault("an HTML page", Reply("<html>It works!</html>"), "error", "malformed \\(an HTML page"),
    Fault("nothing at all", raw(b""), "error", "malformed \\(empty body\\)"),
    Fault("no choices", edited(choices=...), "error", "no choices"),
    Fault("choices: null", edited(choices=None), "error", "no choices"),
    Fault("empty content", Reply(completion("")), "error", "empty \\(no text\\)"),
    Fault("content: null", Reply(completion(None)), "error", "empty \\(no text\\)"),
    Fault(
        "a refusal with escape sequences", Reply(completion(None, refusal=NASTY_WORDS)), "error", "refused"
    ),
    Fault(
        "an error with escape sequences",
        Reply({"error": {"message": NASTY_WORDS}}, 500, QUICK),
        "error",
        "answers 500: .*<b>no",
    ),
    Fault("slow bytes", slow(GOOD), "read"),
    Fault("chunked", chunked(GOOD), "read"),
    Fault("wrong content type", raw(GOOD, kind="image/png"), "read"),
    Fault("usage: null", edited(usage=None), "read"),
    Fault("no usage", edited(usage=...), "read"),
    Fault("control characters, escape sequences, HTML", Reply(completion(NASTY)), "read"),
)


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]  # runs `dfer-prompts ARGUMENTS` in the current folder


def problems(fault: Fault, server: FakeEndpoint, run: Run, folder: Path) -> list[str]:
    """Problems of a run with the fault, and of the same command after the fault is repaired."""
    server.script = fault.script
    command = (*fault.arguments, "--base-url", server.base_url, "--model", "tiny")
    first = run(*command)
    wrong = _exit_problems(fault, first) + unsafe_files(folder)
    if fault.ending == "error":
        stored = len(list((folder / ".dfer/responses").glob("*.json")))
        if any((folder / "descriptions").glob("*")):
            wrong.append("a version was left")
        if stored < CLASSES - 1:
            wrong.append(f"only {stored} of {CLASSES - 1} answers are stored")
        server.requests.clear()
        server.script = lambda body, earlier: None
        again = run(*command)
        wrong += _exit_problems(Fault("repaired", Reply(), "read"), again)
        if len(server.requests) != 1:
            wrong.append(f"{len(server.requests)} requests repeated, not 1")
    else:
        attempts = CLASSES + (fault.ending == "retried")
        if len(server.requests) != attempts:
            wrong.append(f"{len(server.requests)} requests, not {attempts}")
        wrong += _exit_problems(fault, run("descriptions", "show", "mine"))
    return wrong + unsafe_files(folder) + incomplete_versions(folder) + _wrong_version(folder)


def _exit_problems(fault: Fault, ended: Ended) -> list[str]:
    wrong = []
    expected = 1 if fault.ending == "error" else 0
    if ended.status != expected:
        wrong.append(f"exit status {ended.status}, not {expected}: {ended.err[-300:]!r}")
    if "Traceback" in ended.err:
        wrong.append("a traceback")
    if not re.search(fault.says, ended.err):
        wrong.append(f"does not say {fault.says!r}: {ended.err[-300:]!r}")
    if expected and not 1 <= len(error_lines(ended.err)) <= 2:
        wrong.append(f"the error has {len(error_lines(ended.err))} lines")
    return wrong + [f"{char!r} on the terminal" for char in unsafe(ended.out + ended.err)]


def error_lines(err: str) -> list[str]:
    """The lines of the error on standard error."""
    return err[err.index("Error: ") :].splitlines() if "Error: " in err else []


def unsafe(text: str) -> list[str]:
    """Control and direction characters in a text, except line ends."""
    characters = set(text) - {"\n"}
    return sorted(char for char in characters if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp"))


def unsafe_files(folder: Path) -> list[str]:
    """Unescaped control characters in files, and unescaped HTML in Markdown files."""
    wrong = []
    for path in (each for each in folder.rglob("*") if each.is_file()):
        text = path.read_text(encoding="utf-8")
        wrong += [f"{char!r} raw in {path.name}" for char in unsafe(text)]
        if path.suffix == ".md" and re.search("<(script|img|b)\\b", text):
            wrong.append(f"raw HTML in {path.name}")
    return wrong


def incomplete_versions(folder: Path) -> list[str]:
    """Problems that `verify` finds in the versions."""
    store = DescriptionStore(Workspace(folder))
    return [problem for name in store.list() for problem in store.verify(name)]


def _wrong_version(folder: Path) -> list[str]:
    store = DescriptionStore(Workspace(folder))
    if "mine" not in store.list():
        return ["no version at the end"]
    sizes = {len(member) for members in store.load("mine").members.values() for member in members}
    extra = [path.name for path in (folder / "descriptions").iterdir() if path.name != "mine"]
    return [f"{name} was left" for name in extra] + ([] if sizes == {3} else [f"descriptors: {sizes}"])


def unused_url() -> str:
    """A base URL at which no server listens."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"
