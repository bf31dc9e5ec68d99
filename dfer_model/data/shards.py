"""A shard: consecutive clips, checked and packed into one Arrow file with a name that depends on its content.

Needs only Arrow, so that packing processes start without datasets or torch.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dfer_model.data.class_names import composed
from dfer_model.data.images import JPEG_QUALITY, as_jpeg_or_png, check_frame, encode_jpeg
from dfer_model.data.layouts import ClipSource, frame_files
from dfer_model.errors import InputError, NoFace
from dfer_model.io import replacing, write_atomically

if TYPE_CHECKING:
    from dfer_model.video.clip_cropping import Cropping


FORMAT = 1


@dataclass(frozen=True)
class Shard:
    """Consecutive clips that become one file; with `faces`, cropped to faces."""

    number: int
    clips: tuple[ClipSource, ...]
    class_names: tuple[str, ...]
    frames_root: Path
    faces: Cropping | None = None

    @property
    def name(self) -> str:
        """The file's name without suffix; it depends on everything that affects the file."""
        facts = [
            FORMAT,
            JPEG_QUALITY,
            self.class_names,
            str(self.frames_root.resolve()),
            [
                (clip.clip_id, clip.class_name, clip.fold, _shown(clip.path, self.frames_root))
                for clip in self.clips
            ],
            *(self.faces.facts if self.faces else ()),
        ]
        return f"clips-{self.number:05d}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def pack_shard(shard: Shard, folder: Path) -> dict[str, Any]:
    """Write one shard into `folder` and return the outcome, which is stored next to a complete shard.

    The outcome has `packed` (clips), `frames`, `problems`, the ids of clips with `no_face`, `disagreements`
    with frame lists, and the stamp of the `sources`. Raises OSError if the folder cannot be written.
    """
    # Before reading: files replaced in the meantime are then noticed the next time.
    stamp = sources_stamp(shard)
    problems: list[dict[str, str]] = []
    disagreements: list[dict[str, Any]] = []
    no_face: list[str] = []
    frames = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal frames
        for clip in shard.clips:
            try:
                encoded = read_frames(clip, shard.frames_root, shard.faces)
            except NoFace:
                no_face.append(clip.clip_id)
                continue
            except InputError as error:
                problems.append({"clip_id": clip.clip_id, "reason": str(error).split("\n")[0]})
                continue
            frames += len(encoded)
            if clip.listed_frames not in (None, len(encoded)):
                disagreements.append(
                    {"clip_id": clip.clip_id, "listed": clip.listed_frames, "found": len(encoded)}
                )
            yield {
                "clip_id": clip.clip_id,
                "class_name": clip.class_name,
                "fold": clip.fold,
                "source": _shown(clip.path, shard.frames_root),
                "frames": encoded,
            }

    with replacing(folder / f"{shard.name}.arrow") as temporary:
        write_shard(temporary, rows(), shard.class_names)
    outcome = {
        "packed": len(shard.clips) - len(problems) - len(no_face),
        "frames": frames,
        "problems": problems,
        "no_face": no_face,
        "disagreements": disagreements,
        "sources": stamp,
    }
    write_atomically(folder / f"{shard.name}.json", json.dumps(outcome, ensure_ascii=False))
    return outcome


def read_frames(clip: ClipSource, frames_root: Path, faces: Cropping | None = None) -> list[bytes]:
    """The encoded frames of a clip in order, checked to decode; with `faces`, cropped to the face.

    Raises InputError if the clip is missing or empty, or a frame or the video is broken, and NoFace if faces
    are requested and there is none.
    """
    if clip.path is None:
        there = f", but at {clip.elsewhere}: move it there, or choose one folder with --frames DIR"
        raise InputError(f"not found under {frames_root}{there if clip.elsewhere else ''}")
    if faces is not None:
        return [encode_jpeg(pixels) for pixels in faces.frames(clip.path)]
    if clip.path.is_file():
        # Imported here: folders of frames need neither PyAV nor torch.
        from dfer_model.data.video import decode_video

        return [encode_jpeg(pixels) for pixels in decode_video(clip.path)]
    try:
        files = frame_files(clip.path)
    except OSError as error:
        raise InputError(f"{clip.path} cannot be read: {error.strerror}") from error
    if not files:
        raise InputError(f"{clip.path} has no image (.jpg, .png, .webp, .bmp or .tif)")
    encoded = []
    for path in files:
        try:
            encoded.append(as_jpeg_or_png(path.read_bytes()))
            check_frame(encoded[-1])
        except InputError as error:
            raise InputError(f"{path} {error}") from error
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return encoded


def finished_outcome(shard: Shard, folder: Path) -> dict[str, Any] | None:
    """The outcome of a finished shard, or None if it must be packed (again).

    It must if a file of its clips was added, removed or changed. Clips that could not be packed are always
    tried again, because their permissions may have changed.
    """
    try:
        outcome: dict[str, Any] = json.loads((folder / f"{shard.name}.json").read_text(encoding="utf-8"))
        stamp = outcome["sources"]
        problems = {problem["clip_id"] for problem in outcome["problems"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not (folder / f"{shard.name}.arrow").is_file() or stamp != sources_stamp(shard):
        return None
    for clip in shard.clips:
        if clip.clip_id in problems:
            try:
                read_frames(clip, shard.frames_root, shard.faces)
            except InputError:
                continue
            return None
    return outcome


def sources_stamp(shard: Shard) -> str:
    """A sha256 of the names, sizes and modification times of the files of the shard's clips."""
    digest = hashlib.sha256()
    for clip in shard.clips:
        for path in _files(clip):
            try:
                stat = path.stat()
                facts = (path.name, stat.st_size, stat.st_mtime_ns)
            except OSError as error:
                facts = (path.name, -1, error.errno or 0)
            digest.update(repr(facts).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _files(clip: ClipSource) -> list[Path]:
    """A clip's frames, or its video; empty if there are none."""
    if clip.path is None:
        return []
    try:
        return [clip.path] if clip.path.is_file() else frame_files(clip.path)
    except OSError:
        return []


def _shown(path: Path | None, root: Path) -> str:
    """The clip's path relative to the folder of clips, which may be moved."""
    return path.relative_to(root).as_posix() if path else ""


def start_process() -> None:
    """Make a packing process end on Ctrl-C, and when its parent process is killed."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


# Arrow's 32-bit offsets allow 2 GiB per batch, and a writer has one batch in memory.
BATCH_BYTES = 32 << 20
SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("class_name", pa.string()),
        ("label", pa.int64()),
        ("fold", pa.int32()),
        ("num_frames", pa.int32()),
        ("source", pa.string()),
        ("frames", pa.list_(pa.binary())),
    ]
)


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]], class_names: Sequence[str]) -> None:
    """Write one Arrow file of clips (rows as for `write_packed`) to `path`, flushed to the disk."""
    labels = {composed(name): label for label, name in enumerate(class_names)}
    with path.open("wb") as stream:
        with pa.ipc.new_stream(stream, SCHEMA) as writer:
            batch: list[dict[str, Any]] = []
            held = 0
            for row in rows:
                complete = _complete(row, labels, class_names)
                batch.append(complete)
                held += sum(map(len, complete["frames"]))
                if held >= BATCH_BYTES:
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
                    batch, held = [], 0
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=SCHEMA))
        stream.flush()
        os.fsync(stream.fileno())


def _complete(row: Mapping[str, Any], labels: Mapping[str, int], names: Sequence[str]) -> dict[str, Any]:
    """The row with its label and number of frames. Raises InputError for an unknown class or no frame."""
    frames = list(row["frames"])
    label = labels.get(composed(row["class_name"]))
    if label is None:
        raise InputError(f"clip {row['clip_id']}: {row['class_name']!r} is none of {', '.join(names)}")
    if not frames:
        raise InputError(f"clip {row['clip_id']} has no frame")
    return {
        "clip_id": str(row["clip_id"]),
        "class_name": names[label],
        "label": label,
        "fold": int(row["fold"]),
        "num_frames": len(frames),
        "source": str(row["source"]),
        "frames": frames,
    }
