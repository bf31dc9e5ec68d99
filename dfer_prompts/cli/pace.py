"""How long work takes and will take, estimated from how far it has come lately."""

from __future__ import annotations

from collections import deque
from datetime import timedelta

RECENT_S = 900.0  # an estimate is of the last quarter of an hour, or of the last two reports
APART_S = 1.0  # seconds between two reports that are both kept


class Pace:
    """The speed of work, from what it reported: a time in seconds, units done, units in all.

    Units that were done at its first report are no work of this process. Where the number in all changes, or
    fewer are done than before, another stage has begun, and earlier reports say nothing of it.
    """

    def __init__(self, now: float) -> None:
        self.begun, self.total = now, 0.0
        self.reports: deque[tuple[float, float]] = deque()

    def told(self, now: float, done: float, total: float) -> None:
        """Take a report in."""
        if total != self.total or (self.reports and done < self.reports[-1][1]):
            self.reports.clear()
            self.total = total
        if len(self.reports) > 1 and now - self.reports[-2][0] < APART_S:
            self.reports.pop()
        self.reports.append((now, done))
        while len(self.reports) > 2 and now - self.reports[1][0] >= RECENT_S:
            self.reports.popleft()

    def left(self, now: float) -> float | None:
        """The seconds that are left, None where nothing has been done yet from which to tell."""
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
