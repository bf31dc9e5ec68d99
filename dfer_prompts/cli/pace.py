"""Elapsed time of long work, and the time remaining estimated from its recent speed."""

from __future__ import annotations

from collections import deque
from datetime import timedelta

RECENT_S = 900.0  # window of the estimate; at least the last two reports
APART_S = 1.0  # seconds between two reports that are both kept


class Pace:
    """The speed of work, from its reports: a time in seconds, units done, units in total.

    Units done at the first report are not work of this process. If the total changes or fewer units are done
    than before, a new stage has started, and earlier reports are dropped.
    """

    def __init__(self, now: float) -> None:
        self.begun, self.total = now, 0.0
        self.reports: deque[tuple[float, float]] = deque()

    def told(self, now: float, done: float, total: float) -> None:
        """Add a report."""
        if total != self.total or (self.reports and done < self.reports[-1][1]):
            self.reports.clear()
            self.total = total
        if len(self.reports) > 1 and now - self.reports[-2][0] < APART_S:
            self.reports.pop()
        self.reports.append((now, done))
        while len(self.reports) > 2 and now - self.reports[1][0] >= RECENT_S:
            self.reports.popleft()

    def left(self, now: float) -> float | None:
        """The seconds remaining; None until some work is done."""
        if not self.reports:
            return None
        (first, before), (last, done) = self.reports[0], self.reports[-1]
        if done <= before or last <= first:
            return None
        return max(0.0, (self.total - done) * (last - first) / (done - before) - (now - last))

    def says(self, now: float) -> str:
        """ "0:12:30 elapsed, 1:20:00 left"; "" in the first second."""
        if now - self.begun < 1:
            return ""
        left = self.left(now)
        return f"{clock(now - self.begun)} elapsed" + ("" if left is None else f", {clock(left)} left")


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: "1:20:00"."""
    return str(timedelta(seconds=int(seconds)))
