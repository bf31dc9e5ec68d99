"""What a caller catches: every public function answers bad input with an error of the one hierarchy."""

from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dfer_prompts
from dfer_prompts import (
    DescriptionStore,
    FrameChoices,
    InputError,
    WorkError,
    Workspace,
    calibrate,
    check,
    check_template,
    compare,
    control_set,
    data_features,
    dry_run,
    edited,
    evaluate,
    explain,
    export_file,
    export_model,
    facs_set,
    from_pretrained,
    generate,
    generate_all,
    import_checkpoint,
    import_file,
    join,
    load,
    load_class_set,
    load_template,
    log,
    optimize,
    predict,
    pull,
    push,
    push_model,
    rank,
    rank_classes,
    report,
    reproduce,
    require_unseen,
    score,
    search,
    sentence_set,
    shown_clips,
    stored_answers,
    train,
    train_dry_run,
)
from dfer_prompts.description_set import Seen
from dfer_prompts.errors import DferError, DiskError, FileError, system_errors
from dfer_prompts.llm.response_cache import ResponseStore

from .prompts.drafts import draft

# For these there is no wrong input: they take any text, or two sets, or nothing.
TOTAL = {"class_set_names", "diff", "normal_form", "parse_answer"}
CLASSES = {name for name in dfer_prompts.__all__ if inspect.isclass(getattr(dfer_prompts, name))}


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path)


@pytest.fixture
def blocked(tmp_path: Path) -> Workspace:
    """A workspace that has files where folders belong, and folders where files belong."""
    for name in ("descriptions", "prompts", "comparisons", ".dfer"):
        (tmp_path / name).write_text("x")
    for name in ("runs/r1/config.yaml", "runs/r1/run.json", "runs/r1/model.safetensors", "dfer.yaml"):
        (tmp_path / name).mkdir(parents=True)
    return Workspace(tmp_path)


def seen() -> Any:
    known = load("v1")
    manifest = known.manifest.model_copy(update={"seen": (Seen(dataset="d", fingerprint="f", folds=(1,)),)})
    return type(known)("v1", known.class_names, known.members, manifest)


def refused() -> str:
    """A base URL at which nothing answers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{one.getsockname()[1]}/v1"


Case = tuple[str, Callable[[Workspace], object]]
# By the public name that is called, with a workspace that holds nothing.
BAD: list[Case] = [
    ("calibrate", lambda at: calibrate("r9", workspace=at)),
    ("check", lambda at: check(load("v1"), contexts=-1)),
    ("check_template", lambda at: check_template("t9", at, load_class_set("dfew"))),
    ("compare", lambda at: compare(workspace=at)),
    ("compare", lambda at: compare("v1", "v9", dataset="d9", workspace=at)),
    ("control_set", lambda at: control_set("c9", load("v1"))),
    ("data_features", lambda at: data_features("d9", "x.parquet", workspace=at)),
    ("data_features", lambda at: data_features("d9", at.root / "x.csv", workspace=at)),
    ("data_features", lambda at: data_features("x" * 5000, "x.parquet", workspace=at)),
    ("dry_run", lambda at: dry_run(None, workspace=at)),
    ("dry_run", lambda at: dry_run("dfew", template="t9", workspace=at)),
    ("edited", lambda at: edited(load("v1"), "fear: [")),
    ("evaluate", lambda at: evaluate("r9", workspace=at)),
    ("evaluate", lambda at: evaluate(at.root / "r9", workspace=at)),
    ("evaluate", lambda at: evaluate("r9", out=Path("x.csv"), workspace=at)),
    ("explain", lambda at: explain("r9", "x.mp4", workspace=at)),
    ("export_file", lambda at: export_file(load("v1"), at.root / "x.doc")),
    ("export_file", lambda at: export_file(load("v1"), "a\0b.csv")),
    ("export_file", lambda at: export_file(load("v1"), at.root / ("x" * 300 + ".csv"))),
    ("export_file", lambda at: export_file(load("v1"), "/dev/null/x.csv")),
    ("export_model", lambda at: export_model("r9", workspace=at)),
    ("facs_set", lambda at: facs_set(load_class_set("dfew"), 99)),
    ("from_pretrained", lambda at: from_pretrained("r9", workspace=at)),
    ("from_pretrained", lambda at: from_pretrained(at.root / "none.safetensors", workspace=at)),
    ("generate", lambda at: generate("c9", source="facs", workspace=at)),
    ("generate", lambda at: generate("dfew", model="m", base_url=refused(), workspace=at)),
    ("generate", lambda at: generate("dfew", model="demo", samples=0, workspace=at)),
    ("generate_all", lambda at: generate_all("dfew", template=["t9"], model=["demo"], workspace=at)),
    ("import_checkpoint", lambda at: import_checkpoint("none.pth", "dfew", workspace=at)),
    ("import_checkpoint", lambda at: import_checkpoint(at.root, "dfew", workspace=at)),
    ("import_file", lambda at: import_file("none.csv")),
    ("import_file", lambda at: import_file(at.root)),
    ("import_file", lambda at: import_file("a\0b.csv")),
    ("import_file", lambda at: import_file("/proc/self/mem", format="csv")),
    ("join", lambda at: join([])),
    ("load", lambda at: load("v9", at)),
    ("load", lambda at: load("v1@9999", at)),
    ("load_class_set", lambda at: load_class_set("c9")),
    ("load_class_set", lambda at: load_class_set("x" * 5000)),
    ("load_class_set", lambda at: load_class_set("/proc/self/mem")),
    ("load_template", lambda at: load_template("t9", at)),
    ("load_template", lambda at: load_template("a\0b", at)),
    ("log", lambda at: log(DescriptionStore(at), "v9")),
    ("predict", lambda at: predict("r9", ["x.mp4"], workspace=at)),
    ("predict", lambda at: predict("r9", ["x.mp4"], faces="f9", workspace=at)),
    ("predict", lambda at: predict("v1", "x.mp4", clip="c9", workspace=at)),
    ("predict", lambda at: predict("v1", "none.mp4", clip="demo", workspace=at)),
    ("predict", lambda at: predict("x" * 5000, "x.mp4", workspace=at)),
    ("pull", lambda at: pull("not a name", workspace=at)),
    ("push", lambda at: push("v9", "user/name", at)),
    ("push", lambda at: push("v1", "not a name", at)),
    ("push_model", lambda at: push_model("r9", "user/name", workspace=at)),
    ("rank", lambda at: rank([["a"]], 1, by="b9")),  # type: ignore[arg-type]
    ("rank_classes", lambda at: rank_classes({"a": [["b"]]}, 1, by="b9")),  # type: ignore[arg-type]
    ("report", lambda at: report(workspace=at)),
    ("report", lambda at: report("c9", out="/dev/null/x.html", workspace=at)),
    ("reproduce", lambda at: reproduce("t9", workspace=at)),
    ("reproduce", lambda at: reproduce("table1", published="a\0b", workspace=at)),
    ("reproduce", lambda at: reproduce("table1", out="/dev/null/x.md", workspace=at)),
    ("require_unseen", lambda at: require_unseen([seen()], "d", "f", [1])),
    ("score", lambda at: score("v9", workspace=at)),
    ("score", lambda at: score("v1", clip="c9", workspace=at)),
    ("optimize", lambda at: optimize("v1", folds=[2], dataset="d9", workspace=at)),
    ("search", lambda at: search("v1", folds=[], dataset="d9", workspace=at)),
    ("sentence_set", lambda at: sentence_set(load_class_set("dfew"), "no place")),
    ("shown_clips", lambda at: shown_clips(None, FrameChoices(dataset="d9", folds=[1]), at)),
    ("stored_answers", lambda at: stored_answers(ResponseStore(Path("x" * 5000)))),
    ("train", lambda at: train("v1", dataset="d9", workspace=at)),
    ("train", lambda at: train("v1", dataset="x" * 5000, workspace=at)),
    ("train_dry_run", lambda at: train_dry_run("v1", dataset="d9", workspace=at)),
]
# With a workspace of files where folders belong, and the other way round.
BLOCKED: list[Case] = [
    ("calibrate", lambda at: calibrate("r1", workspace=at)),
    ("check_template", lambda at: check_template("t9", at, load_class_set("dfew"))),
    ("compare", lambda at: compare("v9", dataset="runs", workspace=at)),
    ("data_features", lambda at: data_features("runs", "x.parquet", workspace=at)),
    ("evaluate", lambda at: evaluate("r1", workspace=at)),
    ("explain", lambda at: explain("r1", "x.mp4", workspace=at)),
    ("export_model", lambda at: export_model("r1", workspace=at)),
    ("from_pretrained", lambda at: from_pretrained(at.root / "runs" / "r1", workspace=at)),
    ("from_pretrained", lambda at: from_pretrained(at.runs / "r1" / "model.safetensors", workspace=at)),
    ("generate", lambda at: generate("dfew", source="facs", workspace=at)),
    ("generate", lambda at: generate("dfew", model="demo", workspace=at)),
    ("generate_all", lambda at: generate_all("dfew", model=["demo"], workspace=at)),
    ("import_checkpoint", lambda at: import_checkpoint(at.runs / "r1" / "config.yaml", "dfew", workspace=at)),
    ("load", lambda at: load("v9", at)),
    ("load_template", lambda at: load_template("t9", at)),
    ("predict", lambda at: predict("r1", ["x.mp4"], workspace=at)),
    ("push_model", lambda at: push_model("r1", "user/name", workspace=at)),
    ("report", lambda at: report("r1", workspace=at)),
    ("reproduce", lambda at: reproduce("table1", dataset="runs", workspace=at)),
    ("score", lambda at: score("v1", dataset="runs", workspace=at)),
    ("search", lambda at: search("v1", folds=[2], dataset="runs", workspace=at)),
    ("train", lambda at: train("v1", dataset="runs", workspace=at)),
    ("train_dry_run", lambda at: train_dry_run("v1", dataset="runs", workspace=at)),
    ("DescriptionStore.save", lambda at: DescriptionStore(at).save(load("v1"), "new")),
    ("DescriptionStore.verify", lambda at: DescriptionStore(at).verify("v9")),
    ("Workspace.find", lambda at: Workspace.find(at.descriptions)),
    ("Workspace.find", lambda at: Workspace.find(Path("x" * 5000))),
    ("Workspace.dataset", lambda at: at.dataset("x" * 5000)),
]


def ids(cases: list[Case]) -> list[str]:
    return [f"{name}-{number}" for number, (name, _) in enumerate(cases)]


def test_each_public_function_is_in_the_table() -> None:
    functions = set(dfer_prompts.__all__) - CLASSES - {"__version__"}
    assert functions - TOTAL == {name for name, _ in BAD}
    assert all(f"{name.partition('.')[0]}" in dfer_prompts.__all__ for name, _ in BLOCKED)


@pytest.mark.parametrize(("name", "call"), BAD, ids=ids(BAD))
def test_wrong_input_raises_the_public_error(
    name: str, call: Callable[[Workspace], object], place: Workspace
) -> None:
    with pytest.raises(DferError) as caught:
        call(place)
    unreachable = name == "generate" and "Connection refused" in str(caught.value)
    fails_to_read = "/proc/self/mem" in inspect.getsource(call) and "Input/output error" in str(caught.value)
    assert isinstance(caught.value, WorkError if unreachable or fails_to_read else InputError)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(("name", "call"), BLOCKED, ids=ids(BLOCKED))
def test_a_file_in_place_of_a_folder_is_an_input_error(
    name: str, call: Callable[[Workspace], object], blocked: Workspace
) -> None:
    with pytest.raises(InputError) as caught:
        call(blocked)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_missing_permissions_are_an_input_error(place: Workspace) -> None:
    file = place.root / "x.csv"
    export_file(load("v1"), file)
    file.chmod(0)
    place.root.chmod(0o500)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            import_file(file)
        with pytest.raises(InputError, match="Permission denied"):
            DescriptionStore(place).save(draft({"a": [["x"]], "b": [["y"]]}))
    finally:
        place.root.chmod(0o700)


def test_a_full_disk_is_a_work_error(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for call in (
        lambda: export_file(load("v1"), place.root / "x.csv"),
        lambda: generate("dfew", source="facs", version="new", workspace=place),
    ):
        with pytest.raises(WorkError, match="No space left on device: "):
            call()
    assert [path for path in place.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (FileNotFoundError(2, "No such file or directory", "x"), FileError),
        (PermissionError(13, "Permission denied", "x"), FileError),
        (OSError(28, "No space left on device", "x"), DiskError),
        (OSError(5, "Input/output error", "x"), DiskError),
        (InputError("x"), InputError),
        (BrokenPipeError(32, "Broken pipe"), BrokenPipeError),
        (ValueError("x"), ValueError),
    ],
)
def test_an_error_of_the_operating_system_keeps_its_words_and_status(
    raised: Exception, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught, system_errors():
        raise raised
    assert type(caught.value) is kind
    if isinstance(caught.value, FileError | DiskError):
        assert str(caught.value) == f"{raised.strerror}: x"  # type: ignore[attr-defined]
        assert isinstance(caught.value, OSError)
        assert caught.value.exit_status == 1
