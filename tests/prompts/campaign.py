"""Kills at random moments, many writers of one name, disks that refuse.

`benchmarks/faults.py` runs it at length, the tests in short.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfer_prompts import DescriptionStore, Workspace

from .endpoint import FakeEndpoint, Reply
from .faults import COMMAND, error_lines, half_versions
from .forks import Forked, Forks, forks

CLASSES, SAMPLES, CONCURRENCY = 7, 6, 4
LATENCY_S = 0.04
LONGEST_S = 0.8  # about what a run without a kill takes
Question = tuple[str, int]  # prompt and seed: what tells one request from another


@dataclass
class Kills:
    """What a series of kills has shown; the lists are empty when all is well."""

    kills: int = 0
    versions: int = 0
    requests: int = 0
    asked: int = 0
    asked_again: int = 0  # requests that were under way at a kill
    on_the_wire: int = 0  # those of them that the server had answered, and the process had not stored
    most_per_kill: int = 0
    arrived_and_asked_again: list[Question] = field(default_factory=list)
    halves: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def question(body: dict[str, Any]) -> Question:
    return body["messages"][0]["content"], body["seed"]


def stored(folder: Path) -> set[Question]:
    records = [json.loads(path.read_text()) for path in (folder / ".dfer/responses").glob("*.json")]
    return {
        (each["request"]["messages"][0]["content"], each["request"]["sampling"]["seed"]) for each in records
    }


def kill_often(server: FakeEndpoint, forks: Forks, folder: Path, kills: int, seed: int) -> Kills:
    """Kill runs of `generate` at random moments, each version's runs until it is written, and count.

    A request may be asked again only when it had not arrived: of one kill these are `CONCURRENCY` at most.
    """
    moments = random.Random(seed)
    seen = Kills()
    server.latency = LATENCY_S
    while seen.kills < kills:
        _one_version(server, forks, folder, kills, moments, seen)
    return seen


def _one_version(
    server: FakeEndpoint, forks: Forks, folder: Path, kills: int, moments: random.Random, seen: Kills
) -> None:
    name = f"k{seen.versions}"
    command = (
        "generate", "--classes", "dfew", "--samples", str(SAMPLES), "--version", name, "--model", "tiny",
        "--base-url", server.base_url, "--concurrency", str(CONCURRENCY),
        "--seed", str(1 + SAMPLES * seen.versions),
    )  # fmt: skip
    server.asked.clear()
    server.answered.clear()
    before: set[Question] = set()
    under_way: list[set[Question]] = []
    while name not in DescriptionStore(Workspace(folder)).list():
        begun = len(server.asked)
        process = forks.start(folder, *command)
        if seen.kills < kills:
            time.sleep(moments.uniform(0, LONGEST_S))
            process.kill()
        status = process.wait()
        had = stored(folder)
        while server.at_once:  # what the server still works on for nobody
            time.sleep(0.005)
        asked = [question(body) for body in server.asked[begun:]]
        seen.arrived_and_asked_again += sorted(before & set(asked))
        seen.halves += half_versions(folder)
        if status == -9:
            seen.kills += 1
            under_way.append(set(asked) - had)
        elif status != 0:
            seen.said.append(process.text())
            break
        before = had
    seen.versions += 1
    seen.requests += CLASSES * SAMPLES
    everything = [question(body) for body in server.asked]
    answered = [question(body) for body in server.answered]
    seen.asked += len(everything)
    seen.asked_again += len(everything) - len(set(everything))
    seen.on_the_wire += len(answered) - len(set(answered))
    seen.most_per_kill = max([seen.most_per_kill, *map(len, under_way)])


@dataclass(frozen=True)
class Race:
    """How the writers of one name ended."""

    won: int
    told: int  # exit status 2 and a sentence that the name is taken
    others: list[str]
    halves: list[str]


def race(server: FakeEndpoint, forks: Forks, folder: Path, writers: int = 8) -> Race:
    """Let all ask first, answer them in the same moment, and see who gets the name."""
    together = threading.Barrier(writers * CLASSES, timeout=30)

    def script(body: dict[str, Any], earlier: int) -> Reply | None:
        together.wait()
        return None

    server.script = script
    command = (
        "generate", "--classes", "dfew", "--samples", "1", "--version", "raced", "--model", "tiny",
        "--base-url", server.base_url,
    )  # fmt: skip
    processes = [forks.start(folder, *command) for _ in range(writers)]
    ended = [(process.wait(), process) for process in processes]
    told = [process for status, process in ended if status == 2 and _says_taken(process)]
    others = [process.text() for status, process in ended if status != 0 and process not in told]
    return Race(sum(status == 0 for status, _ in ended), len(told), others, half_versions(folder))


def _says_taken(process: Forked) -> bool:
    lines = error_lines(process.text())
    return bool(lines) and "the description set 'raced' already exists" in lines[0] and len(lines) <= 2


# A file system of the test's own is a matter of a namespace, which not every machine lets everybody have.
PRIVATE = ("unshare", "--map-root-user", "--mount", "sh", "-c")
DISK_BYTES = 65536
SMALL_DISK = (*PRIVATE, f'mount -t tmpfs -o size={DISK_BYTES} none "$0" && exec "$@"')
READ_ONLY = (*PRIVATE, 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"')


def why_no_disks(folder: Path) -> str | None:
    """Why a file system of one's own cannot be had here; None where it can."""
    try:
        tried = subprocess.run([*SMALL_DISK, folder, "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return " ".join(tried.stderr.split()) or "mount failed" if tried.returncode else None


@dataclass(frozen=True)
class Refused:
    """What a person is told when the disk refuses, and what the same command does once it does not."""

    status: int
    said: list[str]
    stored: int
    asked: int
    left: list[str]  # what lies in `descriptions` after the refusal
    status_again: int
    asked_again: int
    halves: list[str]


def full_disk(server: FakeEndpoint, folder: Path, pages: int) -> Refused:
    """A run on a file system with this much room, 4 KiB each, and another after room is made."""
    with forks(*SMALL_DISK, str(folder)) as processes:
        inside = Path(f"/proc/{processes.pid}/root") / folder.relative_to("/")
        disk = os.statvfs(inside)
        assert disk.f_blocks * disk.f_frsize == DISK_BYTES, "this is not the small disk"
        filler = inside / "filler"
        filler.write_bytes(bytes(disk.f_frsize * (disk.f_bavail - pages)))
        return _refused(server, processes, folder, inside, mend=filler.unlink)


def read_only(server: FakeEndpoint, processes: Forks, folder: Path) -> Refused:
    """A run in a folder that may not be written, and another where it may."""
    with forks(*READ_ONLY, str(folder)) as refusing:
        return _refused(server, refusing, folder, folder, mend=lambda: None, then=processes)


def too_large_a_file(server: FakeEndpoint, processes: Forks, folder: Path) -> Refused:
    """A run that may write an answer but, by its limit on files, not a version; and one without the limit."""
    return _refused(server, processes, folder, folder, mend=lambda: None, file_limit=4096)


def _refused(
    server: FakeEndpoint,
    refusing: Forks,
    folder: Path,
    inside: Path,
    *,
    mend: Callable[[], None],
    then: Forks | None = None,
    file_limit: int | None = None,
) -> Refused:
    command = (*COMMAND, "--model", "tiny", "--base-url", server.base_url, "--concurrency", "1")
    first = refusing.start(folder, *command, file_limit=file_limit)
    status = first.wait()
    kept, asked = len(stored(inside)), len(server.asked)
    versions = inside / "descriptions"
    left = sorted(path.name for path in versions.iterdir()) if versions.is_dir() else []
    mend()
    again = (then or refusing).start(folder, *command)
    return Refused(
        status=status,
        said=error_lines(first.text()),
        stored=kept,
        asked=asked,
        left=left,
        status_again=again.wait(),
        asked_again=len(server.asked) - asked,
        halves=half_versions(inside),
    )
