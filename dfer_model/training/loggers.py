"""Logging the figures of each epoch to TensorBoard, W&B and the other trackers of Accelerate.

Trackers receive what the run's own files contain. No result depends on them; a tracker that fails is switched
off and the training continues.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dfer_model.errors import InputError, unknown
from dfer_model.runs import RunSpec

DEFAULT = "tensorboard"
OFF = "none"
PROJECT = "dfer-prompts"
INSTALLING = {DEFAULT: "'dfer-prompts[track]'"}
WANDB_URL = "https://api.wandb.ai"
REACH_S = 3.0
SHOWN = {"uar": "UAR", "war": "WAR", "macro_f1": "macro-F1"}


def chosen_trackers(given: Iterable[str] | None) -> list[str]:
    """The trackers of these names without duplicates; for None TensorBoard if installed, for `none` nothing.

    Raises InputError for a name that Accelerate does not know, or a tracker that is not installed.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    installed = {str(each) for each in get_available_trackers()}
    if given is None:
        return [DEFAULT] if DEFAULT in installed else []
    names = list(dict.fromkeys(given))
    if OFF in names:
        if len(names) > 1:
            raise InputError("--track none excludes other trackers\nGive the others without it")
        return []
    known = sorted(str(each) for each in LOGGER_TYPE_TO_CLASS)
    for name in names:
        if name not in known:
            raise unknown("tracker", name, [*known, OFF])
        if name not in installed:
            how = f"pip install {INSTALLING.get(name, name)}"
            raise InputError(f"the tracker {name} is not installed\nInstall it ({how}), or give --track none")
    return names


class Tracking:
    """The trackers of one training. With several processes, only the first has any."""

    def __init__(self, names: Iterable[str] = (), note: Callable[[str], None] = lambda _: None) -> None:
        self._names, self._note = list(names), note
        self._trackers: dict[str, Any] = {}

    def begin(self, spec: RunSpec, folder: Path, epoch: int) -> None:
        """Start each tracker for the run in `folder`, of which `epoch` epochs are complete."""
        for name in self._names:
            self._try(name, partial(self._open, name, spec, folder, epoch))

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Log a row of metrics.jsonl: loss, learning rates, and the measures that select the epoch."""
        values = {"loss": row["loss"]}
        values |= {f"lr/{part}": rate for part, rate in row["lr"].items()}
        for clips in ("val", "test"):
            values |= {f"{clips}/{SHOWN[key]}": value for key, value in row.get(clips, {}).items()}
        self._log(values, row["epoch"])

    def result(self, result: Mapping[str, Any]) -> None:
        """Log the measures of result.json for each selection rule, at the epoch it selected."""
        for selection, measured in result["measures"].items():
            values = {f"{selection}/{shown}": measured[key] for key, shown in SHOWN.items()}
            self._log(values, result["epochs"][selection])

    def end(self) -> None:
        """Close all trackers."""
        for name in [*self._trackers]:
            self._try(name, self._trackers[name].finish)
        self._trackers.clear()

    def _open(self, name: str, spec: RunSpec, folder: Path, epoch: int) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        kind = LOGGER_TYPE_TO_CLASS[name]
        given: dict[str, Any] = {"logging_dir": str(folder)} if kind.requires_logging_directory else {}
        if name == "tensorboard":
            tracker = kind("tensorboard", **given)
        elif name == "wandb":
            tracker = kind(PROJECT, **given, name=folder.name, dir=str(folder), **wandb_options())
        else:
            tracker = kind(folder.name, **given)
        tracker.start()
        self._trackers[name] = tracker
        if not epoch:
            tracker.store_init_configuration({"run": folder.name, "title": spec.title, **plain(spec)})

    def _log(self, values: Mapping[str, Any], step: int) -> None:
        known = {key: value for key, value in values.items() if value is not None}
        for name in [*self._trackers]:
            self._try(name, partial(self._trackers[name].log, known, step=step))

    def _try(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the training continues whatever a tracker raises
            self._trackers.pop(name, None)
            reason = str(error).partition("\n")[0][:200] or type(error).__name__
            self._note(f"{name} failed and no longer logs this training: {reason}")


def plain(spec: RunSpec) -> dict[str, str | int | float | bool]:
    """Settings, fold, seed and name of the texts, in types that every tracker accepts."""
    settings = spec.settings.model_dump(mode="json") | {"fold": spec.fold, "seed": spec.seed}
    return {
        key: value if isinstance(value, str | int | float | bool) else json.dumps(value)
        for key, value in (settings | {"descriptions": spec.texts.name}).items()
    }


def wandb_options() -> dict[str, Any]:
    """Options to start W&B: silent, and offline unless it has a key and its server is reachable.

    Online it would prompt for a missing key and wait for a missing network. WANDB_MODE overrides this;
    `wandb sync` uploads offline runs later. A settings file in the current folder, which may have come with a
    download, cannot redirect the key: only the environment and the user's own settings set the server.
    """
    settings: dict[str, Any] = {"console": "off", "silent": True}
    if _folder_names_a_server():
        settings["base_url"] = os.environ.get("WANDB_BASE_URL") or WANDB_URL
    mode = os.environ.get("WANDB_MODE") or ("online" if _wandb_answers() else "offline")
    return {"mode": mode, "settings": settings}


def _folder_names_a_server() -> bool:
    """Whether W&B's settings in the current folder set its server, or cannot be read."""
    for path in (Path("wandb", "settings"), Path(".wandb", "settings")):
        try:
            if "base_url" in path.read_text(encoding="utf-8").casefold():
                return True
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            return True
    return False


def _wandb_answers() -> bool:
    """Whether W&B has a key, from the environment or its login, and its server accepts a connection."""
    server = urlsplit(os.environ.get("WANDB_BASE_URL") or WANDB_URL)
    host, port = server.hostname or "", server.port or (80 if server.scheme == "http" else 443)
    try:
        if not os.environ.get("WANDB_API_KEY") and not netrc(os.environ.get("NETRC")).authenticators(host):
            return False
        with socket.create_connection((host, port), timeout=REACH_S):
            return True
    except (OSError, NetrcParseError):
        return False
