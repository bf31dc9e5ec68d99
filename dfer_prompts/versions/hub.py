"""Push versions to and pull them from the HuggingFace hub: one dataset per version, with exactly its files.

Downloads are untrusted: limited in size, checked, saved under a new name.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_model.io import parse_json

from ..classes import class_set_of
from ..description_set import DescriptionSet, Manifest
from ..errors import InputError, system_errors
from ..llm.redaction import redact_environment
from ..workspace import Workspace
from .hub_requests import hub_requests
from .store import DescriptionStore
from .version_files import CARD, MANIFEST, RESPONSES, ROWS, read_manifest, read_version

if TYPE_CHECKING:
    from huggingface_hub import HfApi


FILES = (CARD, ROWS, RESPONSES, MANIFEST)
# Maximum bytes per file of a version; one with 43 classes, 10 samples and 5 models has a tenth of it.
LARGEST = {MANIFEST: 4 * 2**20, ROWS: 32 * 2**20, RESPONSES: 256 * 2**20}
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


@dataclass(frozen=True)
class HubFile:
    """A file of a version to push; `size` in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Pushed:
    """A version on the hub: `revision` is the commit, `url` the address of the dataset."""

    repo: str
    url: str
    revision: str
    files: list[HubFile]


def hub_files(name: str, workspace: Workspace | None = None) -> list[HubFile]:
    """The files that `push` would send. Raises InputError if there is no such version or it was modified."""
    contents = _contents(DescriptionStore(workspace or Workspace.find()), name)
    return _listed(contents)


@system_errors()
def push(name: str, repo: str, workspace: Workspace | None = None, *, private: bool = False) -> Pushed:
    """Push a version's files to the dataset `repo` ("user/name") in one commit; create it if needed.

    Other files in the dataset are unchanged. Raises InputError if the version was modified, or if `private`
    is set and the dataset is public, and WorkError with the hub's message.
    """
    check_repo(repo)
    contents = _contents(DescriptionStore(workspace or Workspace.find()), name)
    with hub_requests(
        repo, "Check on the hub whether the commit arrived; the same command can be run again"
    ) as api:
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

        url = str(api.create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True))
        before = api.dataset_info(repo)
        if private and not before.private:
            raise InputError(
                f"{repo} already exists and is public\nMake it private on the hub, or choose another name"
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
    """Download the version in the dataset `source` ("user/name" or "user/name@revision") to the workspace.

    It is saved under a new name, `version` or the next number, with a new card; the rest of its manifest is
    preserved, and its derivation names the dataset and the commit. Raises InputError if there is no such
    dataset or revision, or if it does not contain an unmodified version, and WorkError with the hub's
    message.
    """
    repo, at, revision = source.partition("@")
    check_repo(repo)
    if at and not _REVISION.fullmatch(revision):
        raise InputError(f"{source!r}: a revision (branch, tag or commit) is required after the @")
    store = DescriptionStore(workspace or Workspace.find())
    if version is not None:
        store.check_name(version)
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as temporary:
        folder = Path(temporary)
        with hub_requests(source, "Nothing was saved") as api:
            commit = str(api.dataset_info(repo, revision=revision or None).sha)
            _download(api, repo, commit, folder, (MANIFEST,))
        try:
            manifest = _checked_manifest(folder)
            files = [file for file in (ROWS, RESPONSES) if file in manifest.files]
            with hub_requests(source, "Nothing was saved") as api:
                _download(api, repo, commit, folder, files)
            draft = _draft(folder, manifest, {"command": "pull", "repo": repo, "revision": commit})
            responses = _responses(folder / RESPONSES) if RESPONSES in files else []
        except InputError as error:  # it names the temporary folder
            raise InputError(str(error).replace(f"{folder}/", f"{source}: ")) from error
    return store.save(draft, version, responses)


def check_repo(repo: str, kind: str = "dataset") -> None:
    """Check the name of a dataset or model on the hub. Raises InputError if it is invalid."""
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo or repo.endswith((".", "-", ".git")):
        raise InputError(
            f"{repo!r} is not a valid {kind} name on the hub: use USER/NAME with letters, digits, . _ and -"
        )


def _listed(contents: Mapping[str, bytes]) -> list[HubFile]:
    return [HubFile(file, len(data), hashlib.sha256(data).hexdigest()) for file, data in contents.items()]


def _contents(store: DescriptionStore, name: str) -> dict[str, bytes]:
    """The bytes of a version's files, checked against the digests in its manifest."""
    if "@" in name:
        raise InputError(f"{name} is a view, not a version\nPush the version: {name.partition('@')[0]}")
    folder = store.path(name)
    problems = store.verify(name)
    if problems:
        raise InputError(f"{name} was modified and is not pushed\n{'; '.join(problems[:3])}")
    files = [file for file in FILES if file == MANIFEST or file in read_manifest(folder).files]
    contents = {file: (folder / file).read_bytes() for file in files}
    for file, data in contents.items():
        text = data.decode("utf-8", "replace")
        if redact_environment(text) != text:
            raise InputError(f"{folder / file} contains a key of the environment and is not pushed")
    return contents


def _download(api: HfApi, repo: str, commit: str, folder: Path, files: tuple[str, ...] | list[str]) -> None:
    """Download the files of a commit to a folder; sizes are checked first."""
    found = {
        each.path: getattr(each, "size", None)
        for each in api.get_paths_info(repo, list(files), revision=commit, repo_type="dataset")
    }
    for file in files:
        size = found.get(file)
        if size is None:
            raise InputError(f"{repo} is not a description set: it has no file {file}")
        _check_size(repo, file, size)
        path = api.hf_hub_download(repo, file, repo_type="dataset", revision=commit, local_dir=folder)
        _check_size(repo, file, Path(path).stat().st_size)


def _check_size(repo: str, file: str, size: int) -> None:
    if size > LARGEST[file]:
        raise InputError(
            f"{repo}: {file} has {size / 2**20:.0f} MiB; the maximum is {LARGEST[file] // 2**20}"
        )


def _checked_manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    strange = sorted(set(manifest.files) - set(FILES))
    if strange or ROWS not in manifest.files:
        wrong = (
            f"names {strange[0]!r}, which is not a file of a version"
            if strange
            else f"gives no digest of {ROWS}"
        )
        raise InputError(f"{folder}/{MANIFEST} {wrong}")
    names = manifest.class_set["class_names"]
    class_set_of(manifest.class_set["name"], names)
    return manifest


def _draft(folder: Path, manifest: Manifest, derivation: dict[str, Any]) -> DescriptionSet:
    for file, digest in manifest.files.items():
        path = folder / file
        if file in (ROWS, RESPONSES) and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise InputError(f"{path} has changed since the version was written: its digest differs")
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
