"""The server's log on standard error."""

from __future__ import annotations

import sys
from datetime import datetime


def log(line: str) -> None:
    """Write a line with the time."""
    sys.stderr.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {line}\n")
    sys.stderr.flush()
