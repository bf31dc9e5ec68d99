"""`optimize`: a scripted model on loopback edits a set, and clips of coloured noise decide what is kept."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import confusion_matrix

from dfer_model.comparison.zero_shot import video_features
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.evaluation.text_scores import text_features
from dfer_model.models.clip import load_clip
from dfer_prompts import load
from dfer_prompts.api.inputs import settings_for
from dfer_prompts.description_set import join
from dfer_prompts.workspace import Workspace

from ..model import tiny
from ..prompts.endpoint import FakeEndpoint, Reply, completion, serve
from .test_train import Terminal

NEW = (
    "raised cheeks and bared teeth", "tears", "a tightly pressed mouth", "flared nostrils", "wide open eyes",
    "a dropped jaw", "lowered eyebrows", "a wrinkled nose", "a tilted head", "narrow eyelids",
)  # fmt: skip


def edits(body: dict[str, Any], earlier: int) -> Reply:
    """Two additions that depend on the seed, and an edit that is refused."""
    seed = body["seed"]
    made = [
        {"class": name, "action": "add", "new": NEW[(seed + at) % len(NEW)]}
        for at, name in enumerate(("happiness", "sadness"))
    ]
    return Reply(
        completion(json.dumps({"edits": [*made, {"class": "fear", "action": "add", "new": "fear"}]}))
    )


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with serve() as endpoint:
        endpoint.script = edits
        yield endpoint


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", per_class=24, folds=3)


@pytest.fixture
def run(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    terminal = Terminal(monkeypatch, capsys)

    def run(command: str, *words: str, status: int = 0) -> tuple[str, str]:
        quick = {"frames": 2, "workers": 0, "weights": "random"}
        settings = [word for key, value in quick.items() for word in ("--set", f"{key}={value}")]
        scripted = command == "optimize" and "--model" not in words
        server = ["--base-url", endpoint.base_url, "--model", "tiny"] if scripted else []
        options = [*server, "--clip", tiny.register(), *settings]
        return terminal(*command.split(), *words, *options, status=status)

    return run


def optimized(run: Any, clips: PackedClips, *words: str) -> dict[str, Any]:
    data = ("v1@2", "--dataset", str(clips.path), "--folds", "2-3", "--rounds", "3", "--proposals", "2")
    made: dict[str, Any] = json.loads(run("optimize", *data, *words, "--json")[0])
    return made


def test_a_version_its_log_and_its_provenance(run: Any, packed: PackedClips, endpoint: FakeEndpoint) -> None:
    told = optimized(run, packed, "--version", "mine", "--test-fold", "1", "--controls")
    made, first = load("mine"), load("v1@2")
    assert told["accepted"] >= 1
    assert told["clips"] == {"chose": 24, "confirm": 24, "test": 24}
    assert (told["asked"], told["found"], len(endpoint.requests)) == (6, 0, 6)
    assert (told["edits"] + told["refused"]) == 18
    assert set(told["controls"]) == set(told["beside_controls"]) == {"random edits", "selection alone"}
    for each in (told, *told["controls"].values()):
        gain = each["tested"]["gain"]
        assert gain["low"] <= gain["value"] <= gain["high"]
    settings, *rounds, result = map(json.loads, Path("optimizations/mine.jsonl").read_text().splitlines())
    assert settings["first"]["fear"] == [each.text for each in first.members["fear"][0]]
    assert [each["round"] for each in rounds] == [1, 2, 3]
    assert all(len(each["prompt_sha256"]) == 64 and len(each["answers"]) == 2 for each in rounds)
    assert {each["reason"] for row in rounds for each in row["refused"]} >= {"class-name: names its class"}
    assert result["changes"] == told["changes"]
    last = [each for each in rounds if each["accepted"]][-1]
    assert rounds[-1]["uar"] == last["uar"] == told["uar_on_the_clips_that_chose"] > told["uar_of_the_first"]
    manifest = made.manifest
    assert manifest.parents == ["v1@2"]
    assert [(each.dataset, each.folds) for each in manifest.seen] == [("tiny", (2, 3))]
    assert (manifest.template, manifest.model) == ("optimize", "tiny")
    assert manifest.derivation["changes"] == told["changes"]
    rows = Path("descriptions/mine/responses.jsonl").read_text().splitlines()
    assert len(rows) == 6
    _, err = run("compare", "mine", "v1@2", "--dataset", str(packed.path), "--folds", "1-2", status=2)
    assert "mine was chosen with the labels of fold 2 of tiny, so it cannot be tested there" in err


def test_the_same_command_requests_nothing_again(
    run: Any, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    first = optimized(run, packed)
    again = optimized(run, packed)
    assert (again["asked"], again["found"], len(endpoint.requests)) == (0, 6, 6)
    assert again["changes"] == first["changes"]
    assert again["confirmed"] == first["confirmed"]


def test_an_interrupted_search_continues_with_the_stored_answers(
    run: Any, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    broken = Reply({"error": {"message": "out of memory"}}, status=400)
    endpoint.script = lambda body, earlier: broken if len(endpoint.requests) > 4 else edits(body, earlier)
    data = ("v1@2", "--dataset", str(packed.path), "--folds", "2-3", "--rounds", "3", "--proposals", "2")
    _, err = run("optimize", *data, "--json", status=1)
    assert "The answers are stored" in err
    endpoint.script = edits
    again = optimized(run, packed)
    assert (again["asked"], again["found"]) == (2, 4)


def test_the_budget_ends_the_rounds(run: Any, packed: PackedClips) -> None:
    told = optimized(run, packed, "--max-requests", "3")
    assert (told["asked"], told["rounds"]) == (3, 2)
    assert "--max-requests is reached" in told["stopped"]


def test_only_the_named_folds_are_read(run: Any, packed: PackedClips, tmp_path: Path) -> None:
    # Fold 1 gets other labels, and frames that no decoder reads.
    poisoned = [
        {**row, "class_name": "fear", "frames": [b"no image"]} if row["fold"] == 1 else row
        for row in tiny.rows(per_class=24, folds=3)
    ]
    other = write_packed(poisoned, tiny.CLASSES, tmp_path / "poisoned", {"dataset": "tiny"})
    first, second = (optimized(run, clips) for clips in (packed, other))
    for key in ("changes", "clips", "uar_on_the_clips_that_chose", "confirmed"):
        assert first[key] == second[key]


def test_a_model_without_edits_gains_nothing_and_makes_no_version(
    run: Any, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    endpoint.script = lambda body, earlier: Reply(completion("I cannot help with that."))
    told = optimized(run, packed)
    assert (told["version"], told["changes"], told["edits"]) == (None, [], 0)
    assert (told["answers_without_edits"], len(told["confirming_folds"])) == (6, 1)
    gain = told["confirmed"]["gain"]
    assert (gain["value"], gain["low"], gain["high"]) == (0, 0, 0)
    assert not Path("descriptions").exists()
    assert Path(told["log"]).is_file()
    data = ("v1@2", "--dataset", str(packed.path), "--folds", "2-3", "--rounds", "1", "--proposals", "1")
    shown = run("optimize", *data)[0]
    assert "1 of 1 answers had no readable edit." in shown
    assert "No change was accepted." in shown
    assert "No gain is confirmed" not in shown
    assert f"clips of fold {told['confirming_folds'][0]} that chose nothing" in shown


def test_a_template_of_the_workspace_takes_precedence(
    run: Any, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    Path("prompts").mkdir()
    text = "{{ classes[0].name }} {{ uar }} {{ confusions | length }} {{ history[0].uar }} JSON"
    Path("prompts/optimize.md").write_text(f"---\nname: optimize\npurpose: test\n---\n{text}\n")
    optimized(run, packed, "--max-requests", "1")
    assert endpoint.prompts()[0].startswith("happiness ")


def test_the_prompt_has_recalls_effects_and_confusions_of_the_choosing_clips(
    run: Any, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    Path("prompts").mkdir()
    text = (
        "{% for each in classes %}recall|{{ each.name }}|{{ each.recall }}\n"
        "{% for one in each.descriptors %}effect|{{ each.name }}|{{ one.text }}|{{ one.effect }}\n"
        "{% endfor %}{% endfor %}"
        "{% for each in confusions %}count|{{ each.true }}|{{ each.predicted }}|{{ each.count }}\n"
        "{% endfor %}"
        "uar|{{ uar }}"
    )
    Path("prompts/optimize.md").write_text(f"---\nname: optimize\npurpose: test\n---\n{text}\n")
    optimized(run, packed)
    shown = [line.split("|") for line in endpoint.prompts()[-1].splitlines()]
    figures = {tuple(line[:-1]): float(line[-1]) for line in shown}
    own = {name: [line[2] for line in shown if line[:2] == ["effect", name]] for name in tiny.CLASSES}
    options = {"clip": tiny.register(), "weights": "random", "overrides": ["frames=2", "workers=0"]}
    settings = settings_for(Workspace(Path()), "tiny", options)
    clip = load_clip(settings.clip, settings.weights)
    cache = Path(".dfer/features")
    videos = {fold: video_features(clip, packed, [fold], settings, cache, lambda *_: None) for fold in (2, 3)}

    @functools.cache
    def encoded(text: str) -> torch.Tensor:
        return text_features(clip, [text], [text])[0]

    def counts(fold: int, **changed: list[str]) -> Any:
        """Clips by true and predicted class, with the descriptors of a class changed."""
        texts = torch.stack([encoded(join(each)) for each in (own | changed).values()])
        predicted = (videos[fold].features @ texts.T).argmax(dim=1)
        return confusion_matrix(videos[fold].labels, predicted, labels=range(3))

    def percent(matrix: Any) -> Any:
        return 100 * matrix.diagonal() / matrix.sum(axis=1)

    def expected(fold: int) -> dict[tuple[str, ...], float]:
        matrix = counts(fold)
        uar = percent(matrix).mean()
        found = {("uar",): uar}
        for i, name in enumerate(tiny.CLASSES):
            found["recall", name] = percent(matrix)[i]
            found |= {
                ("count", name, other): matrix[i, j]
                for j, other in enumerate(tiny.CLASSES)
                if i != j and matrix[i, j]
            }
            for each in own[name]:
                without = counts(fold, **{name: [other for other in own[name] if other != each]})
                found["effect", name, each] = uar - percent(without).mean()
        return found

    assert any(value for key, value in figures.items() if key[0] == "effect")
    # One of the two folds chooses.
    assert figures in [pytest.approx(expected(fold), abs=0.051) for fold in (2, 3)]


def test_the_demo_model_is_named_as_such(run: Any, packed: PackedClips) -> None:
    data = ("v1@2", "--dataset", str(packed.path), "--folds", "2-3", "--rounds", "1", "--proposals", "1")
    out, err = run("optimize", *data, "--model", "demo", "--json")
    sentence = "demo language model, trained on generated text; for trying the tool"
    assert sentence in err
    settings = json.loads(Path(json.loads(out)["log"]).read_text().splitlines()[0])
    assert settings["model"] == f"demo ({sentence})"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("v1@2", "--folds", "9"), "has no fold 9"),
        (("v1@2", "--folds", "2-3", "--test-fold", "3"), "fold 3 is in --folds"),
        (("v1@2", "--folds", "2", "--version", "../x"), "a version cannot be named"),
    ],
)
def test_wrong_input_is_a_sentence(
    run: Any, packed: PackedClips, endpoint: FakeEndpoint, words: tuple[str, ...], said: str
) -> None:
    _, err = run("optimize", *words, "--dataset", str(packed.path), status=2)
    assert said in err
    assert endpoint.requests == []


def test_the_plot_and_the_report_show_rounds_edits_gains_and_controls(
    run: Any, packed: PackedClips, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--version", "mine", "--test-fold", "1", "--controls", "--plot", "rounds.svg")
    told = optimized(run, packed, *words)
    drawn = Path("rounds.svg").read_text()
    for text in ("round", "UAR in percent, choosing clips", "current set", "best candidate, accepted"):
        assert f">{text}</text>" in drawn
    assert ">random edits (control)</text>" in drawn
    assert ">Gain on test fold 1, points of UAR</text>" in drawn

    terminal = Terminal(monkeypatch, capsys)

    def report(*words: str, status: int = 0) -> str:
        return terminal("report", *words, status=status)[1]

    assert f"Written: {Path.cwd() / 'optimizations' / 'mine.html'}" in report("mine")
    page = Path("optimizations/mine.html").read_text()
    assert page.count("<svg") == 2
    report("optimizations/mine.jsonl", "--out", "mine.md")
    text = Path("mine.md").read_text()
    assert text.startswith("# mine from v1@2, optimised on tiny\n")
    (table,) = [part for part in text.split("\n\n") if part.startswith("| round |") and "best" in part]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    logged = [json.loads(line) for line in Path("optimizations/mine.jsonl").read_text().splitlines()][1:-1]
    assert [row[5] for row in rows] == [
        f"{told['uar_of_the_first']:.1f}", *(f"{each['uar']:.1f}" for each in logged)
    ]  # fmt: skip
    assert [row[6].split(":")[0] for row in rows[1:]] == ["yes" if e["accepted"] else "no" for e in logged]
    assert text.count("class-name: names its class") == 1 + told["refused"]
    for change in told["changes"]:
        assert change.replace("[", "\\[") in text.replace("&#39;", "'")
    for name, each in told["controls"].items():
        gain = each["tested"]["gain"]
        assert f"| {name} |" in text
        assert f"{gain['value']:+.2f} | {gain['low']:+.2f} to {gain['high']:+.2f} |" in text
    report("mine", "--out", "mine.csv")
    assert Path("mine.csv").read_text().splitlines()[0].startswith("round,uar,best_uar,accepted")
    assert "--latency requires a comparison or a run" in report("mine", "--latency", status=2)
    Path("optimizations/mine.jsonl").write_text(Path("optimizations/mine.jsonl").read_text()[:-200])
    assert "mine.jsonl is not a whole log of an optimisation" in report("mine", status=2)


def test_a_wrong_plot_is_refused_before_any_request(
    run: Any, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    data = ("v1@2", "--dataset", str(packed.path), "--folds", "2-3")
    assert (
        "a figure's name must end in .png or .svg" in run("optimize", *data, "--plot", "a.gif", status=2)[1]
    )
    assert endpoint.requests == []
