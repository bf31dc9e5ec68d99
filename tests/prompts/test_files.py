"""Files written whole, what killed writers leave, and folders that cannot be written."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dfer_model.io import require_writable, sweep, temporary_beside, write_atomically, write_flushed


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_atomically(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.json"
    write_atomically(path, "one é")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["file.json"]


def test_a_new_file_never_overwrites_another(tmp_path: Path) -> None:
    write_flushed(tmp_path / "file", b"one")
    with pytest.raises(FileExistsError):
        write_flushed(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"one"


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "file", "one")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        write_atomically(tmp_path / "file", "two")
    assert error.value.filename == str(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "one"
    assert names(tmp_path) == ["file"]


def test_only_old_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    old_file, old_folder, new_file = (
        temporary_beside(tmp_path / name) for name in ("a.json", "v2", "b.json")
    )
    old_file.write_text("half", encoding="utf-8")
    old_folder.mkdir()
    (old_folder / "README.md").write_text("half", encoding="utf-8")
    new_file.write_text("being written", encoding="utf-8")
    left = [new_file.name, ".gitignore", ".v2.abc", "v2.0123456789abcdef", "b.json"]
    for name in left[1:]:
        (tmp_path / name).write_text("", encoding="utf-8")
    before = time.time() - 2 * 3600
    for path in tmp_path.iterdir():
        if path != new_file:
            os.utime(path, (before, before))
    sweep(tmp_path)
    assert names(tmp_path) == sorted(left)
    sweep(tmp_path / "nowhere")


def test_removal_does_not_disturb_a_concurrent_writer(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(lambda: [write_atomically(tmp_path / "file", "") for _ in range(300)])
        while not writing.done():
            sweep(tmp_path)
    assert len(writing.result()) == 300
    assert names(tmp_path) == ["file"]


def test_removal_does_not_follow_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("", encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    link = temporary_beside(folder / "v2")
    link.symlink_to(outside)
    os.utime(link, (0, 0), follow_symlinks=False)
    sweep(folder)
    assert names(folder) == []
    assert names(outside) == ["kept"]


def test_checking_a_folder_for_writing_leaves_no_file(tmp_path: Path) -> None:
    require_writable(tmp_path / "not" / "there" / "yet")
    require_writable(tmp_path)
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(NotADirectoryError) as error:
        require_writable(tmp_path / "file" / "below")
    assert error.value.filename == str(tmp_path / "file" / "below")
