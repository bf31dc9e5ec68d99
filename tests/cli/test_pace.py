"""The estimate of the time that is left."""

from __future__ import annotations

import pytest

from dfer_prompts.cli import output
from dfer_prompts.cli.output import Pace


def paced(*reports: tuple[float, float, float]) -> Pace:
    pace = Pace(0.0)
    for report in reports:
        pace.add(*report)
    return pace


@pytest.mark.parametrize(
    ("reports", "now", "says"),
    [
        ([(5, 0, 10)], 5, "0:00:05 elapsed"),
        ([], 0.5, ""),
        # An epoch of two minutes: 9 more of them are left, and half a minute later half a minute less.
        ([(0, 0, 10), (120, 1, 10)], 120, "0:02:00 elapsed, 0:18:00 left"),
        ([(0, 0, 10), (120, 1, 10)], 150, "0:02:30 elapsed, 0:17:30 left"),
        # Within an epoch: a quarter of the first of 2 after a minute.
        ([(0, 0, 2), (60, 0.25, 2)], 60, "0:01:00 elapsed, 0:07:00 left"),
        # Resumed after epoch 8 of 10: what another process did is no sign of speed.
        ([(10, 8, 10), (110, 9, 10)], 110, "0:01:50 elapsed, 0:01:40 left"),
        # Another stage, with another number of units or from the beginning.
        ([(0, 0, 100), (10, 100, 100), (10, 0, 4), (20, 1, 4)], 20, "0:00:20 elapsed, 0:00:30 left"),
        ([(0, 0, 9), (9, 9, 9), (10, 1, 9), (20, 3, 9)], 20, "0:00:20 elapsed, 0:00:30 left"),
        # It is faster since a quarter of an hour: 10 units in 1000 s, then 10 in each 100 s.
        (
            [(0, 0, 200), (1000, 10, 200), *((1000 + 100 * n, 10 + 10 * n, 200) for n in range(1, 10))],
            1900,
            "0:31:40 elapsed, 0:16:40 left",
        ),
    ],
)
def test_elapsed_and_left(reports: list[tuple[float, float, float]], now: float, says: str) -> None:
    assert paced(*reports).text(now).endswith(says)


def test_progress_lines_have_elapsed_and_remaining_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch of 100 steps of 4 s each: nothing is whole for minutes, and the lines say when it will be."""
    seconds = 0.0
    monkeypatch.setattr(output.time, "monotonic", lambda: seconds)
    with output.progress("epochs") as report:
        report(0, 2, "reading CLIP")
        for step in range(1, 21):
            seconds = 4.0 * step
            report(step / 100, 2, f"epoch 1, step {step} of 100")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epochs: 0/2 reading CLIP"
    assert lines[1] == "epochs: 0/2 epoch 1, step 8 of 100; 0:00:32 elapsed, 0:12:48 left"
    assert lines[-1] == "epochs: 0/2 epoch 1, step 20 of 100; 0:01:20 elapsed, 0:12:00 left"
    assert len(lines) == 4  # a line every half minute, and one at a tenth of the work
