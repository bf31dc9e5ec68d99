"""Which addresses of a workspace's `dfer.yaml` the user has confirmed.

The file stands in the user's own configuration folder, so that a workspace from elsewhere cannot bring its
own confirmation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dfer_model.io import write_atomically

FILE = "confirmed-endpoints.json"


def confirmations_file() -> Path:
    """Where the user's confirmations stand: below XDG_CONFIG_HOME or ~/.config, or the system's own place."""
    folder = Path(click.get_app_dir("dfer-prompts"))
    if not folder.is_absolute():  # it would lie inside whatever folder the command runs in
        folder = Path.home() / ".config" / "dfer-prompts"
    return folder / FILE


def is_confirmed(workspace: Path, base_url: str) -> bool:
    """Whether the user has confirmed this address for the workspace in this folder."""
    return _entry(workspace, base_url) in _confirmed()


def confirm(workspace: Path, base_url: str) -> None:
    """Remember that the user confirmed the address for this workspace. Raises OSError as the system does."""
    entries = [*_confirmed(), _entry(workspace, base_url)]
    write_atomically(confirmations_file(), json.dumps(entries, indent=1) + "\n")


def _entry(workspace: Path, base_url: str) -> dict[str, Any]:
    return {"workspace": str(workspace.resolve()), "base_url": base_url}


def _confirmed() -> list[Any]:
    """All entries; none where the file is missing or damaged."""
    try:
        entries = json.loads(confirmations_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return entries if isinstance(entries, list) else []
