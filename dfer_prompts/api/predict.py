"""Predictions for the faces in raw videos: of a finished run, a description set or a model file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from dfer_model.progress import Progress, silence

from ..description_set import DescriptionSet
from ..errors import InputError, system_errors
from ..workspace import Workspace
from .inputs import Choices
from .model_source import ModelFacts, Source, find_source

if TYPE_CHECKING:
    from dfer_model.evaluation.calibration import Calibration
    from dfer_model.evaluation.classify import Prediction
    from dfer_model.exchange.model_file import PretrainedModel
    from dfer_model.runs import Run
    from dfer_model.video.passes import FaceOptions
    from dfer_model.video.predict_video import PredictedVideo, WindowPredictor

LONG_FRAMES = 900  # shorter videos show no progress
DRAWN_ONLY = "the model was trained on drawn faces: its predictions for real footage are meaningless"
FACES = ("auto", "yunet", "haar", "none", "given")


@dataclass(frozen=True)
class Refused:
    """A video of which no frame could be read, and the reason."""

    video: Path
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """What `predict --json` prints of it."""
        return {"video": str(self.video), "error": self.reason}


@dataclass(frozen=True)
class VideoPredictor:
    """A model, its video options, and messages about them."""

    source: Source
    pretrained: PretrainedModel
    face_options: FaceOptions
    frames_are: str  # faces, whole or given
    note: str | None = None
    warning: str | None = None  # a caveat on its predictions
    calibrated: Calibration | None = None

    @property
    def window_predictor(self) -> WindowPredictor:
        """What predicts the windows of a video with the model."""
        from dfer_model.video.predict_video import WindowPredictor

        loaded = self.pretrained
        return WindowPredictor(loaded.model, tuple(loaded.class_names), loaded.settings, loaded.device)

    @property
    def run(self) -> str:
        """The run's id; empty for a model without a run."""
        return self.source.name if self.source.kind == "run" else ""

    @property
    def facts(self) -> ModelFacts:
        """What the model is."""
        return ModelFacts.of(self.source, self.pretrained.run)

    @property
    def temperature(self) -> float | None:
        """The divisor of its logits for probabilities; None without calibration."""
        fitted = self.pretrained.temperature
        return fitted if self.calibrated or fitted != 1 else None

    @property
    def calibration_note(self) -> str | None:
        """How its probabilities are calibrated, in words; None if they are not."""
        if self.temperature is None:
            return None
        fitted = f"fitted on {self.calibrated.fitted_on}" if self.calibrated else "stored in the model's file"
        return (
            f"Probabilities are calibrated: logits are divided by {self.temperature:.3g}, {fitted}; "
            "predictions do not change"
        )


class VideoKeywords(TypedDict, total=False):
    """The video options, named as on the command line.

    `faces` is the detector: "auto" (YuNet if its file is given or was downloaded before, else Haar), "yunet"
    (downloaded once), "haar", "none" (whole frames) or "given" (frames are faces already). `face_model` is
    YuNet's ONNX file, by default `face_model` of `dfer.yaml`. `track` is "largest", "all" or a track's
    number; `window` and `stride` are in seconds; `margin` is a share of a face's longer side; faces are
    detected in every `every`-th frame.
    """

    faces: str
    face_model: Path | None
    track: str | int
    window: float | None
    stride: float | None
    margin: float | None
    every: int


def video_predictor(
    model: Source | Run | PretrainedModel | DescriptionSet | Path | str,
    *,
    workspace: Workspace | None = None,
    device: str = "auto",
    choices: Choices | None = None,
    **how: Unpack[VideoKeywords],
) -> VideoPredictor:
    """The model of a run, a description set or a file (see `find_source`), ready to process videos.

    `choices` choose the CLIP of a description set. Raises InputError as `find_source` and `Source.load`, and
    for invalid options.
    """
    from dfer_model.evaluation.calibration import read_calibration

    place = workspace or Workspace.find()
    source = model if isinstance(model, Source) else find_source(model, place)
    face_options, note = face_options_of(place, **how)
    frames_are = {"none": "whole", "given": "given"}.get(how.get("faces", "auto"), "faces")
    loaded = source.load(place, device, choices)
    drawn = loaded.trained_on == "drawn" or ModelFacts.of(source, loaded.run).drawn
    calibrated = read_calibration(source.run) if source.run else None
    warning = DRAWN_ONLY if drawn else None
    return VideoPredictor(source, loaded, face_options, frames_are, note, warning, calibrated)


def face_options_of(
    workspace: Workspace,
    *,
    faces: str = "auto",
    face_model: Path | None = None,
    track: str | int = "largest",
    window: float | None = None,
    stride: float | None = None,
    margin: float | None = None,
    every: int = 1,
) -> tuple[FaceOptions, str | None]:
    """The settings for video processing from the options of `VideoKeywords`, and a message about them.

    Raises InputError for invalid options.
    """
    if faces not in FACES:
        raise InputError(f"--faces {faces} is unknown\nThere are: {', '.join(FACES)}")
    from dfer_model.evaluation.classify import WHOLE_FRAMES
    from dfer_model.video.crop import MARGIN
    from dfer_model.video.detect import choose_detector
    from dfer_model.video.passes import FaceOptions
    from dfer_model.video.windows import Spacing

    spacing = Spacing(window, stride)
    detector, note = None, WHOLE_FRAMES if faces == "none" else None
    if faces not in ("none", "given"):
        detector, note = choose_detector(faces, face_model or workspace.face_model)
    return FaceOptions(detector, track, spacing, MARGIN if margin is None else margin, every), note


def predict_each(
    predictor: VideoPredictor,
    videos: Sequence[Path],
    *,
    names: dict[Path, Path] | None = None,
    keep: Callable[..., None] | None = None,
    progress: Progress = silence,
    long_frames: int = LONG_FRAMES,
) -> Iterator[PredictedVideo | Refused]:
    """The predictions for each video; one that cannot be read does not stop the others.

    `names` are the names to show for files; `keep` receives every window's prediction and its crops;
    `progress` is shown for videos of `long_frames` frames and more.
    """
    from dfer_model.video.footage import open_footage
    from dfer_model.video.predict_video import keep_nothing

    for video in videos:
        name = (names or {}).get(video, video)
        try:
            if video.is_dir() and predictor.frames_are != "given":
                raise InputError(f"{video} is a folder, not a video")
            footage = open_footage(video, name)
            shown = progress if footage.expected >= long_frames else silence
            with shown(str(name)) as report:
                predicted_video = predictor.window_predictor.predict(
                    footage, predictor.face_options, keep=keep or keep_nothing, report=report
                )
        except InputError as error:
            yield Refused(name, str(error).replace(str(video), str(name)))
        else:
            yield predicted_video


def given_videos(places: Sequence[Path], frames_are: str = "faces") -> list[Path]:
    """The videos to process: files, and the videos in folders.

    If frames are given as faces, a folder of images is one clip. Raises InputError for a folder without a
    video.
    """
    from dfer_model.data.layouts import frame_files
    from dfer_model.video.footage import videos_in

    found: list[Path] = []
    for place in places:
        is_clip = place.is_dir() and frames_are == "given" and bool(frame_files(place))
        found += videos_in(place) if place.is_dir() and not is_clip else [place]
    return found


def left_out_notes(places: Sequence[Path], frames_are: str = "faces") -> list[str]:
    """For each folder of `given_videos`, the number and names of the files left out."""
    from dfer_model.data.layouts import frame_files
    from dfer_model.video.footage import left_out

    folders = [place for place in places if place.is_dir()]
    if frames_are == "given":
        folders = [folder for folder in folders if not frame_files(folder)]
    return [note for folder in folders if (note := left_out(folder)) is not None]


@system_errors()
def predict(
    run: Run | PretrainedModel | DescriptionSet | Path | str,
    videos: Sequence[Path | str] | Path | str,
    *,
    preset: str | None = None,
    clip: str | None = None,
    weights: str | None = None,
    overrides: Sequence[str] = (),
    workspace: Workspace | None = None,
    device: str = "auto",
    **how: Unpack[VideoKeywords],
) -> list[Prediction]:
    """Predictions of a run, a description set or a model file for the faces in videos.

    `run` is a finished run, its folder, its id or the beginning of one; a description set or its reference
    ("v2@4"), which predicts zero-shot; a safetensors file, "hf://user/name", or a model of
    `from_pretrained`. A set has precedence over a run whose id only begins with its name. `preset`, `clip`,
    `weights` and `overrides` choose the CLIP of a set, as in `train`; the default is OpenAI's ViT-B/32.

    A prediction has a probability for each class; there is one per window of each track, in order, and none
    for a video without a face. With `faces` "none", whole frames are used and a video is one window; `how`
    are the keywords of `VideoKeywords`. Raises InputError for a name of nothing, an unfinished run, invalid
    options, and the first video that cannot be read completely.
    """
    choices: Choices = {"preset": preset, "clip": clip, "weights": weights, "overrides": overrides}
    predictor = video_predictor(run, workspace=workspace, device=device, choices=choices, **how)
    each_video = [videos] if isinstance(videos, Path | str) else videos
    predictions: list[Prediction] = []
    for answer in predict_each(predictor, [Path(video) for video in each_video]):
        problem = answer.reason if isinstance(answer, Refused) else answer.problem
        if problem is not None or isinstance(answer, Refused):
            raise InputError(problem)
        predictions += answer.predictions
    return predictions
