"""Versions on disk: whole or absent, never changed, and read with care."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from dfer_prompts import DescriptionSet, DescriptionStore, Descriptor, InputError, Workspace, load
from dfer_prompts.workspace import shipped

from ..drafts import draft


@pytest.fixture
def store(isolated: Path) -> DescriptionStore:
    return DescriptionStore(Workspace(isolated))


def rows(path: Path) -> list[dict]:
    return [
        json.loads(line) for line in (path / "descriptors.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def test_a_version_has_the_specified_files(store: DescriptionStore) -> None:
    saved = store.save(
        draft(model="m", sampling={"seed": 1}), "mine", responses=[{"class_name": "anger", "é": 1}]
    )
    folder = store.path("mine")
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "descriptors.jsonl", "responses.jsonl", "manifest.yaml",
    }  # fmt: skip
    assert rows(folder)[0] == {
        "class_name": "happiness", "label": 0, "member": 0, "rank": 1, "descriptor": "a smile",
        "support": 1, "samples": 1, "wordings": [], "normal_form": "smile",
    }  # fmt: skip
    assert [(row["label"], row["member"], row["rank"]) for row in rows(folder)] == [
        (0, 0, 1), (0, 0, 2), (0, 0, 3), (1, 0, 1), (1, 0, 2), (1, 1, 1), (1, 1, 2),
    ]  # fmt: skip
    assert json.loads((folder / "responses.jsonl").read_text(encoding="utf-8")) == {
        "class_name": "anger",
        "é": 1,
    }
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text(encoding="utf-8"))
    assert manifest["format_version"] == 1
    assert manifest["class_set"] == {"name": "two", "class_names": ["happiness", "anger"]}
    assert manifest["created"] == "2026-01-02T03:04:05+00:00"
    assert set(manifest["files"]) == {"README.md", "descriptors.jsonl", "responses.jsonl"}
    assert saved == store.load("mine") == load("mine")
    assert saved.manifest == store.load("mine").manifest


def test_other_wordings_are_optional_in_rows(store: DescriptionStore) -> None:
    worded = Descriptor("Raised brows", 1, 3, 5, ("brows that are raised",))
    of = draft({"fear": [["x"]], "anger": [["a frown"]]})
    members = {**of.members, "fear": ((worded,),)}
    saved = store.save(DescriptionSet("", of.class_names, members, of.manifest), "mine")
    row, other = rows(store.path("mine"))
    assert row["wordings"] == list(worded.wordings)
    assert row["normal_form"] == "eyebrows rais"
    assert store.load("mine").members["fear"] == ((worded,),) == saved.members["fear"]
    old = {key: value for key, value in other.items() if key not in ("wordings", "normal_form")}
    lines = [json.dumps(row), json.dumps(old)]
    (store.path("mine") / "descriptors.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert store.load("mine") == saved


def test_without_requests_there_is_no_responses_file(store: DescriptionStore) -> None:
    store.save(draft(), "mine")
    assert not (store.path("mine") / "responses.jsonl").exists()


def test_versions_are_numbered_after_the_shipped_one_and_listed_naturally(store: DescriptionStore) -> None:
    assert store.list() == ["v1"]
    names = [store.save(draft()).name for _ in range(10)]
    assert names == [f"v{number}" for number in range(2, 12)]
    assert store.list() == [f"v{number}" for number in range(1, 12)]


def test_views_are_loaded_by_name(store: DescriptionStore) -> None:
    view = store.load("v1@2")
    assert view.name == "v1@2"
    assert view.description("fear") == "raised eyebrows and parted lips."


@pytest.mark.parametrize(
    ("ref", "complaint"),
    [
        ("v11", r"no description set 'v11'; did you mean v1\?\nThere are: v1"),
        ("../v1", "no description set"),
        ("/etc", "no description set"),
        ("", "no description set"),
        ("v1@x", "number of descriptors per class"),
        ("v1@", "number of descriptors per class"),
        ("v1@-1", "number of descriptors per class"),
        ("v1@²", "number of descriptors per class"),
        ("v1@0", "1 or more"),
        ("v1@5", r"fewer than 5 descriptors of: happiness \(4\), .* and 6 more"),
    ],
)
def test_an_invalid_reference_is_an_error(store: DescriptionStore, ref: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        store.load(ref)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".v2", "v2@4", "v2.", "a" * 65, "é", "v2\n", "-v"]
)
def test_bad_names_are_refused(store: DescriptionStore, name: str) -> None:
    with pytest.raises(InputError, match="cannot be named"):
        store.save(draft(), name)
    assert store.list() == ["v1"]


def test_an_existing_name_is_refused_in_any_case(store: DescriptionStore) -> None:
    store.save(draft(), "Mine")
    before = (store.path("Mine") / "manifest.yaml").read_bytes()
    for name in ("Mine", "mine", "V1", "v1"):
        with pytest.raises(InputError, match="already"):
            store.save(draft(), name)
    assert (store.path("Mine") / "manifest.yaml").read_bytes() == before


def test_other_folders_are_neither_listed_nor_overwritten(store: DescriptionStore, isolated: Path) -> None:
    (isolated / "descriptions" / "v2").mkdir(parents=True)
    (isolated / "descriptions" / "v2" / "notes.txt").write_text("mine", encoding="utf-8")
    assert store.list() == ["v1"]
    assert store.save(draft()).name == "v3"
    with pytest.raises(InputError, match="already"):
        store.save(draft(), "v2")
    assert [path.name for path in (isolated / "descriptions" / "v2").iterdir()] == ["notes.txt"]


def test_the_workspace_takes_precedence_over_shipped_files(store: DescriptionStore, isolated: Path) -> None:
    store.save(draft(), "mine")
    (isolated / "descriptions" / "mine").rename(isolated / "descriptions" / "v1")
    assert store.list() == ["v1"]
    assert store.load("v1").class_names == ("happiness", "anger")


RACE = textwrap.dedent("""
    import sys
    from pathlib import Path
    from dfer_prompts import DescriptionStore, InputError, Workspace, load
    store, draft = DescriptionStore(Workspace(Path(sys.argv[1]))), load(sys.argv[2])
    names = [f"race{turn}" for turn in range(30)] if sys.argv[3] == "named" else [None] * 10
    print("ready", flush=True)
    sys.stdin.readline()
    for name in names:
        try:
            print(store.save(draft, name).name)
        except InputError as error:
            assert "already" in str(error)
""")


def raced(root: Path, kind: str) -> list[list[str]]:
    """The names that each of two processes, started together, says it has written."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(root), ref, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for ref in ("v1@1", "v1@2")
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    written = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    return written


def test_of_two_writers_of_one_name_one_succeeds(store: DescriptionStore, isolated: Path) -> None:
    written = raced(isolated, "named")
    assert sorted(written[0] + written[1]) == sorted(f"race{turn}" for turn in range(30))
    for names, ref in zip(written, ("v1@1", "v1@2"), strict=True):
        assert all(store.load(name).sha256 == load(ref).sha256 for name in names)
    assert not [problem for name in store.list() for problem in store.verify(name)]
    assert not [path for path in (isolated / "descriptions").iterdir() if path.name.startswith(".")]


def test_concurrent_writers_without_a_name_get_different_numbers(
    store: DescriptionStore, isolated: Path
) -> None:
    written = raced(isolated, "unnamed")
    assert sorted(written[0] + written[1]) == sorted(f"v{number}" for number in range(2, 22))
    assert not [problem for name in store.list() for problem in store.verify(name)]


def test_a_name_taken_after_it_was_checked_is_not_overwritten(
    store: DescriptionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(draft(), "mine")
    monkeypatch.setattr(DescriptionStore, "check_name", lambda self, name: None)
    with pytest.raises(InputError, match="already"):
        store.save(store.load("v1"), "mine")
    assert store.load("mine").sha256 == draft().sha256


def test_a_killed_writer_leaves_no_incomplete_version(store: DescriptionStore, isolated: Path) -> None:
    program = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from dfer_prompts import DescriptionStore, Workspace, load
        def killed(source, target):
            os.kill(os.getpid(), signal.SIGKILL)
        Path.rename = killed
        DescriptionStore(Workspace(Path(sys.argv[1]))).save(load("v1"), "mine")
    """)
    ended = subprocess.run([sys.executable, "-c", program, str(isolated)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert [path.name[:6] for path in (isolated / "descriptions").iterdir()] == [".mine."]
    assert store.list() == ["v1"]
    assert store.save(draft(), "mine").name == "mine"
    assert store.list() == ["mine", "v1"]


def test_a_failed_write_leaves_no_files(
    store: DescriptionStore, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(draft(), "mine")
    assert list((isolated / "descriptions").iterdir()) == []


def test_verify_names_changed_missing_and_extra_files(store: DescriptionStore) -> None:
    store.save(draft(), "mine", responses=[{"a": 1}])
    folder = store.path("mine")
    assert not store.verify("mine")
    (folder / ".DS_Store").write_text("", encoding="utf-8")
    assert not store.verify("mine")
    (folder / "README.md").write_text("changed", encoding="utf-8")
    (folder / "responses.jsonl").unlink()
    (folder / "more.txt").write_text("", encoding="utf-8")
    assert sorted(problem.removeprefix(f"{folder}{os.sep}") for problem in store.verify("mine")) == [
        "README.md has changed since the version was written",
        "more.txt does not belong to the version",
        "responses.jsonl is missing",
    ]
    (folder / "manifest.yaml").unlink()
    assert "manifest.yaml is missing" in store.verify("mine")[0]


def test_verify_finds_a_manifest_that_does_not_fit_its_rows(store: DescriptionStore) -> None:
    store.save(draft(), "mine")
    path = store.path("mine") / "manifest.yaml"
    text = path.read_text(encoding="utf-8")
    text = text.replace("- happiness\n  - anger", "- anger\n  - happiness")
    path.write_text(text[: text.index("manifest_sha256")], encoding="utf-8")  # as those without a digest
    assert "line 1: label 0 is not the index of 'happiness'" in store.verify("mine")[0]


def test_verify_names_any_changed_byte_of_the_manifest(store: DescriptionStore) -> None:
    """Also where it quotes 64 zeros, which stand for its own digest while that is reckoned."""
    zeros = "0" * 64
    store.save(draft(template="paper", template_sha256=zeros, parents=["v1"]), "mine")
    assert store.verify("mine") == []
    path = store.path("mine") / "manifest.yaml"
    data = path.read_bytes()
    for old, new in (
        (b"source: llm", b"source: lmm"),
        (zeros.encode(), b"1" + zeros[1:].encode()),
        (b"\n", b"\r\n"),
    ):
        path.write_bytes(data.replace(old, new, 1))
        assert store.verify("mine") == [f"{path} has changed since the version was written"]


def _edited(store: DescriptionStore, file: str, old: str, new: str) -> None:
    store.save(draft(), "mine")
    path = store.path("mine") / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("manifest.yaml", "source: llm", "source: [", "manifest.yaml is not valid YAML"),
        ("manifest.yaml", "source: llm\n", "", "manifest.yaml: source: Field required"),
        ("manifest.yaml", "format_version: 1", "format_version: 2", "has format 2"),
        ("manifest.yaml", "source: llm", "source: llm\nextra: 1", "manifest.yaml: extra: Extra inputs"),
        ("manifest.yaml", "- anger", "- yes", "put them in quotes|unquoted yes"),
        ("manifest.yaml", "- anger", "- fear", "line 4: the class 'anger' is not in manifest.yaml"),
        ("descriptors.jsonl", '"rank": 2, ', "", "descriptors.jsonl, line 2: rank: Field required"),
        (
            "descriptors.jsonl",
            '"rank": 2',
            '"rank": 3',
            "line 2: member 0, rank 3 of 'happiness' is out of order",
        ),
        ("descriptors.jsonl", '"label": 0', '"label": 1', "line 1: label 1 is not the index"),
        (
            "descriptors.jsonl",
            '"support": 1',
            '"support": "1"',
            "line 1: support: Input should be a valid integer",
        ),
        ("descriptors.jsonl", "{", "", "line 1 is not a JSON object"),
        ("descriptors.jsonl", "a smile", "a\\nsmile", "'happiness' has a descriptor that is not one line"),
        ("descriptors.jsonl", "\n", "\n\n", "line 2 is not a JSON object"),
    ],
)
def test_a_corrupt_version_names_file_and_line(
    store: DescriptionStore, file: str, old: str, new: str, complaint: str
) -> None:
    _edited(store, file, old, new)
    with pytest.raises(InputError, match=complaint):
        store.load("mine")


def test_a_missing_or_binary_file_is_an_error(store: DescriptionStore) -> None:
    store.save(draft(), "mine")
    rows_file = store.path("mine") / "descriptors.jsonl"
    rows_file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"descriptors\.jsonl is not UTF-8"):
        store.load("mine")
    rows_file.unlink()
    with pytest.raises(InputError, match=r"descriptors\.jsonl is missing"):
        store.load("mine")


def test_foreign_text_is_escaped_in_the_card(store: DescriptionStore) -> None:
    nasty = draft(
        {"happiness": [["<script>x</script> | *b* [l](http://e)"]], "anger": [["a frown"]]}, model="m|`x`"
    )
    store.save(nasty, "mine")
    card = (store.path("mine") / "README.md").read_text(encoding="utf-8")
    assert "<script>" not in card
    assert r"\| \*b\* \[l\](http://e)" in card
    assert r"Model: m\|\`x\`" in card
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["configs"] == [{"config_name": "default", "data_files": "descriptors.jsonl"}]
    assert store.load("mine").members["happiness"][0][0].text == "<script>x</script> | *b* [l](http://e)"


def test_half_a_surrogate_pair_in_a_response_is_kept(store: DescriptionStore) -> None:
    store.save(draft(), "mine", responses=[{"text": "\ud83d"}])
    content = (store.path("mine") / "responses.jsonl").read_text(encoding="utf-8")
    assert json.loads(content) == {"text": "\ud83d"}
    assert not store.verify("mine")


def test_a_view_can_be_saved_as_a_version(store: DescriptionStore) -> None:
    saved: DescriptionSet = store.save(store.load("v1@2"), "two")
    assert saved.name == "two"
    assert saved.sha256 == store.load("two").sha256 == store.load("v1@2").sha256


def test_a_version_saved_in_a_checkout_belongs_to_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(shipped("descriptions") / "v1", checkout / "descriptions" / "v1")
    shutil.copytree(shipped("descriptions") / "v1", checkout / "descriptions" / "v2")
    monkeypatch.setattr("dfer_prompts.versions.store.shipped", lambda folder: checkout / folder)
    assert DescriptionStore(Workspace(checkout)).list() == ["v1", "v2"]
    assert DescriptionStore(Workspace(elsewhere)).list() == ["v1"]
    assert DescriptionStore(Workspace(elsewhere)).next_name() == "v2"
