"""The clips of a study: opened by name or folder, and the folds of them that judge."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips


def open_dataset(workspace: Workspace, given: PackedClips | Path | str | None) -> PackedClips:
    """The clips given, by their folder, URL or name in `dfer.yaml`; without, the only ones it names.

    Clips at a URL (`hf://datasets/ME/NAME`, `s3://BUCKET/NAME`) stay there and are read in a stream.
    Raises InputError when there is none, or more than one to choose from.
    """
    from dfer_model.data.packed import PackedClips

    if isinstance(given, PackedClips):
        return given
    named = workspace.defaults.datasets
    if given is None and len(named) != 1:
        choice = f"dfer.yaml names {', '.join(named)}" if named else "dfer.yaml names none"
        raise InputError(f"which clips? {choice}\nGive --dataset DIR, made by: dfer-prompts data prepare")
    name = str(given) if given is not None else next(iter(named))
    place = named.get(name, name)
    if name in named and is_url(place):
        check_named_url("dfer.yaml", place)
    return open_packed(place if is_url(place) else workspace.dataset(name))


# Schemes for which the user's own settings, not the URL, say who gets the credentials; or that send none.
FROM_A_FILE = ("hf", "s3", "s3a", "gs", "gcs", "http", "https", "file", "memory")


def check_named_url(file: str, url: str) -> None:
    """Raise InputError where a file names clips at a host at which the user's credentials would log in."""
    if not url.casefold().startswith(tuple(f"{scheme}://" for scheme in FROM_A_FILE)):
        raise InputError(
            f"{file} names clips at {url}, and reading them may log in there with your credentials\n"
            f"To allow it, give the URL yourself: --dataset {url}"
        )


def is_url(place: str) -> bool:
    """Whether `place` is elsewhere than in a folder of this machine."""
    return "://" in place


def open_packed(place: Path | str) -> PackedClips:
    """The packed clips in a folder, or at a URL. Raises InputError when there are none."""
    if isinstance(place, Path):
        from dfer_model.data.packed import PackedClips

        return PackedClips.open(place)
    from dfer_model.data.streaming import StreamedClips  # which loads torch

    return StreamedClips.open(place)


def judging_folds(clips: PackedClips, given: Iterable[int] | None) -> tuple[int, ...]:
    """The folds given, each once, by default all that can be tested. Raises InputError for none."""
    if given is not None:
        return each_once(given, "fold")
    folds = tuple(clips.fold_names())
    if not folds:
        raise InputError(
            f"{clips.path} has no folds, so nothing can judge\n"
            "Say them with folds.csv or `data prepare folder --folds N`"
        )
    return folds


def each_once(given: Iterable[int], what: str) -> tuple[int, ...]:
    """The numbers without repetitions, in their order. Raises InputError for none."""
    numbers = tuple(dict.fromkeys(given))
    if not numbers:
        raise InputError(f"no {what} is given; give one or more")
    return numbers


def features_folder(workspace: Workspace) -> Path:
    """Where what a CLIP sees in clips is kept; it can be deleted at any time."""
    return workspace.root / ".dfer" / "features"
