"""Packing clips: checked, in parallel, and resumable.

Clips are packed in shards under `.OUT.partial`, next to OUT. A shard's name depends on its content, so after
an interruption the same command reuses the finished ones.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from filelock import FileLock, Timeout

from dfer_model.data.captions import read_captions, write_captions
from dfer_model.data.folds import as_report
from dfer_model.data.layouts import FOLDER, Layout, check_name, read_official, with_votes
from dfer_model.data.own_folder import read_folder
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import assemble
from dfer_model.data.shards import Shard, finished_outcome, pack_shard, start_process
from dfer_model.data.votes import Floats
from dfer_model.errors import InputError, Interrupted, WorkError
from dfer_model.io import named_as
from dfer_model.launch import cores
from dfer_model.progress import Report, silent

if TYPE_CHECKING:
    from dfer_model.video.clip_cropping import Cropping

# At most; smaller for few clips, so that a small dataset uses many processes too.
SHARD_CLIPS = 100
LEAST_SHARD_CLIPS = 10
SHARDS = 32
LOCK_NAME = ".lock"
NAMED_PROBLEMS = 5
NAMED_DISAGREEMENTS = 20


@dataclass(frozen=True)
class Request:
    """The clips to pack, their source and the output folder."""

    layout: Layout
    out: Path
    skip_broken: bool = False
    faces: Cropping | None = None  # crop faces from the frames

    @property
    def partial(self) -> Path:
        """The hidden folder next to `out` for unfinished work."""
        return self.out.with_name(f".{self.out.name}.partial")

    @property
    def digest(self) -> str:
        """A key that is equal for requests of the same clips, independent of the output folder."""
        shards = [shard.name for shard in self._groups(SHARD_CLIPS)]
        facts: list[object] = [self.layout.dataset, *shards, *as_report(self.layout.lists).values()]
        if self.layout.votes is not None:
            facts.append(sorted(self.layout.votes.by_clip.items()))
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def votes(self, clip_ids: Sequence[str], labels: Sequence[int]) -> Floats | None:
        """The votes for these clips (clips, classes); None if none were given."""
        votes = self.layout.votes
        return None if votes is None else votes.of(clip_ids, labels, len(self.layout.class_names))

    def shards(self) -> list[Shard]:
        """The clips in groups of 10 to 100, in order."""
        return self._groups(min(SHARD_CLIPS, max(LEAST_SHARD_CLIPS, len(self.layout.clips) // SHARDS)))

    def _groups(self, size: int) -> list[Shard]:
        clips, root = self.layout.clips, self.layout.frames_root
        return [
            Shard(start // size, clips[start : start + size], self.layout.class_names, root, self.faces)
            for start in range(0, len(clips), size)
        ]

    def finished(self) -> PackedClips | None:
        """The clips at `out` if they are the result of this request, None if `out` does not exist.

        Raises InputError if `out` contains something else.
        """
        if not self.out.exists() or (self.out.is_dir() and not any(self.out.iterdir())):
            return None
        if not (self.out / "state.json").is_file():
            raise InputError(f"{self.out} already exists and contains something else\nChoose another --out")
        clips = PackedClips.open(self.out)
        if clips.report.get("request") != self.digest:
            raise InputError(
                f"{self.out} contains other clips already\nChoose another --out, or delete it first"
            )
        if clips.report.get("skipped") and not self.skip_broken:
            raise InputError(
                f"{self.out} was packed with --skip-broken and lacks {len(clips.report['skipped'])} clips\n"
                "Choose another --out, delete it first, or add --skip-broken"
            )
        return clips


class Places(TypedDict, total=False):
    """Where the files of a dataset are, and its name; None is the layout's usual place.

    `label_base` is the first label number of DFEW, `dataset_name` the dataset of frame-list and folder.
    """

    frames: Path | None
    labels: Sequence[Path]
    label_base: int | None
    dataset_name: str | None


def read_request(
    name: str,
    root: Path,
    out: Path,
    *,
    folds: int | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    faces: Cropping | None = None,
    votes: Sequence[Path] = (),
    **places: Unpack[Places],
) -> Request:
    """Find the clips of the layout `name` under `root`; nothing is packed yet.

    `votes` are files with the annotators' votes (`votes.py`).
    Raises InputError if the layout is unknown or does not support an option, and as its reader.
    """
    check_name(name)
    frames = places.get("frames")
    for folder in (root, *((frames,) if frames else ())):
        if not folder.is_dir():
            raise InputError(f"no folder {folder}")
    if name == FOLDER:
        if frames or places.get("labels") or places.get("label_base") is not None:
            raise InputError(f"the layout {FOLDER} does not support --frames, --labels and --label-base")
        own = read_folder(root, folds=folds, seed=seed, dataset_name=places.get("dataset_name"))
        return Request(with_votes(own, votes), out, skip_broken, faces)
    if faces is not None:
        raise InputError(f"--faces requires the layout {FOLDER}, not {name}\nOmit --faces")
    if folds is not None:
        raise InputError(f"--folds requires the layout {FOLDER}; the folds of {name} are those of its lists")
    return Request(with_votes(read_official(name, root, **places), votes), out, skip_broken)


def prepare(
    name: str,
    root: Path,
    out: Path,
    *,
    jobs: int | None = None,
    progress: Report = silent,
    **options: Any,
) -> PackedClips:
    """Pack the clips of the layout `name` under `root` into `out`: `read_request`, then `pack`."""
    return pack(read_request(name, root, out, **options), jobs=jobs, progress=progress)


def pack(request: Request, *, jobs: int | None = None, progress: Report = silent) -> PackedClips:
    """Pack the requested clips in `jobs` processes (default: all cores), and open them.

    `progress(done, total, note)` counts clips. Frames from folders are stored byte for byte, each decoded
    once as a check; those of videos become JPEG of quality 95. Finished shards are reused if their clips'
    files have not changed. MAFW's captions are written beside the clips. Raises InputError with the clips
    that are missing, empty or broken, unless `skip_broken`; Interrupted on Ctrl-C; WorkError if a process
    died, the disk is full or another process packs into the same folder. Finished shards are kept in all of
    these cases.
    """
    captions = read_captions(request.layout.dataset, request.layout.label_files)
    there = request.finished()
    if there is not None:
        write_captions(there, captions)
        return there
    with _alone_in(request):
        # Another process may have finished it in the meantime.
        clips = request.finished() or _packed(request, jobs or cores(), progress)
    # Only when it is free: another process must not lock a different file of this name.
    (request.out / LOCK_NAME).unlink(missing_ok=True)
    write_captions(clips, captions)
    return clips


@contextmanager
def _alone_in(request: Request) -> Iterator[None]:
    """Lock the folder of unfinished work; the lock of a killed process is released."""
    try:
        with named_as(request.out, request.partial):
            request.partial.mkdir(parents=True, exist_ok=True)
            with FileLock(request.partial / LOCK_NAME, timeout=0):
                yield
    except Timeout as error:
        raise WorkError(
            f"another process is packing into {request.out}\nWait for it, then give the same command again"
        ) from error


@contextmanager
def _interrupted_with_progress(request: Request) -> Iterator[None]:
    """Turn Ctrl-C and a full disk into errors with a message."""
    stored = f"what is packed so far is kept in {request.partial}"
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"Stopped; {stored}\nThe same command continues it") from error
    except OSError as error:
        raise WorkError(
            f"{error.strerror or error}; {stored}\nOnce that can be written, the same command continues it"
        ) from error


def _packed(request: Request, jobs: int, progress: Report) -> PackedClips:
    shards = request.shards()
    with _interrupted_with_progress(request):
        outcomes = _pack_all(request, shards, jobs, progress)
        skipped = [problem for outcome in outcomes for problem in outcome["problems"]]
        if skipped and not request.skip_broken:
            raise _problems(skipped, len(request.layout.clips), request.partial)
        if len(skipped) == len(request.layout.clips):
            raise InputError(
                f"every one of the {len(skipped)} clips is missing, empty or broken\n{_listing(skipped)}"
            )
        if not any(outcome["packed"] for outcome in outcomes):
            raise InputError(
                f"no face was found in any of the {len(request.layout.clips) - len(skipped)} clips\n"
                "Try --faces yunet, or omit --faces to use whole frames"
            )
        return _finish(request, shards, outcomes)


def _pack_all(
    request: Request, shards: Sequence[Shard], jobs: int, progress: Report
) -> list[Mapping[str, Any]]:
    """The outcome of every shard, in order; finished shards are reused."""
    outcomes = _finished_before(shards, request.partial)
    waiting = [shard for shard in shards if outcomes[shard.number] is None]
    total = len(request.layout.clips)
    done = total - sum(len(shard.clips) for shard in waiting)
    progress(done, total, "")
    for shard, outcome in _outcomes(waiting, request.partial, min(jobs, len(waiting))):
        outcomes[shard.number] = outcome
        done += len(shard.clips)
        progress(done, total, "")
    return [outcome for outcome in outcomes.values() if outcome is not None]


def _finished_before(shards: Sequence[Shard], folder: Path) -> dict[int, Mapping[str, Any] | None]:
    """Shard number -> its outcome, None if it must be packed."""
    # In threads: on a network disk, checking each of a million files is mostly waiting.
    pool = ThreadPoolExecutor()
    try:
        found = pool.map(finished_outcome, shards, repeat(folder))
        return {shard.number: outcome for shard, outcome in zip(shards, found, strict=True)}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _outcomes(shards: Sequence[Shard], folder: Path, jobs: int) -> Iterator[tuple[Shard, dict[str, Any]]]:
    if jobs <= 1:
        for shard in shards:
            yield shard, pack_shard(shard, folder)
        return
    # Not forked: the progress bar, Arrow and PyAV have threads, which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=start_process) as pool:
        futures = {pool.submit(pack_shard, shard, folder): shard for shard in shards}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise WorkError(
                "a packing process died, perhaps for lack of memory; finished shards are kept\n"
                "Run the same command again, with fewer processes: --jobs 1"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _listing(problems: Sequence[Mapping[str, str]]) -> str:
    named = "; ".join(f"{problem['clip_id']}: {problem['reason']}" for problem in problems[:NAMED_PROBLEMS])
    more = len(problems) - NAMED_PROBLEMS
    return f"{named}; and {more} more" if more > 0 else named


def _problems(problems: Sequence[Mapping[str, str]], total: int, partial: Path) -> InputError:
    return InputError(
        f"{len(problems)} of {total} clips cannot be packed: {_listing(problems)}\n"
        f"Repair them and run again, or go on without them: --skip-broken (the others are kept in {partial})"
    )


def _faces_report(request: Request, outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The options of face cropping and the clips without a face; empty if frames are whole."""
    if request.faces is None:
        return {}
    missing = [clip_id for outcome in outcomes for clip_id in outcome["no_face"]]
    return {"faces": request.faces.facts, "no_face": missing}


def _finish(request: Request, shards: Sequence[Shard], outcomes: Sequence[Mapping[str, Any]]) -> PackedClips:
    """Turn the folder of shards into the dataset, and rename it to `out`."""
    layout, partial = request.layout, request.partial
    disagreements = [each for outcome in outcomes for each in outcome["disagreements"]]
    report = {
        "dataset": layout.dataset,
        "request": request.digest,
        "clips": sum(outcome["packed"] for outcome in outcomes),
        "frames": sum(outcome["frames"] for outcome in outcomes),
        "skipped": [problem for outcome in outcomes for problem in outcome["problems"]],
        **_faces_report(request, outcomes),
        "frame_count_disagreements": {
            "count": len(disagreements),
            "first": disagreements[:NAMED_DISAGREEMENTS],
        },
        "frames_root": str(layout.frames_root),
        "label_files": [str(path) for path in layout.label_files],
        "notes": list(layout.notes),
        **as_report(layout.lists),
    }
    names = {f"{shard.name}.arrow" for shard in shards}
    for stale in partial.iterdir():
        if stale.suffix != ".json" and stale.name not in {*names, LOCK_NAME}:
            stale.unlink()
    paths = [partial / f"{shard.name}.arrow" for shard in shards]
    assemble(partial, paths, layout.class_names, report, request.votes)
    partial.rename(request.out)
    # Last, so that finished shards are recognised until the folder is renamed.
    for sidecar in request.out.glob("clips-*.json"):
        sidecar.unlink()
    return PackedClips.open(request.out)
