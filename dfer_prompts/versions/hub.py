"""Versions to and from the HuggingFace hub, a dataset for each: exactly a version's files, by revision.

The address is `HF_ENDPOINT`, else the public hub; the token is what huggingface_hub finds (`HF_TOKEN`, or `hf
auth login`). What comes back is read as any file of another person: bounded, checked, and under a new name.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..classes import class_set_of
from ..description_set import DescriptionSet, Manifest
from ..errors import InputError, system_errors
from ..json_files import parse_json
from ..llm.redaction import redact_environment
from ..workspace import Workspace
from .hub_errors import asking
from .store import DescriptionStore
from .version_files import CARD, MANIFEST, RESPONSES, ROWS, read_manifest, read_version

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FILES = (CARD, ROWS, RESPONSES, MANIFEST)
# Bytes that a file of a version may have; one of 43 classes, 10 samples and 5 models has a tenth of it.
LARGEST = {MANIFEST: 4 * 2**20, ROWS: 32 * 2**20, RESPONSES: 256 * 2**20}
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


@dataclass(frozen=True)
class HubFile:
    """A file of a version, as it would go to the hub; `size` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Pushed:
    """A version on the hub: `revision` is the commit, `url` where a person finds the dataset."""

    repo: str
    url: str
    revision: str
    files: list[HubFile]


def hub_files(name: str, workspace: Workspace | None = None) -> list[HubFile]:
    """What `push` would send of a version. Raises InputError when there is none, or it is not as written."""
    contents = _contents(DescriptionStore(workspace or Workspace.find()), name)
    return _listed(contents)


@system_errors()
def push(name: str, repo: str, workspace: Workspace | None = None, *, private: bool = False) -> Pushed:
    """Send a version's files to the dataset `repo` ("user/name") in one commit, and make it if need be.

    What else is in the dataset stays there. Raises InputError when the version is not as it was written, or a
    private dataset was asked for and it is public, and WorkError with what the hub says.
    """
    check_repo(repo)
    contents = _contents(DescriptionStore(workspace or Workspace.find()), name)
    with asking(repo, "Look there whether the commit arrived; the same command may be run again") as api:
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

        url = str(api.create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True))
        before = api.dataset_info(repo)
        if private and not before.private:
            raise InputError(
                f"{repo} is there already and is public\nMake it private on the hub, or take another"
            )
        gone = {each.rfilename for each in before.siblings or []} & set(FILES) - set(contents)
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(file, data) for file, data in contents.items()),
            *(CommitOperationDelete(file) for file in sorted(gone)),
        ]
        commit = api.create_commit(
            repo,
            operations,
            commit_message=f"Description set {name}",
            repo_type="dataset",
            parent_commit=before.sha,
        )
        revision = str(commit.oid)
    return Pushed(repo, url, revision, _listed(contents))


@system_errors()
def pull(source: str, version: str | None = None, workspace: Workspace | None = None) -> DescriptionSet:
    """Bring the version in the dataset `source`, "user/name" or "user/name@revision", into the workspace.

    It is saved under a new name, `version` or the next number, with a card of its own; all else of where it
    comes from is kept, and its derivation names the dataset and the commit. Raises InputError when there is
    no such dataset or revision, or it does not hold a version with its files as they were written, and
    WorkError with what the hub says.
    """
    repo, at, revision = source.partition("@")
    check_repo(repo)
    if at and not _REVISION.fullmatch(revision):
        raise InputError(f"{source!r}: after the @ stands a revision: a branch, a tag or a commit")
    store = DescriptionStore(workspace or Workspace.find())
    if version is not None:
        store.check_name(version)
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as temporary:
        folder = Path(temporary)
        with asking(source, "Nothing was saved") as api:
            commit = str(api.dataset_info(repo, revision=revision or None).sha)
            _download(api, repo, commit, folder, (MANIFEST,))
        try:
            manifest = _checked_manifest(folder)
            wanted = [file for file in (ROWS, RESPONSES) if file in manifest.files]
            with asking(source, "Nothing was saved") as api:
                _download(api, repo, commit, folder, wanted)
            draft = _draft(folder, manifest, {"command": "pull", "repo": repo, "revision": commit})
            responses = _responses(folder / RESPONSES) if RESPONSES in wanted else []
        except InputError as error:  # it speaks of the temporary folder, which nobody knows
            raise InputError(str(error).replace(f"{folder}/", f"{source}: ")) from error
    return store.save(draft, version, responses)


def check_repo(repo: str, kind: str = "dataset") -> None:
    """Whether this can be the name of a dataset, or model, on the hub. Raises InputError."""
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo or repo.endswith((".", "-", ".git")):
        raise InputError(
            f"{repo!r} is not the name of a {kind} on the hub: give USER/NAME, in letters, digits, . _ and -"
        )


def _listed(contents: Mapping[str, bytes]) -> list[HubFile]:
    return [HubFile(file, len(data), hashlib.sha256(data).hexdigest()) for file, data in contents.items()]


def _contents(store: DescriptionStore, name: str) -> dict[str, bytes]:
    """The bytes of a version's files, known to be those its manifest gives the digests of."""
    if "@" in name:
        raise InputError(f"{name} is a view, not a version\nPush the whole: {name.partition('@')[0]}")
    folder = store.path(name)
    problems = store.verify(name)
    if problems:
        raise InputError(f"{name} is not as it was written, and stays here\n{'; '.join(problems[:3])}")
    files = [file for file in FILES if file == MANIFEST or file in read_manifest(folder).files]
    contents = {file: (folder / file).read_bytes() for file in files}
    for file, data in contents.items():
        text = data.decode("utf-8", "replace")
        if redact_environment(text) != text:
            raise InputError(f"{folder / file} holds a key that is set in the environment, and stays here")
    return contents


def _download(api: HfApi, repo: str, commit: str, folder: Path, files: tuple[str, ...] | list[str]) -> None:
    """The files of a commit into a folder, none before its size is known."""
    found = {
        each.path: getattr(each, "size", None)
        for each in api.get_paths_info(repo, list(files), revision=commit, repo_type="dataset")
    }
    for file in files:
        size = found.get(file)
        if size is None:
            raise InputError(f"{repo} holds no description set: it has no file {file}")
        _check_size(repo, file, size)
        path = api.hf_hub_download(repo, file, repo_type="dataset", revision=commit, local_dir=folder)
        _check_size(repo, file, Path(path).stat().st_size)


def _check_size(repo: str, file: str, size: int) -> None:
    if size > LARGEST[file]:
        raise InputError(f"{repo}: {file} has {size / 2**20:.0f} MiB; {LARGEST[file] // 2**20} are the most")


def _checked_manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    strange = sorted(set(manifest.files) - set(FILES))
    if strange or ROWS not in manifest.files:
        wrong = f"names {strange[0]!r}, which no version has" if strange else f"gives no digest of {ROWS}"
        raise InputError(f"{folder}/{MANIFEST} {wrong}")
    names = manifest.class_set["class_names"]
    class_set_of(manifest.class_set["name"], names)
    return manifest


def _draft(folder: Path, manifest: Manifest, derivation: dict[str, Any]) -> DescriptionSet:
    for file, digest in manifest.files.items():
        path = folder / file
        if file in (ROWS, RESPONSES) and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise InputError(f"{path} has changed since the version was written: its digest is another")
    pulled = read_version(folder, "")
    before = {"before": manifest.derivation} if manifest.derivation else {}
    derived = {**derivation, "sha256": pulled.sha256, **before}
    return replace(pulled, manifest=manifest.model_copy(update={"derivation": derived}))


def _responses(path: Path) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").split("\n")[:-1], start=1):
        row = parse_json(line, f"{path}, line {number}")
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number} is not a JSON object")
        rows.append(row)
    return rows
