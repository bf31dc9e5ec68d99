"""What speaks for a run's answer to a video, by the descriptors of the set that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..description_set import DescriptionSet
from ..errors import InputError
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .judging import finished_run, own_clips
from .texts import descriptor_texts

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.explanation import Explainer, Explanation
    from dfer_model.runs import Run


@dataclass(frozen=True)
class ExplainedVideo:
    """A run's answer to a video, what speaks for it, and by whose descriptors."""

    run: str
    video: Path
    descriptions: str
    explanation: Explanation
    frames: tuple[int, ...]  # 0-based places of the frames taken
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """What `explain --json` prints."""
        return {
            "run": self.run,
            "video": str(self.video),
            "descriptions": self.descriptions,
            "frames": list(self.frames),
            "notes": list(self.notes),
            **self.explanation.as_dict(),
        }


def explain(
    run: Run | Path | str,
    video: Path | str,
    *,
    descriptions: DescriptionSet | str | None = None,
    weights: str | None = None,
    plot: Path | None = None,
    workspace: Workspace | None = None,
    device: str = "auto",
) -> ExplainedVideo:
    """How near the frames of a video are to each descriptor over time, beside what the run answers.

    The descriptors are those of the run's own set, where it is still here, or of another set of the same
    classes; `weights` are those of the CLIP that the run began from, where they are no longer where they
    were; `plot` is a .png or .svg to draw. Raises InputError for a video that cannot be read, for what is no
    finished run, for descriptors that are not here, and for a text tower that cannot be had.
    """
    from dfer_model.data.video import read_sampled_frames
    from dfer_model.explanation import Explainer
    from dfer_model.report.explained import explanation_figure
    from dfer_model.report.figures import check_picture

    if plot is not None:
        check_picture(plot)
    place = workspace or Workspace.find()
    found = finished_run(run, place)
    described = _described(found, descriptions, place)
    listed = dict(zip(found.class_names, descriptor_texts(described, found.class_names), strict=True))
    sampled = read_sampled_frames(Path(video), found.settings.frames)
    seconds = [round(index / sampled.fps, 3) if sampled.fps else None for index in sampled.indices]
    explainer = Explainer(found, listed, _clips(found), weights=weights, device=device)
    explained = explainer(sampled.frames, seconds)
    if plot is not None:
        title = f"{Path(video).name}: {explained.expression} ({found.id}, descriptors of {described.name})"
        explanation_figure(plot, explained, sampled.frames, title)
    return ExplainedVideo(
        found.id, Path(video), described.name, explained, tuple(sampled.indices), _notes(found, explainer)
    )


def _described(run: Run, given: DescriptionSet | str | None, workspace: Workspace) -> DescriptionSet:
    """The set whose descriptors explain the run: the one given, else its own as it was."""
    store = DescriptionStore(workspace)
    if given is not None:
        described = store.load(given) if isinstance(given, str) else given
        described.class_texts(run.class_names)  # raises where a class is not covered
        return described
    if not run.settings.uses_texts:
        raise InputError(f"{run.id} was given no texts\nName descriptors to explain it by: --descriptions v1")
    absent = InputError(
        f"the descriptors of {run.texts.name} that {run.id} was trained on are not here\n"
        "A run keeps whole sentences only; name a set to explain it by: --descriptions V"
    )
    try:
        described = store.load(run.texts.name)
    except InputError as error:
        raise absent from error
    if described.sha256 != run.texts.sha256:
        raise absent
    return described


def _clips(run: Run) -> PackedClips | None:
    """The run's own clips, where they are still there."""
    try:
        return own_clips(run)
    except InputError:
        return None


def _notes(run: Run, explainer: Explainer) -> tuple[str, ...]:
    notes = []
    if explainer.model.temperature != 1:
        notes.append(
            f"the probabilities are calibrated: logits are divided by {explainer.model.temperature:.3g}"
        )
    if explainer.reference is None:
        notes.append(
            f"the clips that {run.id} was trained on are not here: each descriptor is shown above its mean "
            "in this video, so what is there all the time does not rise"
        )
    if run.settings.test_segments * run.settings.test_crops > 1:
        notes.append("these are the whole frames of one sample; `predict` averages several of them")
    return tuple(notes)
