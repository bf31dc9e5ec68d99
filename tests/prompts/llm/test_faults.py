"""Server faults, disk errors and kills: one error message, complete versions, no repeated requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfer_prompts.cli import main

from ..endpoint import FakeEndpoint
from ..faults import COMMAND, FAULTS, Ended, Fault, error_lines, problems, unused_url
from ..forks import Forks, forks
from ..process_faults import (
    CONCURRENCY,
    NAMESPACE,
    WriteFailure,
    full_disk,
    kill_repeatedly,
    race,
    read_only,
    too_large_a_file,
    why_no_disks,
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `dfer-prompts` in-process."""
    # Shorten the SDK's waits between attempts.
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)

    def command(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dfer-prompts", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return command


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_server_fault_has_the_expected_ending(
    fault: Fault, endpoint: FakeEndpoint, run: Callable[..., Ended], isolated: Path
) -> None:
    assert problems(fault, endpoint, run, isolated) == []


def test_a_refused_connection_is_one_error(run: Callable[..., Ended], isolated: Path) -> None:
    url = unused_url()
    ended = run(*COMMAND, "--base-url", url, "--model", "tiny")
    assert ended.status == 1
    assert error_lines(ended.err) == [
        f"Error: no server at {url} (Connection refused)",
        "0 of 7 answers are stored; run the same command again to request the rest",
    ]
    assert not (isolated / "descriptions").exists()


@pytest.fixture(scope="module")
def no_disks(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """Why no file system can be mounted here; None if it can."""
    return why_no_disks(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def processes(no_disks: str | None) -> Iterator[Forks]:
    with forks(*(() if no_disks else NAMESPACE)) as started:
        yield started


def test_after_kills_only_unfinished_requests_are_repeated(
    endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    counts = kill_repeatedly(endpoint, processes, isolated, kills=3, seed=1)
    assert counts.kills == 3
    assert counts.stored_and_repeated == counts.incomplete == counts.errors == []
    assert counts.requested == counts.expected + counts.repeated
    assert counts.most_per_kill <= CONCURRENCY


def test_one_of_four_concurrent_writers_of_a_version_succeeds(
    endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    ended = race(endpoint, processes, isolated, writers=4)
    assert (ended.won, ended.refused) == (1, 3), ended.others
    assert ended.incomplete == []


@pytest.fixture
def disks(no_disks: str | None) -> None:
    if no_disks:
        pytest.skip(f"no file system can be mounted here: {no_disks}")


def check_failure(ended: WriteFailure, message: str, *, stored: int, requested: int) -> None:
    """One or two lines of error, no incomplete version, and a second run requests only what is missing."""
    assert (ended.status, ended.status_again) == (1, 0), ended.errors
    assert message in ended.errors[0]
    assert len(ended.errors) <= 2
    assert (ended.stored, ended.requested) == (stored, requested)
    assert ended.requested_again == 7 - stored
    assert ended.left == ended.incomplete == []


def test_answers_stored_before_the_disk_was_full_are_reused(
    disks: None, endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    ended = full_disk(endpoint, processes, isolated, pages=3)
    check_failure(ended, "Error: No space left on device: ", stored=3, requested=4)
    assert ended.errors[1].startswith("3 of 7 answers are stored")


def test_answers_are_kept_if_the_version_does_not_fit_on_the_disk(
    disks: None, endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    ended = full_disk(endpoint, processes, isolated, pages=9)
    check_failure(ended, "No space left on device: ", stored=7, requested=7)


def test_a_file_size_limit_is_reported_like_a_full_disk(
    endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    ended = too_large_a_file(endpoint, processes, isolated)
    check_failure(ended, "Error: File too large: ", stored=7, requested=7)


def test_nothing_is_requested_in_a_read_only_folder(
    disks: None, endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    ended = read_only(endpoint, processes, isolated)
    check_failure(ended, "Error: Read-only file system: ", stored=0, requested=0)


@pytest.mark.parametrize("place", [".dfer", ".dfer/responses", "descriptions"])
def test_nothing_is_requested_if_a_folder_is_a_file(
    endpoint: FakeEndpoint, run: Callable[..., Ended], isolated: Path, place: str
) -> None:
    (isolated / place).parent.mkdir(exist_ok=True)
    (isolated / place).write_text("", encoding="utf-8")
    ended = run(*COMMAND, "--base-url", endpoint.base_url, "--model", "tiny")
    assert ended.status == 1
    assert "Not a directory" in error_lines(ended.err)[0]
    assert len(error_lines(ended.err)) <= 2
    assert endpoint.requests == []
