"""Whatever a server, a disk or a kill does: a sentence, whole versions, and nothing paid for twice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfer_prompts.cli import main

from ..campaign import (
    CONCURRENCY,
    Refused,
    full_disk,
    kill_often,
    race,
    read_only,
    too_large_a_file,
    why_no_disks,
)
from ..endpoint import FakeEndpoint
from ..faults import COMMAND, FAULTS, Ended, Fault, error_lines, nobody, problems
from ..forks import Forks, forks


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`dfer-prompts` inside this process, down to its exit status."""
    # The SDK's waits between two attempts are not what is tested.
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)

    def command(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dfer-prompts", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return command


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_of_the_server_ends_as_it_must(
    fault: Fault, endpoint: FakeEndpoint, run: Callable[..., Ended], isolated: Path
) -> None:
    assert problems(fault, endpoint, run, isolated) == []


def test_a_refused_connection_is_told_at_once(run: Callable[..., Ended], isolated: Path) -> None:
    url = nobody()
    ended = run(*COMMAND, "--base-url", url, "--model", "tiny")
    assert ended.status == 1
    assert error_lines(ended.err) == [
        f"Error: no server at {url} (Connection refused)",
        "0 of 7 answers are stored; run the same command again to request the rest",
    ]
    assert not (isolated / "descriptions").exists()


@pytest.fixture(scope="module")
def processes() -> Iterator[Forks]:
    with forks() as started:
        yield started


def test_killed_at_random_moments_it_asks_again_only_what_was_under_way(
    endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    seen = kill_often(endpoint, processes, isolated, kills=4, seed=1)
    assert seen.kills == 4
    assert seen.arrived_and_asked_again == seen.halves == seen.said == []
    assert seen.asked == seen.requests + seen.asked_again
    assert seen.most_per_kill <= CONCURRENCY


def test_of_eight_writers_of_one_name_one_wins_and_seven_are_told(
    endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    ended = race(endpoint, processes, isolated)
    assert (ended.won, ended.told) == (1, 7), ended.others
    assert ended.halves == []


@pytest.fixture
def own_disks(tmp_path: Path) -> None:
    if why := why_no_disks(tmp_path):
        pytest.skip(f"no file system of one's own can be mounted here: {why}")


def check_refused(ended: Refused, says: str, *, stored: int, asked: int) -> None:
    """An error of a line or two, nothing half, and then only what is missing is asked."""
    assert (ended.status, ended.status_again) == (1, 0), ended.said
    assert says in ended.said[0]
    assert len(ended.said) <= 2
    assert (ended.stored, ended.asked) == (stored, asked)
    assert ended.asked_again == 7 - stored
    assert ended.left == ended.halves == []


def test_a_disk_that_is_full_of_answers_keeps_those(
    own_disks: None, endpoint: FakeEndpoint, isolated: Path
) -> None:
    ended = full_disk(endpoint, isolated, pages=3)
    check_refused(ended, "Error: No space left on device: ", stored=3, asked=4)
    assert ended.said[1].startswith("3 of 7 answers are stored")


def test_a_disk_that_is_too_full_for_the_version_keeps_the_answers(
    own_disks: None, endpoint: FakeEndpoint, isolated: Path
) -> None:
    check_refused(full_disk(endpoint, isolated, pages=9), "No space left on device: ", stored=7, asked=7)


def test_a_limit_on_files_is_told_like_a_full_disk(
    endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    ended = too_large_a_file(endpoint, processes, isolated)
    check_refused(ended, "Error: File too large: ", stored=7, asked=7)


def test_in_a_read_only_folder_nothing_is_asked(
    own_disks: None, endpoint: FakeEndpoint, processes: Forks, isolated: Path
) -> None:
    ended = read_only(endpoint, processes, isolated)
    check_refused(ended, "Error: Read-only file system: ", stored=0, asked=0)


@pytest.mark.parametrize("place", [".dfer", ".dfer/responses", "descriptions"])
def test_where_a_file_stands_in_place_of_a_folder_nothing_is_asked(
    endpoint: FakeEndpoint, run: Callable[..., Ended], isolated: Path, place: str
) -> None:
    (isolated / place).parent.mkdir(exist_ok=True)
    (isolated / place).write_text("", encoding="utf-8")
    ended = run(*COMMAND, "--base-url", endpoint.base_url, "--model", "tiny")
    assert ended.status == 1
    assert "Not a directory" in error_lines(ended.err)[0]
    assert len(error_lines(ended.err)) <= 2
    assert endpoint.asked == []
