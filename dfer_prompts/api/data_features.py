"""Features of clips, videos and class texts by a CLIP, as a Parquet file for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, get_args

from dfer_model.progress import Progress, silence

from ..description_set import DescriptionSet
from ..errors import InputError, listed, system_errors, unknown
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .inputs import Choices, class_texts, features_folder, is_url, open_dataset, settings_for
from .predict import VideoKeywords, face_options_of, given_videos, left_out_notes

if TYPE_CHECKING:
    from dfer_model.comparison.feature_table import FeatureFile, VideoFeatures
    from dfer_model.config import Settings
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import ClassTexts

Level = Literal["frame", "clip", "track"]
ONE_VIEW = {"test_segments": 1, "test_crops": 1}


@dataclass(frozen=True)
class FeatureTable:
    """A file of features: its rows by kind (frame, clip, track, text), and the CLIP."""

    path: Path
    rows: dict[str, int]
    width: int
    clip: str
    weights: str

    def as_dict(self) -> dict[str, Any]:
        """What `data features --json` prints."""
        return {**vars(self), "path": str(self.path)}


@system_errors()
def data_features(
    source: PackedClips | Path | str,
    out: Path | str,
    *,
    level: Level = "clip",
    descriptions: DescriptionSet | str | None = None,
    preset: str | None = None,
    clip: str | None = None,
    weights: str | None = None,
    overrides: Sequence[str] = (),
    workspace: Workspace | None = None,
    device: str = "auto",
    progress: Progress = silence,
    note: Callable[[str], None] = lambda _: None,
    **how: Unpack[VideoKeywords],
) -> FeatureTable:
    """Write the image tower's features of packed clips or a video to `out`, a .parquet file.

    `source` is packed clips, their folder, URL or name in `dfer.yaml`, a video, or a folder of videos.
    `level` "frame" writes a row per sampled frame; "clip" per clip, or per window of a video, the mean of its
    frames; "track" per face track of a video. With `descriptions`, a row per class text is added, of unit
    norm. `preset`, `clip`, `weights` and `overrides` choose CLIP and sampling, as in `train`. `how` are the
    keywords of `VideoKeywords` for videos. Packed clips use the feature cache of screening.
    Raises InputError for inputs that do not fit each other, and for a video that is damaged or shows no face.
    """
    from dfer_model.comparison.feature_table import (
        VideoFeatures,
        clip_facts,
        feature_file,
        rows_of_dataset,
        rows_of_texts,
    )
    from dfer_model.devices import choose_device
    from dfer_model.models.clip import load_clip

    out, place = Path(out), workspace or Workspace.find()
    _check(out, level)
    choices: Choices = {"preset": preset, "clip": clip, "weights": weights, "overrides": overrides}
    clips = _clips(source, place)
    texts = _texts(descriptions, clips, place)
    settings = _settings(place, clips.name if clips else "", choices)
    face_options = None
    if clips is None:
        face_options, face_note = face_options_of(place, **how)
        if face_note:
            note(face_note)
    loaded = load_clip(settings.clip, settings.weights)
    facts = clip_facts(loaded, settings) | {
        "source": str(clips.path if clips else source),
        "fingerprint": clips.fingerprint if clips else None,
        "descriptions": texts.name if texts else None,
        "descriptions_sha256": texts.sha256 if texts else None,
    }
    of_texts = rows_of_texts(loaded, texts) if texts else []
    with feature_file(out, loaded.embed_dim, facts) as file:
        if clips is not None:
            with progress("features") as report:
                cache = features_folder(place)
                for rows in rows_of_dataset(loaded, clips, settings, cache, level, device, report):
                    file.add(rows)
        elif face_options is not None:
            frames_are = "given" if how.get("faces") == "given" else "faces"
            videos = _videos(Path(str(source)), frames_are, note)
            of_videos = VideoFeatures(
                loaded, settings, face_options, choose_device(device, tf32=settings.tf32)
            )
            _add_videos(file, of_videos, videos, level, progress, note)
        file.add(of_texts)
    return FeatureTable(out, file.counts, loaded.embed_dim, loaded.name, facts["weights"])


def _check(out: Path, level: str) -> None:
    if out.suffix != ".parquet":
        raise InputError(f"--out {out}: the file name must end in .parquet")
    if level not in get_args(Level):
        raise unknown("level", level, get_args(Level))


def _clips(source: PackedClips | Path | str, place: Workspace) -> PackedClips | None:
    """The packed clips that `source` names, None for videos."""
    if not isinstance(source, Path | str):
        return source
    name = str(source)
    if name in place.defaults.datasets or is_url(name):
        return open_dataset(place, name)
    from dfer_model.data.images import is_video_name

    folder, path = place.root / Path(name).expanduser(), Path(name)
    if (folder / "state.json").is_file() or not (path.exists() or is_video_name(path)):
        return open_dataset(place, name)
    return None


def _settings(place: Workspace, dataset_name: str, choices: Choices) -> Settings:
    settings = settings_for(place, dataset_name, choices)
    if not settings.uses_clip:
        raise InputError(f"classifier={settings.classifier} has no CLIP, whose features are written")
    for key, value in ONE_VIEW.items():
        if getattr(settings, key) != value:
            raise InputError(
                f"setting {key}={getattr(settings, key)}: features are of one view of a clip\n"
                f"Give --set {key}={value}"
            )
    return settings


def _texts(
    given: DescriptionSet | str | None, clips: PackedClips | None, place: Workspace
) -> ClassTexts | None:
    """The texts of a set for the classes of the clips, for videos of all its classes."""
    if given is None:
        return None
    described = DescriptionStore(place).load(given) if isinstance(given, str) else given
    return class_texts(described, clips.class_names if clips else described.class_names)


def _videos(source: Path, frames_are: str, note: Callable[[str], None]) -> list[Path]:
    for each in left_out_notes([source], frames_are):
        note(each)
    return given_videos([source], frames_are)


def _add_videos(
    file: FeatureFile,
    features: VideoFeatures,
    videos: Sequence[Path],
    level: Level,
    progress: Progress,
    note: Callable[[str], None],
) -> None:
    """Write the rows of each video. Raises InputError if none shows a face."""
    from dfer_model.video.footage import open_footage

    for video in videos:
        with progress(str(video)) as report:
            rows, notes = features.rows(open_footage(video), level, report)
        for each in notes:
            note(each)
        file.add(rows)
    if not file.counts:
        where = listed([str(each) for each in videos])
        raise InputError(f"no face was found in {where}\nUse whole frames: --faces none")
