"""Generate one description set from any source: a language model, frames, FACS, a sentence or a control."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_model.progress import Note, Progress, silence

from ..errors import system_errors
from ..generation.clip_images import default_template
from ..generation.generate import generate as generate_shown
from ..generation.plan import Classes
from ..generation.run import Outcome
from ..llm.usage import Report
from ..templates import Template
from ..workspace import Workspace
from .frames import FrameChoices, clips_of_source

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips


@system_errors()
def generate(
    classes: Classes | None = None,
    *,
    source: str = "llm",
    template: str | Template | None = None,
    model: str | None = None,
    of: str = "v1",
    dataset: PackedClips | Path | str | None = None,
    folds: Iterable[int] | None = None,
    clips: int = 4,
    frames: int = 4,
    contrast: bool = False,
    per_clip: bool = False,
    send_images: bool = False,
    clip: str | None = None,
    weights: str | None = None,
    version: str | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
    report: Report | None = None,
    note: Note | None = None,
    progress: Progress = silence,
    **asking: Any,
) -> Outcome:
    """Generate one description set and save it as a version of the workspace (default: the current one).

    `classes` is a class set, its name, or a YAML file; a control needs none and then has the classes of the
    set it is made `of`, and frames need none and then have those of the dataset. `source` is "llm", "frames",
    "facs", "sentence:an expression of {class}" or "control:NAME". `template` is by default "paper", for
    frames "frames" or "frames-contrast". `version` is the name of the new version, by default the next of v1,
    v2, ...; `report` receives the progress of the requests, `note` messages about the server.

    The source "frames" shows a multimodal model `frames` frames each of `clips` clips per class, drawn by
    `seed` from the clips of the training `folds` of `dataset`; `compare` and `score` refuse to test the
    version on these folds. `contrast` shows the class that zero-shot prediction most often takes each class
    for as well: by the set `of` with the CLIP `clip` and its `weights`, on the clips of `folds`. `per_clip`
    asks about each clip alone and writes `clip_descriptions/VERSION.csv` too. Images are sent to another
    machine only with `send_images`.

    `asking`: `base_url`, by default as `resolve_endpoint` finds it; `samples` per class (5); `top_k`
    descriptors per class (6; FACS: all), ranked by `rank` ("support", "order", "distinctive"); `temperature`,
    `top_p`, `max_tokens`, `reasoning_effort` and `seed`, by default the template's or `Sampling`'s;
    `concurrency`, the number of parallel requests (8); `timeout`, seconds per answer (300); `allow_short`
    (False) accepts classes with fewer than `top_k`; `max_requests` and `budget_tokens` limit the requests (no
    limit).

    Raises InputError for invalid input before any request is sent, WorkError if requests fail, and
    Interrupted on Ctrl-C. Answers received so far are stored; the same call continues from there.
    """
    place = workspace or Workspace.find()
    choices = FrameChoices(
        dataset, folds, clips, frames, contrast, per_clip, send_images, clip, weights, of, asking.get("seed")
    )
    class_set, shown = clips_of_source(source, classes, choices, place, device, progress)
    return generate_shown(
        class_set,
        source=source,
        template=template or default_template(shown),
        model=model,
        of=of,
        version=version,
        workspace=place,
        shown=shown,
        report=report,
        note=note,
        **asking,
    )
