"""What an optimisation writes: the version with its manifest, and the log of all rounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_model.io import write_atomically

from ...description_set import DescriptionSet, Seen
from ...optimization.edit_requests import EditRequests
from ...optimization.edits import State, changes
from ...optimization.log import FOLDER, SUFFIX
from ...provenance import chosen_set
from ...versions.store import DescriptionStore
from ...workspace import Workspace
from .clip_roles import ClipRoles
from .controls import ControlSet
from .result import FinalSet, Optimized
from .rounds import Search

if TYPE_CHECKING:
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips


@dataclass(frozen=True)
class Optimization:
    """A finished search with all that its version, log and result are made of.

    `how` are the rounds, proposals and seed of the call.
    """

    of: DescriptionSet
    clips: PackedClips
    folds: tuple[int, ...]
    test_fold: int | None
    roles: ClipRoles
    search: Search
    requests: EditRequests
    settings: Settings
    how: Mapping[str, int]

    def finish(
        self, final: State, controls: Mapping[str, ControlSet], place: Workspace, version: str | None
    ) -> Optimized:
        """Save the set `final` as a version if it is changed, write the log, and return the result."""
        store, roles, start = DescriptionStore(place), self.roles, self.search.start
        result = roles.final_set(start, final)
        saved = store.save(self._draft(result), version, self.requests.rows()) if final != start else None
        optimized = Optimized(
            descriptions=saved,
            folder=store.path(saved.name) if saved else None,
            of=self.of.name,
            log=self._log(place, saved),
            dataset=self.clips.name,
            folds=self.folds,
            confirming_folds=tuple(sorted(set(roles.confirming.folds.tolist()))),
            test_fold=self.test_fold,
            clips=roles.sizes(),
            result=result,
            controls={
                name: replace(roles.final_set(start, each.state), uar_by_round=each.uar_by_round)
                for name, each in controls.items()
            },
            beside_controls={name: roles.difference(final, each.state) for name, each in controls.items()},
            search=self.search,
            requests=self.requests.sent,
            found=self.requests.found,
            tokens=self.requests.tokens(),
        )
        lines = [
            _settings_line(self.requests, start),
            *(each.as_dict() for each in self.search.rounds),
            {"kind": "result", **optimized.as_dict()},
        ]
        text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines)
        write_atomically(optimized.log, text)
        return optimized

    def _draft(self, result: FinalSet) -> DescriptionSet:
        """The unsaved version; its manifest has the template, the model and the sampling of the edits."""
        from dfer_model.runs import weights_identity

        clips, settings, gain = self.clips, self.settings, result.confirmed.gain
        derivation = {
            "command": "optimize",
            "of": self.of.name,
            "dataset": clips.name,
            "folds": list(self.folds),
            **self.how,
            "clip": settings.clip,
            "weights": weights_identity(settings),
            "frames": settings.frames,
            "normalize": settings.normalize,
            "uar_of_the_first": self.search.first.uar,
            "uar_on_the_clips_that_chose": result.choosing_uar,
            "confirmed_gain": [round(each, 2) for each in (gain.value, gain.low, gain.high)],
            "changes": changes(self.search.start, result.state),
        }
        seen = Seen(dataset=clips.name, fingerprint=clips.fingerprint, folds=tuple(sorted(self.folds)))
        draft = chosen_set(self.of, result.state, seen, derivation)
        template, endpoint = self.requests.template, self.requests.endpoint
        changed = {
            "source": "mixed",
            "control": None,  # an edited control is no longer a control
            "template": template.name,
            "template_sha256": template.sha256,
            "template_text": template.text,
            "model": endpoint.model_title,
            "base_url": endpoint.base_url,
            "sampling": self.requests.sampling.model_dump(exclude_none=True),
        }
        return replace(draft, manifest=draft.manifest.model_copy(update=changed))

    def _log(self, place: Workspace, saved: DescriptionSet | None) -> Path:
        """The log's file, named by the version; without a version by a digest of the settings."""
        facts = json.dumps([_settings_line(self.requests, self.search.start), self.clips.name, self.folds])
        unchanged = f"no-change-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
        return place.root / FOLDER / f"{saved.name if saved else unchanged}{SUFFIX}"


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
