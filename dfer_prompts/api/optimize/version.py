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
from ...optimization.edits import State, changes
from ...optimization.log import FOLDER, SUFFIX
from ...provenance import chosen_set
from ...workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips

    from .result import FinalSet, Optimized
    from .rounds import Search


def optimized_set(
    of: DescriptionSet,
    clips: PackedClips,
    folds: tuple[int, ...],
    search: Search,
    result: FinalSet,
    requests: EditRequests,
    settings: Settings,
    how: Mapping[str, int],
) -> DescriptionSet:
    """The unsaved version; its manifest has the template, the model and the sampling of the edits.

    `how` are the rounds, proposals and seed of the call.
    """
    from dfer_model.runs import weights_identity

    gain = result.confirmed.gain
    derivation = {
        "command": "optimize",
        "of": of.name,
        "dataset": clips.name,
        "folds": list(folds),
        **how,
        "clip": settings.clip,
        "weights": weights_identity(settings),
        "frames": settings.frames,
        "normalize": settings.normalize,
        "uar_of_the_first": search.first.uar,
        "uar_on_the_clips_that_chose": result.choosing_uar,
        "confirmed_gain": [round(each, 2) for each in (gain.value, gain.low, gain.high)],
        "changes": changes(search.start, result.state),
    }
    seen = Seen(dataset=clips.name, fingerprint=clips.fingerprint, folds=tuple(sorted(folds)))
    draft = chosen_set(of, result.state, seen, derivation)
    template = requests.template
    changed = {
        "source": "mixed",
        "control": None,  # an edited control is no longer a control
        "template": template.name,
        "template_sha256": template.sha256,
        "template_text": template.text,
        "model": requests.endpoint.model_title,
        "base_url": requests.endpoint.base_url,
        "sampling": requests.sampling.model_dump(exclude_none=True),
    }
    return replace(draft, manifest=draft.manifest.model_copy(update=changed))


def log_path(
    place: Workspace,
    saved: DescriptionSet | None,
    requests: EditRequests,
    start: State,
    dataset: str,
    folds: tuple[int, ...],
) -> Path:
    """The log's file, named by the version; without a version by a digest of the settings."""
    facts = json.dumps([_settings_line(requests, start), dataset, folds])
    unchanged = f"no-change-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    return place.root / FOLDER / f"{saved.name if saved else unchanged}{SUFFIX}"


def write_log(made: Optimized, requests: EditRequests) -> None:
    """Write the settings, every round and the result, one line each."""
    lines = [
        _settings_line(requests, made.search.start),
        *(each.as_dict() for each in made.search.rounds),
        {"kind": "result", **made.as_dict()},
    ]
    write_atomically(made.log, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines))


def _settings_line(requests: EditRequests, start: State) -> dict[str, Any]:
    """The first line of the log."""
    return {
        "kind": "settings",
        "model": requests.endpoint.model_title,
        "base_url": requests.endpoint.base_url,
        "template_sha256": requests.template.sha256,
        "sampling": requests.sampling.model_dump(exclude_none=True),
        "first": {name: list(own) for name, own in start.items()},
    }
