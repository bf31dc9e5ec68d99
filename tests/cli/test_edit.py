"""`dfer-prompts descriptions edit`, with small programs for the editor."""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dfer_prompts import DescriptionStore, Workspace
from dfer_prompts.cli.app import app
from dfer_prompts.errors import DferError, InputError, WorkError

from ..prompts.drafts import draft

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the editors here are shell scripts")


def invoke(*arguments: str, stdin: str | None = None) -> Result:
    command = ["descriptions", "edit", *arguments]
    return CliRunner().invoke(app, command, input=stdin, catch_exceptions=False)


@pytest.fixture
def store(isolated: Path) -> DescriptionStore:
    made = DescriptionStore(Workspace(isolated))
    made.save(draft({"joy": [["a smile", "bright eyes"]], "fear": [["wide eyes"]]}), "v2")
    return made


@pytest.fixture
def editor(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script whose `$1` is the file to edit; VISUAL wins over EDITOR."""
    path = isolated / "an editor.sh"
    monkeypatch.setenv("VISUAL", f"sh '{path}'")
    monkeypatch.setenv("EDITOR", "false")
    return path


def drafts(folder: Path) -> list[Path]:
    return sorted((folder / ".dfer" / "edits").iterdir())


def test_a_saved_text_is_a_new_version(store: DescriptionStore, editor: Path, isolated: Path) -> None:
    editor.write_text("""sed -i 's/^- bright eyes/- tears/; s/wide eyes/very wide eyes/' "$1" """)
    done = invoke("v2", "--version", "mine", "--message", "eyes do not shine")
    assert done.stdout == (
        "joy\n  - bright eyes  (rank 2)\n  + tears  (rank 2)\n"
        "fear\n  ~ wide eyes -> very wide eyes  (rank 1, support 1/1 -> 0/1)\n"
        "1 added, 1 removed, 1 reworded, 1 with other support in 2 of 2 classes\n"
    )
    made = store.load("mine")
    assert made.class_texts(["joy", "fear"]) == [["a smile and tears."], ["very wide eyes."]]
    assert made.manifest.parents == ["v2"]
    assert made.manifest.derivation["message"] == "eyes do not shine"
    assert drafts(isolated) == []


def test_an_unchanged_text_writes_no_version(store: DescriptionStore, editor: Path, isolated: Path) -> None:
    editor.write_text('echo "# a note" >> "$1"')
    assert "v2@1 is unchanged; no version is written" in invoke("v2@1").stderr
    assert json.loads(invoke("v1", "--json").stdout) == {"version": None, "parent": "v1", "difference": None}
    assert store.list() == ["v1", "v2"]
    assert drafts(isolated) == []


@pytest.mark.parametrize(
    ("script", "kind", "fault"),
    [
        ('sed -i s/^fear:/feer:/ "$1"', InputError, "line 12: no class 'feer'; did you mean fear?"),
        ('printf "fear: [" >> "$1"', InputError, "is not valid YAML: line 14"),
        ('printf "\\377" >> "$1"', InputError, "is not UTF-8 text (byte "),
        ('echo "# x" >> "$1"; exit 3', WorkError, "Editing failed"),
    ],
)
def test_text_is_never_lost(
    store: DescriptionStore,
    editor: Path,
    isolated: Path,
    script: str,
    kind: type[DferError],
    fault: str,
) -> None:
    editor.write_text(script)
    with pytest.raises(kind) as caught:
        invoke("v2")
    (path,) = drafts(isolated)
    assert fault in str(caught.value)
    assert str(caught.value).endswith(f"continue: dfer-prompts descriptions edit v2 --file {path}")
    repaired = path.read_bytes().replace(b"feer:", b"fear:").replace(b"fear: [", b"").replace(b"\xff", b"")
    path.write_bytes(repaired.replace(b"wide eyes", b"open mouth"))
    invoke("v2", "--file", str(path), "--version", "v9")
    assert store.load("v9").description("fear") == "open mouth."


def test_an_editor_that_cannot_be(
    store: DescriptionStore, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command, fault in [
        ("no-such-editor", "no-such-editor: Editing failed: .*\nSet VISUAL or EDITOR to your editor"),
        ("false", "false: Editing failed"),
        ("vi '", "No closing quotation"),
    ]:
        monkeypatch.setenv("VISUAL", command)
        with pytest.raises(WorkError, match=fault):
            invoke("v2")
    monkeypatch.delenv("VISUAL")
    monkeypatch.delenv("EDITOR", raising=False)
    with pytest.raises(InputError, match="no terminal to open an editor in"):
        invoke("v2")
    assert drafts(isolated) == []


def test_without_an_editor(store: DescriptionStore, isolated: Path) -> None:
    text = "joy: [a smile]\nfear: [wide eyes]\n"
    made = json.loads(invoke("v2", "--file", "-", "--json", stdin=text).stdout)
    assert (made["version"], made["parent"]) == ("v3", "v2")
    assert made["difference"]["counts"]["removed"] == 1
    with pytest.raises(InputError, match="standard input lacks the class 'fear'"):
        invoke("v2", "--file", "-", stdin="joy: [a smile]\n")
    (isolated / "windows.yaml").write_bytes(b"\xef\xbb\xbfjoy: [tears]\r\nfear: [wide eyes]\r\n")
    assert "tears" in invoke("v2", "--file", "windows.yaml").stdout
    with pytest.raises(InputError, match="there is no file nowhere"):
        invoke("v2", "--file", "nowhere")
    with pytest.raises(InputError, match="the description set 'v2' already exists"):
        invoke("v2", "--file", "nowhere", "--version", "v2")


def test_on_a_terminal_a_fault_may_be_put_right(
    store: DescriptionStore, editor: Path, isolated: Path
) -> None:
    import pty

    editor.write_text(
        """if grep -q '^feer:' "$1"; then sed -i 's/^feer:/fear:/; s/wide/red/' "$1"
        else sed -i s/^fear:/feer:/ "$1"; fi"""
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "dfer_prompts", "descriptions", "edit", "v2"])
    shown = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if b"Open the editor again? [Y/n]: " in shown and b"\n" not in shown.partition(b"[Y/n]: ")[2]:
            os.write(terminal, b"y\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert b"line 12: no class 'feer'" in shown
    assert store.load("v3").description("fear") == "red eyes."
