"""What an optimisation writes: the version with its manifest, and the log of all rounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_model.io import write_atomically

from ...description_set import DescriptionSet, Seen
from ...optimization.edit_requests import EditRequests
from ...optimization.edits import State
from ...provenance import chosen_set
from ...workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips

    from .result import Optimized

FOLDER = "optimizations"  # of the logs, in the workspace


def optimized_set(
    of: DescriptionSet, final: State, seen: Seen, requests: EditRequests, derivation: Mapping[str, Any]
) -> DescriptionSet:
    """The unsaved version; its manifest has the template, the model and the sampling of the edits."""
    draft = chosen_set(of, final, seen, derivation)
    template = requests.template
    changed = {
        "source": "mixed",
        "control": None,
        "template": template.name,
        "template_sha256": template.sha256,
        "template_text": template.text,
        "model": requests.endpoint.model_title,
        "base_url": requests.endpoint.base_url,
        "sampling": requests.sampling.model_dump(exclude_none=True),
    }
    return replace(draft, manifest=draft.manifest.model_copy(update=changed))


def model_settings(settings: Settings) -> dict[str, Any]:
    """The CLIP and the frames behind the scores, for the manifest."""
    from dfer_model.runs import weights_identity

    return {
        "clip": settings.clip,
        "weights": weights_identity(settings),
        "frames": settings.frames,
        "normalize": settings.normalize,
    }


def log_path(
    place: Workspace,
    version: str | None,
    clips: PackedClips,
    folds: tuple[int, ...],
    log_settings: Mapping[str, Any],
) -> Path:
    """The log's file, named by the version; without a version by a digest of the settings."""
    facts = json.dumps([log_settings, clips.name, folds])
    unchanged = f"no-change-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    return place.root / FOLDER / f"{version or unchanged}.jsonl"


def first_line(requests: EditRequests, start: State) -> dict[str, Any]:
    """The first line of the log: the settings."""
    return {
        "kind": "settings",
        "model": requests.endpoint.model_title,
        "base_url": requests.endpoint.base_url,
        "template_sha256": requests.template.sha256,
        "sampling": requests.sampling.model_dump(exclude_none=True),
        "first": {name: list(own) for name, own in start.items()},
    }


def write_log(made: Optimized, log_settings: Mapping[str, Any]) -> None:
    """Write the settings, every round and the result, one line each."""
    lines = [
        log_settings,
        *(each.as_dict() for each in made.search.rounds),
        {"kind": "result", **made.as_dict()},
    ]
    write_atomically(made.log, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines))
