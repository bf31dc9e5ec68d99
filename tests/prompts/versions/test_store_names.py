"""Names of versions: what cannot be one, what is taken, and links in the folder of versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts import DescriptionStore, InputError, Workspace

from ..drafts import draft


@pytest.fixture
def store(isolated: Path) -> DescriptionStore:
    return DescriptionStore(Workspace(isolated))


NO_NAMES = [
    "", " ", ".", "..", "../x", "v2/../../y", "/etc/v2", "v2/", "a\\b", "C:v2", "-v2", "--version", ".v2",
    "_v2", "v2.", "v2 ", "v2\n", "v2\0", "v2@4", "v\x1b[31m", "vé", "v２", "v" * 65, "v" * 300,
    "CON", "con", "Nul", "aux.v2", "COM1", "lpt9.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_NAMES)
def test_an_invalid_name_is_refused_and_nothing_is_written(
    store: DescriptionStore, isolated: Path, name: str
) -> None:
    with pytest.raises(InputError, match="cannot be named") as error:
        store.save(draft(), name)
    assert len(str(error.value).splitlines()) == 2
    assert list(isolated.iterdir()) == []
    assert not (isolated.parent / "x").exists()
    assert not (isolated.parent / "y").exists()


@pytest.mark.parametrize("name", NO_NAMES)
def test_an_invalid_name_opens_no_file(store: DescriptionStore, isolated: Path, name: str) -> None:
    store.save(draft(), "mine")
    (isolated / "descriptions" / "mine").rename(isolated / "x")
    with pytest.raises(InputError, match=r"no description set|number of descriptors per class"):
        store.load(name)


@pytest.mark.parametrize("name", ["v" * 64, "2", "V2.1_a-b", "console", "com10", "nul-like"])
def test_valid_names(store: DescriptionStore, name: str) -> None:
    assert store.save(draft(), name).name == name
    assert store.load(name).sha256 == draft().sha256


def test_a_name_that_differs_in_case_only_is_taken(store: DescriptionStore) -> None:
    store.save(draft(), "Mine")
    with pytest.raises(InputError) as error:
        store.save(draft(), "mINE")
    assert str(error.value) == (
        "the description set 'mINE' already exists (written 'Mine') and cannot be changed\n"
        "Choose another name"
    )


@pytest.mark.parametrize("target", ["a version", "a folder", "a file", "nothing", "itself"])
def test_a_link_occupies_its_name_and_is_not_followed(
    store: DescriptionStore, isolated: Path, tmp_path: Path, target: str
) -> None:
    store.save(draft(), "mine")
    link = isolated / "descriptions" / "v2"
    targets = {"a version": isolated / "descriptions" / "mine", "a folder": tmp_path, "itself": link}
    (tmp_path / "file").write_text("x", encoding="utf-8")
    link.symlink_to(targets.get(target, tmp_path / ("file" if target == "a file" else "nothing")))
    with pytest.raises(InputError, match="already"):
        store.save(draft(), "v2")
    assert store.save(draft()).name == "v3"
    assert link.is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert ("v2" in store.list()) == (target == "a version")


def test_a_version_may_be_a_link_to_one_elsewhere(
    store: DescriptionStore, isolated: Path, tmp_path: Path
) -> None:
    store.save(draft(), "mine")
    (isolated / "descriptions" / "mine").rename(tmp_path / "elsewhere")
    (isolated / "descriptions" / "shared").symlink_to(tmp_path / "elsewhere")
    assert store.load("shared").sha256 == draft().sha256
    assert not store.verify("shared")
    (tmp_path / "elsewhere" / "descriptors.jsonl").write_text("", encoding="utf-8")
    assert store.verify("shared")


def test_an_unreadable_version_does_not_hide_the_others(store: DescriptionStore, isolated: Path) -> None:
    for name in ("a", "b"):
        store.save(draft(), name)
    path = isolated / "descriptions" / "a" / "descriptors.jsonl"
    path.unlink()
    path.mkdir()
    assert store.list() == ["a", "b", "v1"]
    assert store.load("b").sha256 == draft().sha256
    assert store.verify("a") == [f"{path} is missing"]
