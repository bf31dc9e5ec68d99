"""What goes wrong between `generate` and a server, as a table: the fault, how it ends, what a person is told.

The faults meet the questions about one class of seven. `tests/prompts/llm/test_faults.py` runs the table
inside its process, `benchmarks/faults.py` with the program itself.
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

# What becomes of it: an answer that is read; a version after a retry; an error, and the answer asked again.
Ending = Literal["read", "retried", "told"]


@dataclass(frozen=True)
class Fault:
    """A way to fail, and how it must end.

    `says` is a pattern for what stands on standard error, `timeout` the limit in seconds that it needs.
    """

    name: str
    reply: Reply
    ending: Ending
    says: str = ""
    timeout: float | None = None

    def script(self, body: dict[str, Any], earlier: int) -> Reply | None:
        """The server's part: only the first attempt fails where a retry is to succeed."""
        meets = "of fear?" in body["messages"][0]["content"] and (self.ending != "retried" or earlier == 0)
        return self.reply if meets else None

    @property
    def arguments(self) -> tuple[str, ...]:
        """What is given to `dfer-prompts`."""
        return COMMAND if self.timeout is None else (*COMMAND, "--timeout", str(self.timeout))


def answers(status: int, **headers: str) -> Reply:
    return Reply(
        {"error": {"message": "try later"}}, status, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def edited(**changes: Any) -> Reply:
    """An answer that differs from a good one at its top."""
    body = {**completion(LIST), **changes}
    return Reply({key: value for key, value in body.items() if value is not ...})


HUGE = 20 * 2**20
FAULTS = (
    Fault("429 with Retry-After, once", answers(429, retry_after="0.02"), "retried"),
    Fault("429 without Retry-After, once", answers(429), "retried"),
    Fault("500, once", answers(500), "retried"),
    Fault("503, once", answers(503), "retried"),
    Fault("reset in mid-body, once", reset(GOOD), "retried"),
    Fault("body cut off, once", cut(GOOD), "retried"),
    Fault("429 for ever", answers(429, **QUICK), "told", "answers 429: try later"),
    Fault("500 for ever", answers(500, **QUICK), "told", "answers 500: try later"),
    Fault("503 for ever", answers(503, **QUICK), "told", "answers 503: try later"),
    Fault("reset in mid-body for ever", reset(GOOD), "told", "reset by peer"),
    Fault("body cut off for ever", cut(GOOD), "told", "closed the connection"),
    Fault("stalled body", stalled(GOOD), "told", "did not answer in time", timeout=0.3),
    Fault(
        "a byte at a time without end", endless(b'{"id": "', b"x", 0.02), "told", "in time| s", timeout=0.3
    ),
    Fault("much without end", endless(b'{"id": "'), "told", "more than 32 MiB"),
    Fault("20 MiB", Reply(completion(f"{LIST}\n" * (HUGE // len(LIST)))), "read"),
    Fault("invalid JSON", raw(GOOD[:-20]), "told", "malformed \\(not JSON\\)"),
    Fault("NUL bytes for a body", raw(b"\0" * 64), "told", "malformed \\(not JSON\\)"),
    Fault("nested 100,000 deep", raw(b"[" * 100_000), "told", "malformed \\(not JSON\\)"),
    Fault("an HTML page", Reply("<html>It works!</html>"), "told", "malformed \\(an HTML page"),
    Fault("nothing at all", raw(b""), "told", "malformed \\(empty body\\)"),
    Fault("no choices", edited(choices=...), "told", "no choices"),
    Fault("choices: null", edited(choices=None), "told", "no choices"),
    Fault("empty content", Reply(completion("")), "told", "empty \\(no text\\)"),
    Fault("content: null", Reply(completion(None)), "told", "empty \\(no text\\)"),
    Fault("a refusal with escape sequences", Reply(completion(None, refusal=NASTY_WORDS)), "told", "refused"),
    Fault(
        "an error with escape sequences",
        Reply({"error": {"message": NASTY_WORDS}}, 500, QUICK),
        "told",
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
    """What is not as it must be when the fault meets a run, and then, repaired, the same command again."""
    server.script = fault.script
    command = (*fault.arguments, "--base-url", server.base_url, "--model", "tiny")
    first = run(*command)
    wrong = _told_wrong(fault, first) + unsafe_files(folder)
    if fault.ending == "told":
        kept = len(list((folder / ".dfer/responses").glob("*.json")))
        if any((folder / "descriptions").glob("*")):
            wrong.append("a version was left")
        if kept < CLASSES - 1:
            wrong.append(f"only {kept} of {CLASSES - 1} answers are stored")
        server.asked.clear()
        server.script = lambda body, earlier: None
        again = run(*command)
        wrong += _told_wrong(Fault("repaired", Reply(), "read"), again)
        if len(server.asked) != 1:
            wrong.append(f"asked {len(server.asked)} again, not 1")
    else:
        attempts = CLASSES + (fault.ending == "retried")
        if len(server.asked) != attempts:
            wrong.append(f"asked {len(server.asked)} times, not {attempts}")
        wrong += _told_wrong(fault, run("descriptions", "show", "mine"))
    return wrong + unsafe_files(folder) + half_versions(folder) + _wrong_version(folder)


def _told_wrong(fault: Fault, ended: Ended) -> list[str]:
    wrong = []
    expected = 1 if fault.ending == "told" else 0
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
    """The control and direction characters in a text, but for ends of lines."""
    characters = set(text) - {"\n"}
    return sorted(char for char in characters if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp"))


def unsafe_files(folder: Path) -> list[str]:
    """Control characters that stand raw in a file, and HTML that stands raw in a page."""
    wrong = []
    for path in (each for each in folder.rglob("*") if each.is_file()):
        text = path.read_text(encoding="utf-8")
        wrong += [f"{char!r} raw in {path.name}" for char in unsafe(text)]
        if path.suffix == ".md" and re.search("<(script|img|b)\\b", text):
            wrong.append(f"raw HTML in {path.name}")
    return wrong


def half_versions(folder: Path) -> list[str]:
    """What `verify` says of the versions there are."""
    store = DescriptionStore(Workspace(folder))
    return [problem for name in store.list() for problem in store.verify(name)]


def _wrong_version(folder: Path) -> list[str]:
    store = DescriptionStore(Workspace(folder))
    if "mine" not in store.list():
        return ["no version at the end"]
    sizes = {len(member) for members in store.load("mine").members.values() for member in members}
    extra = [path.name for path in (folder / "descriptions").iterdir() if path.name != "mine"]
    return [f"{name} was left" for name in extra] + ([] if sizes == {3} else [f"descriptors: {sizes}"])


def nobody() -> str:
    """A base URL at which nothing answers."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"
