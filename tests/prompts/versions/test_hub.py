"""Versions to and from a hub on loopback: exactly their files, and nothing that was modified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dfer_prompts.errors import InputError, Interrupted, WorkError
from dfer_prompts.versions.hub import hub_files, pull, push
from dfer_prompts.versions.store import DescriptionStore, load
from dfer_prompts.workspace import Workspace

from ..drafts import draft
from ..hub import TOKEN, FakeHub, serve


@pytest.fixture
def hub(isolated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serve() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def store(isolated: Path) -> DescriptionStore:
    made = DescriptionStore(Workspace(isolated))
    made.save(
        draft(
            license="mit", model="m", derivation={"command": "edit"}, parents=["v"], parent_sha256={"v": "a"}
        ),
        "mine",
        [{"class_name": "anger", "text": "é\x1b"}],
    )
    return made


def on_disk(store: DescriptionStore, name: str = "mine") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.path(name).iterdir()}


def remote(store: DescriptionStore) -> dict[str, bytes]:
    """The files as `FakeHub.put` takes them."""
    return {name.replace(".", "__"): data for name, data in on_disk(store).items()}


def test_push_sends_the_versions_files_and_no_others(hub: FakeHub, store: DescriptionStore) -> None:
    (store.path("mine") / ".DS_Store").write_text("x", encoding="utf-8")
    expected = {name: data for name, data in on_disk(store).items() if name != ".DS_Store"}
    pushed = push("mine", "me/faces")
    assert hub.files("me/faces") == {**expected, ".gitattributes": b""}
    assert not hub.datasets["me/faces"].private
    assert pushed.revision == hub.datasets["me/faces"].commits[-1][0]
    assert pushed.url == f"{hub.url}/datasets/me/faces"
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in expected.items()}
    assert {each.name: each.sha256 for each in pushed.files} == digests
    assert {each.name: each.size for each in pushed.files} == {
        name: len(data) for name, data in expected.items()
    }


def test_a_dry_run_lists_the_files_without_a_request(hub: FakeHub, store: DescriptionStore) -> None:
    assert [each.name for each in hub_files("mine")] == [
        "README.md", "descriptors.jsonl", "responses.jsonl", "manifest.yaml",
    ]  # fmt: skip
    assert hub.requests == []


def test_a_pushed_version_is_pulled_unchanged(hub: FakeHub, store: DescriptionStore) -> None:
    pushed = push("mine", "me/faces")
    push("v1", "me/faces")  # main moves on, and has no answers
    assert set(hub.files("me/faces")) == {".gitattributes", "README.md", "descriptors.jsonl", "manifest.yaml"}
    back = pull(f"me/faces@{pushed.revision}", "back")
    assert back.sha256 == load("mine").sha256 == load("back").sha256
    ours, theirs = on_disk(store), on_disk(store, "back")
    assert ours["descriptors.jsonl"] == theirs["descriptors.jsonl"]
    assert ours["responses.jsonl"] == theirs["responses.jsonl"]
    assert store.verify("back") == []
    manifest = back.manifest
    assert manifest.derivation == {
        "command": "pull",
        "repo": "me/faces",
        "revision": pushed.revision,
        "sha256": back.sha256,
        "before": {"command": "edit"},
    }
    unchanged = load("mine").manifest.model_copy(
        update={
            "derivation": manifest.derivation,
            "files": manifest.files,
            "manifest_sha256": manifest.manifest_sha256,
        }
    )
    assert manifest == unchanged
    assert pull("me/faces").sha256 == load("v1").sha256
    assert store.list() == ["back", "mine", "v1", "v2"]


def test_a_private_dataset_is_private_or_nothing_is_uploaded(hub: FakeHub, store: DescriptionStore) -> None:
    push("mine", "me/secret", private=True)
    assert hub.datasets["me/secret"].private
    push("mine", "me/open")
    before = hub.files("me/open")
    with pytest.raises(InputError, match="already exists and is public"):
        push("v1", "me/open", private=True)
    assert hub.files("me/open") == before


def test_a_changed_version_is_not_uploaded(hub: FakeHub, store: DescriptionStore) -> None:
    path = store.path("mine") / "descriptors.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("a smile", "a smirk"), encoding="utf-8")
    with pytest.raises(InputError, match=r"mine was modified[^/]*/.*descriptors\.jsonl has changed"):
        push("mine", "me/faces")
    with pytest.raises(InputError, match="was modified"):
        hub_files("mine")
    assert hub.requests == []


def test_an_answer_with_a_key_is_not_uploaded(
    hub: FakeHub, store: DescriptionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(draft(), "leaky", [{"text": "you sent Bearer sk-1234567890"}])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1234567890")
    with pytest.raises(InputError, match=r"responses\.jsonl contains a key") as caught:
        push("leaky", "me/faces")
    assert "sk-" not in str(caught.value)
    assert hub.requests == []


@pytest.mark.parametrize(
    "repo", ["faces", "a/b/c", "me/", "/faces", "../x", "me/..", "me/a--b", "me/x.git", "me/x y", "me/é", ""]
)
def test_an_invalid_repository_name_is_refused(hub: FakeHub, store: DescriptionStore, repo: str) -> None:
    for call in (lambda: push("mine", repo), lambda: pull(repo)):
        with pytest.raises(InputError, match="is not a valid dataset name on the hub"):
            call()
    assert hub.requests == []


def test_invalid_arguments_are_errors(hub: FakeHub, store: DescriptionStore) -> None:
    push("mine", "me/faces")
    with pytest.raises(InputError, match=r"view, not a version\nPush the version: mine"):
        push("mine@2", "me/faces")
    with pytest.raises(InputError, match="no description set 'mime'"):
        push("mime", "me/faces")
    with pytest.raises(InputError, match="already"):
        pull("me/faces", "mine")
    with pytest.raises(InputError, match="a revision"):
        pull("me/faces@")
    with pytest.raises(InputError, match="me/faces@v7: the dataset has no such revision"):
        pull("me/faces@v7")
    with pytest.raises(
        InputError, match=r"there is no dataset me/nose at http.*or it is private\nSet HF_TOKEN"
    ):
        pull("me/nose")
    assert store.list() == ["mine", "v1"]


@pytest.mark.parametrize(
    ("part", "status", "complaint"),
    [
        ("", 401, "requires a token for me/faces"),
        ("", 403, "the token has no permission for me/faces"),
        ("commit", 403, "the token has no permission"),
        ("", 429, "too many requests"),
        ("commit", 412, "was changed during the operation"),
        ("commit", 500, r"answered 500 about me/faces: no \[2J for Bearer \[key\]"),
        ("validate-yaml", 400, "gave an unexpected answer"),
    ],
)
def test_refusals_of_the_hub_are_reported_without_the_token(
    hub: FakeHub, store: DescriptionStore, part: str, status: int, complaint: str
) -> None:
    hub.failing[part] = status
    with pytest.raises(WorkError, match=complaint) as caught:
        push("mine", "me/faces")
    assert TOKEN not in str(caught.value)
    assert str(caught.value).count("\n") <= 1
    assert all(
        set(files) == {".gitattributes"} for each in hub.datasets.values() for _, files in each.commits
    )


def test_an_invalid_token_is_reported(
    hub: FakeHub, store: DescriptionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_wrong_wrong")
    with pytest.raises(WorkError, match="Set HF_TOKEN") as caught:
        push("mine", "me/faces")
    assert "hf_wrong" not in str(caught.value)


def test_an_unreachable_or_interrupted_hub_leaves_no_files(
    hub: FakeHub, store: DescriptionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    push("mine", "me/faces")
    hub.broken = True
    with pytest.raises(WorkError, match="cannot be reached, or closed the connection"):
        pull("me/faces")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for call in (lambda: push("mine", "me/faces"), lambda: pull("me/faces")):
        with pytest.raises(WorkError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            call()
    assert store.list() == ["mine", "v1"]


def test_ctrl_c_is_reported_as_interrupted(
    hub: FakeHub, store: DescriptionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    push("mine", "me/faces")
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", stopped)
    with pytest.raises(Interrupted, match="Stopped: Nothing was saved"):
        pull("me/faces")
    with pytest.raises(Interrupted, match="Stopped: Check on the hub whether the commit arrived"):
        push("mine", "me/faces")


def edited(**changes: object) -> object:
    def edit(files: dict[str, bytes]) -> None:
        manifest = yaml.safe_load(files["manifest__yaml"])
        for key, value in changes.items():
            manifest[key] = value(manifest[key]) if callable(value) else value
        files["manifest__yaml"] = yaml.safe_dump(manifest).encode()

    return edit


def rewritten(old: bytes, new: bytes) -> object:
    """Other rows, with a manifest that agrees with them."""

    def edit(files: dict[str, bytes]) -> None:
        assert old in files["descriptors__jsonl"]
        files["descriptors__jsonl"] = files["descriptors__jsonl"].replace(old, new)
        digest = hashlib.sha256(files["descriptors__jsonl"]).hexdigest()
        edited(files=lambda digests: {**digests, "descriptors.jsonl": digest})(files)  # type: ignore[operator]

    return edit


def without(name: str) -> object:
    return lambda files: files.pop(name)


def holding(name: str, data: bytes) -> object:
    return lambda files: files.update({name: data})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (without("manifest__yaml"), r"is not a description set: it has no file manifest\.yaml"),
        (without("descriptors__jsonl"), r"it has no file descriptors\.jsonl"),
        (without("responses__jsonl"), r"it has no file responses\.jsonl"),
        (holding("manifest__yaml", b"!!python/object:os.system [ls]"), r"me/faces: manifest\.yaml is not"),
        (holding("manifest__yaml", b"a: [" * 5000), r"me/faces: manifest\.yaml is not valid YAML"),
        (holding("manifest__yaml", b"\xff\xfe"), "not UTF-8"),
        (holding("manifest__yaml", b""), "is empty"),
        (holding("descriptors__jsonl", b"{}\n"), r"me/faces: descriptors\.jsonl has changed since"),
        (holding("responses__jsonl", b"{}\n"), r"me/faces: responses\.jsonl has changed since"),
        (edited(files={"../../x": "0"}), r"names '../../x', which is not a file of a version"),
        (edited(files={"README.md": "0"}), "gives no digest of descriptors"),
        (edited(class_set={"name": "two", "class_names": ["../x", "anger"]}), "not a valid folder name"),
        (edited(class_set={"name": "two", "class_names": ["a\x1b", "anger"]}), "control character"),
        (edited(format_version=99), "has format 99"),
        (rewritten(b"a smile", b"a \\u001b[2J"), "is not one line of text"),
        (rewritten(b'"rank": 2', b'"rank": 7'), r"me/faces: descriptors\.jsonl, line 2"),
        (rewritten(b"}", b""), "line 1 is not a JSON object"),
    ],
)  # fmt: skip
def test_a_dataset_that_is_not_a_version_is_refused_and_leaves_no_files(
    hub: FakeHub, store: DescriptionStore, change: object, complaint: str
) -> None:
    files = remote(store)
    change(files)  # type: ignore[operator]
    hub.put("me/faces", **files)
    with pytest.raises(InputError, match=complaint) as caught:
        pull("me/faces")
    assert "dfer-prompts-" not in str(caught.value)
    assert store.list() == ["mine", "v1"]


def test_nothing_larger_than_a_version_is_fetched(hub: FakeHub, store: DescriptionStore) -> None:
    hub.put("me/faces", **remote(store), big__bin=b"x" * 1000)
    hub.sizes = {"descriptors.jsonl": 10**12}
    with pytest.raises(InputError, match=r"me/faces: descriptors\.jsonl has 953674 MiB; the maximum is 32"):
        pull("me/faces")
    hub.sizes = {}
    assert pull("me/faces").sha256 == load("mine").sha256
    assert not [path for _, path, _ in hub.requests if "big.bin" in path or path.endswith("README.md")]


def test_the_token_is_in_no_file(hub: FakeHub, store: DescriptionStore, isolated: Path) -> None:
    push("mine", "me/faces")
    pull("me/faces")
    assert any(authorization == f"Bearer {TOKEN}" for _, _, authorization in hub.requests)
    for path in isolated.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
