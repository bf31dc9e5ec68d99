"""The command line: one thin file per command, which parses, calls one function and prints its result."""

from __future__ import annotations

from .app import main

__all__ = ["main"]
