"""Kills at random times, concurrent writers of one version, and disks that cannot be written.

`benchmarks/faults.py` runs many of each, the tests a few.
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
from .faults import COMMAND, error_lines, incomplete_versions
from .forks import Forked, Forks

CLASSES, SAMPLES, CONCURRENCY = 7, 6, 4
LATENCY_S = 0.04
LONGEST_S = 0.8  # about what a run without a kill takes
RequestId = tuple[str, int]  # prompt and seed, which differ between requests


@dataclass
class Kills:
    """Counts of a series of kills. The lists are empty if nothing is wrong."""

    kills: int = 0
    versions: int = 0
    expected: int = 0
    requested: int = 0
    repeated: int = 0  # requests in progress at a kill
    answered_not_stored: int = 0  # those of them that the server had answered
    most_per_kill: int = 0
    stored_and_repeated: list[RequestId] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def request_id(body: dict[str, Any]) -> RequestId:
    return body["messages"][0]["content"], body["seed"]


def stored_requests(folder: Path) -> set[RequestId]:
    records = [json.loads(path.read_text()) for path in (folder / ".dfer/responses").glob("*.json")]
    return {
        (each["request"]["messages"][0]["content"], each["request"]["sampling"]["seed"]) for each in records
    }


def kill_repeatedly(server: FakeEndpoint, forks: Forks, folder: Path, kills: int, seed: int) -> Kills:
    """Kill runs of `generate` at random times and repeat each run until its version is written.

    A request may be repeated only if its answer was not stored: at most `CONCURRENCY` per kill.
    """
    times = random.Random(seed)
    counts = Kills()
    server.latency = LATENCY_S
    while counts.kills < kills:
        _one_version(server, forks, folder, kills, times, counts)
    return counts


def _one_version(
    server: FakeEndpoint, forks: Forks, folder: Path, kills: int, times: random.Random, counts: Kills
) -> None:
    name = f"k{counts.versions}"
    command = (
        "generate", "--classes", "dfew", "--samples", str(SAMPLES), "--version", name, "--model", "tiny",
        "--base-url", server.base_url, "--concurrency", str(CONCURRENCY),
        "--seed", str(1 + SAMPLES * counts.versions),
    )  # fmt: skip
    server.requests.clear()
    server.answered.clear()
    before: set[RequestId] = set()
    in_progress: list[set[RequestId]] = []
    while name not in DescriptionStore(Workspace(folder)).list():
        begun = len(server.requests)
        process = forks.start(folder, *command)
        if counts.kills < kills:
            time.sleep(times.uniform(0, LONGEST_S))
            process.kill()
        status = process.wait()
        stored = stored_requests(folder)
        while server.concurrent:  # requests of the killed process
            time.sleep(0.005)
        requested = [request_id(body) for body in server.requests[begun:]]
        counts.stored_and_repeated += sorted(before & set(requested))
        counts.incomplete += incomplete_versions(folder)
        if status == -9:
            counts.kills += 1
            in_progress.append(set(requested) - stored)
        elif status != 0:
            counts.errors.append(process.text())
            break
        before = stored
    counts.versions += 1
    counts.expected += CLASSES * SAMPLES
    requested = [request_id(body) for body in server.requests]
    answered = [request_id(body) for body in server.answered]
    counts.requested += len(requested)
    counts.repeated += len(requested) - len(set(requested))
    counts.answered_not_stored += len(answered) - len(set(answered))
    counts.most_per_kill = max([counts.most_per_kill, *map(len, in_progress)])


@dataclass(frozen=True)
class Race:
    """How concurrent writers of one version ended."""

    won: int
    refused: int  # exit status 2, and a message that the name is taken
    others: list[str]
    incomplete: list[str]


def race(server: FakeEndpoint, forks: Forks, folder: Path, writers: int = 8) -> Race:
    """Start the writers, answer all of their requests at the same time, and count who writes the version."""
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
    refused = [process for status, process in ended if status == 2 and _says_taken(process)]
    others = [process.text() for status, process in ended if status != 0 and process not in refused]
    return Race(sum(status == 0 for status, _ in ended), len(refused), others, incomplete_versions(folder))


def _says_taken(process: Forked) -> bool:
    lines = error_lines(process.text())
    return bool(lines) and "the description set 'raced' already exists" in lines[0] and len(lines) <= 2


# A private mount namespace, in which a test mounts file systems of its own. Not every machine allows it.
NAMESPACE = ("unshare", "--map-root-user", "--mount")
DISK_BYTES = 65536
SMALL_DISK = ("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none")


def why_no_disks(folder: Path) -> str | None:
    """Why no file system can be mounted in a private namespace; None if it can."""
    try:
        tried = subprocess.run([*NAMESPACE, *SMALL_DISK, folder], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return " ".join(tried.stderr.split()) or "mount failed" if tried.returncode else None


@dataclass(frozen=True)
class WriteFailure:
    """How a run ended whose writes failed, and how the same command ended once they succeed."""

    status: int
    errors: list[str]
    stored: int
    requested: int
    left: list[str]  # content of `descriptions` after the failure
    status_again: int
    requested_again: int
    incomplete: list[str]


def full_disk(server: FakeEndpoint, processes: Forks, folder: Path, pages: int) -> WriteFailure:
    """A run on a file system with this many free pages of 4 KiB, and a second run after space is freed.

    The processes must run in a `NAMESPACE`.
    """
    assert processes.run(*SMALL_DISK, str(folder)) == 0
    inside = Path(f"/proc/{processes.pid}/root") / folder.relative_to("/")
    disk = os.statvfs(inside)
    assert disk.f_blocks * disk.f_frsize == DISK_BYTES, "this is not the small disk"
    filler = inside / "filler"
    filler.write_bytes(bytes(disk.f_frsize * (disk.f_bavail - pages)))
    return _fail_then_repeat(server, processes, folder, inside, repair=filler.unlink)


def read_only(server: FakeEndpoint, processes: Forks, folder: Path) -> WriteFailure:
    """A run in a read-only folder, and a second run once it is writable.

    The processes must run in a `NAMESPACE`.
    """
    assert processes.run("mount", "--bind", str(folder), str(folder)) == 0
    assert processes.run("mount", "-o", "remount,bind,ro", str(folder)) == 0

    def unmount() -> None:
        assert processes.run("umount", str(folder)) == 0

    return _fail_then_repeat(server, processes, folder, folder, repair=unmount)


def too_large_a_file(server: FakeEndpoint, processes: Forks, folder: Path) -> WriteFailure:
    """A run whose file size limit admits an answer and no version, and a second run without the limit."""
    return _fail_then_repeat(server, processes, folder, folder, repair=lambda: None, file_limit=4096)


def _fail_then_repeat(
    server: FakeEndpoint,
    processes: Forks,
    folder: Path,
    inside: Path,
    *,
    repair: Callable[[], None],
    file_limit: int | None = None,
) -> WriteFailure:
    command = (*COMMAND, "--model", "tiny", "--base-url", server.base_url, "--concurrency", "1")
    first = processes.start(folder, *command, file_limit=file_limit)
    status = first.wait()
    stored, requested = len(stored_requests(inside)), len(server.requests)
    versions = inside / "descriptions"
    left = sorted(path.name for path in versions.iterdir()) if versions.is_dir() else []
    repair()
    again = processes.start(folder, *command)
    return WriteFailure(
        status=status,
        errors=error_lines(first.text()),
        stored=stored,
        requested=requested,
        left=left,
        status_again=again.wait(),
        requested_again=len(server.requests) - requested,
        incomplete=incomplete_versions(inside),
    )
