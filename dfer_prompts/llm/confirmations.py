"""Which addresses of a workspace's `dfer.yaml` the user has confirmed.

The file is in the user's configuration folder, so that a downloaded workspace cannot contain its own
confirmation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dfer_model.io import write_atomically

FILE = "confirmed-endpoints.json"


def confirmations_file() -> Path:
    """The file of confirmations: below XDG_CONFIG_HOME or ~/.config, or the system's configuration folder."""
    folder = Path(click.get_app_dir("dfer-prompts"))
    if not folder.is_absolute():  # a relative path would be inside the current folder
        folder = Path.home() / ".config" / "dfer-prompts"
    return folder / FILE


def is_confirmed(workspace: Path, base_url: str) -> bool:
    """Whether the user has confirmed this address for this workspace."""
    return _entry(workspace, base_url) in _confirmed()


def confirm(workspace: Path, base_url: str) -> None:
    """Store that the user confirmed the address for this workspace. Raises OSError."""
    entries = [*_confirmed(), _entry(workspace, base_url)]
    write_atomically(confirmations_file(), json.dumps(entries, indent=1) + "\n")


def _entry(workspace: Path, base_url: str) -> dict[str, Any]:
    return {"workspace": str(workspace.resolve()), "base_url": base_url}


def _confirmed() -> list[Any]:
    """All entries; empty if the file is missing or damaged."""
    try:
        entries = json.loads(confirmations_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return entries if isinstance(entries, list) else []
