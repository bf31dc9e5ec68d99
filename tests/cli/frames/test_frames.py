"""Description sets from frames: what the faces show, provenance, contrast, clip descriptions."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import dfer_prompts
from dfer_model.comparison.zero_shot import video_features
from dfer_model.data.captions import COLUMNS
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.evaluation.text_scores import text_features
from dfer_model.models.clip import load_clip
from dfer_prompts import FrameChoices, dry_run, load, shown_clips
from dfer_prompts.api.inputs import settings_for
from dfer_prompts.workspace import Workspace

from ...drawn_clips import DESCRIBED, images_of, text_of
from ...model import tiny
from ...prompts.endpoint import FakeEndpoint, Reply, completion
from .commands import Run, manifest, of_frames


def test_the_descriptors_are_what_the_faces_of_the_class_show(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    _, err = run(*of_frames(packed))
    made = load("v2")
    assert made.class_names == packed.class_names
    for name in made.class_names:
        (descriptors,) = made.members[name]
        assert {each.text for each in descriptors} == DESCRIBED[name]
        assert [(each.support, each.samples) for each in descriptors] == [(3, 3), (3, 3)]
    # 3 classes x 3 clips x 2 frames; each request has those of one class.
    host = endpoint.base_url.removeprefix("http://").removesuffix("/v1")
    assert f"Sending 18 images of 9 clips of faces to {host} (this machine)" in err
    assert len(endpoint.requests) == 9
    assert {len(images_of(body)) for body in endpoint.requests} == {6}
    assert "- images 1 to 2: one face\n- images 3 to 4: one face\n" in text_of(endpoint.requests[0])


def test_provenance_has_folds_and_clips_and_the_folds_are_refused(run: Run, packed: PackedClips) -> None:
    run(*of_frames(packed, "--version", "seen"))
    written = manifest("seen")
    assert (written["source"], written["template"]) == ("frames", "frames")
    assert written["seen"] == [{"dataset": "faces", "fingerprint": packed.fingerprint, "folds": [2, 3]}]
    clip_ids = written["derivation"]["clip_ids"]
    assert {name: len(ids) for name, ids in clip_ids.items()} == dict.fromkeys(packed.class_names, 3)
    for name, ids in clip_ids.items():
        places = [packed.clip_ids.index(each) for each in ids]
        assert {packed.class_name_of(place) for place in places} == {name}
        assert {int(packed.folds[place]) for place in places} <= {2, 3}
    assert "answers of a multimodal model to frames of training clips" in Path(
        "descriptions/seen/README.md"
    ).read_text(encoding="utf-8")
    for command in ("compare", "descriptions score"):
        data = ("--dataset", str(packed.path), "--folds", "2")
        _, err = run(*command.split(), "seen", "v1", *data, "--clip", "demo", status=2)
        assert "seen was chosen with the labels of fold 2 of faces, so it cannot be tested there" in err


def test_classes_are_those_of_the_dataset_or_matched_by_name_and_alias(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    Path("two.yaml").write_text("name: two\nclasses: [{name: Surprised, words: great surprise}, angry]\n")
    run(*of_frames(packed, "--classes", "two.yaml"))
    made = load("v2")
    assert made.class_names == ("Surprised", "angry")
    assert {each.text for each in made.members["Surprised"][0]} == DESCRIBED["surprise"]
    assert any('"great surprise"' in text_of(body) for body in endpoint.requests)
    assert set(manifest("v2")["derivation"]["clip_ids"]) == {"Surprised", "angry"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--source", "frames", "--dataset", "D"), "--source frames requires --folds"),
        (("--source", "frames", "--dataset", "D", "--folds", "9"), "has no fold 9"),
        (("--source", "frames", "--dataset", "D", "--folds", "2", "--classes", "mafw"), "faces has no class"),
        (("--source", "frames", "--dataset", "D", "--folds", "1"), "a frame of clip test/"),
        (("--source", "frames", "--dataset", "D", "--folds", "2", "--template", "paper"), "shows no images"),
        (("--source", "frames", "--dataset", "D", "--folds", "2", "--clip", "demo"), "require --contrast"),
        (
            ("--source", "frames", "--dataset", "D", "--folds", "2", "--template", "frames-contrast"),
            "requires --contrast",
        ),
        (("--classes", "dfew", "--template", "frames"), "use --source frames"),
        (("--classes", "dfew", "--folds", "2"), "--folds requires --source frames, not llm"),
        (("--classes", "dfew", "--send-images"), "--send-images requires --source frames, not llm"),
        (
            (
                "--source", "frames", "--dataset", "D", "--folds", "2", "--per-clip", "--ensemble",
                "--model", "tiny", "--model", "other",
            ),
            "leave out --ensemble",
        ),
    ],
)  # fmt: skip
def test_wrong_input_is_refused_before_anything_is_sent(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint, words: tuple[str, ...], says: str
) -> None:
    endpoint.models = ["tiny", "other"]
    given = [str(packed.path) if word == "D" else word for word in words]
    _, err = run("generate", *given, status=2)
    assert says in err
    assert endpoint.requests == []


def test_python_makes_the_same_version(run: Run, packed: PackedClips, endpoint: FakeEndpoint) -> None:
    run(*of_frames(packed, "--version", "shown"))
    made = dfer_prompts.generate(
        source="frames",
        dataset=packed,
        folds=[2, 3],
        clips=3,
        frames=2,
        samples=3,
        top_k=2,
        model="tiny",
        base_url=endpoint.base_url,
        version="again",
    )
    assert made.descriptions.sha256 == load("shown").sha256
    assert (made.asked, made.found) == (0, 9)


def test_with_per_clip_every_clip_has_its_own_request_and_description(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    _, err = run(*of_frames(packed, "--per-clip"))
    assert len(endpoint.requests) == 27  # 3 classes x 3 clips x 3 samples
    assert {len(images_of(body)) for body in endpoint.requests} == {2}
    assert "Sending 18 images of 9 clips of faces" in err
    path = Path("clip_descriptions/v2.csv")
    assert f"Descriptions of clips: {path.resolve()}" in err
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {tuple(row) for row in rows} == {COLUMNS}  # the table of MAFW's captions has the same
    written = manifest("v2")
    assert {row["clip_id"] for row in rows} == {
        each for ids in written["derivation"]["clip_ids"].values() for each in ids
    }
    for row in rows:
        place = packed.clip_ids.index(row["clip_id"])
        assert (row["class_name"], int(row["fold"])) == (packed.class_name_of(place), packed.folds[place])
        assert row["source"] == "tiny"
        assert set(row["description"].removesuffix(".").split(" and ")) == DESCRIBED[row["class_name"]]
    answers = [json.loads(line) for line in Path("descriptions/v2/responses.jsonl").read_text().splitlines()]
    assert {row["clip_id"] for row in rows} == {answer["clip_id"] for answer in answers}
    assert [(each.support, each.samples) for each in load("v2").members["anger"][0]] == [(9, 9), (9, 9)]


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """Clips of coloured noise, because a tiny CLIP tells colours apart; fear has two colours."""
    rng = np.random.default_rng(0)
    colours = {name: [tiny.COLOURS[name]] * 4 for name in ("happiness", "sadness")}
    colours["fear"] = [(128, 128, 220)] * 5 + [(220, 40, 0)] * 3
    rows = [
        {
            "clip_id": f"{name}-{number}",
            "class_name": name,
            "fold": 2 + number % 2,
            "source": "noise",
            "frames": [tiny.png(colour, rng) for _ in range(4)],
        }
        for name, own in colours.items()
        for number, colour in enumerate(own)
    ]
    out = tmp_path_factory.mktemp("noise") / "packed"
    return write_packed(rows, tiny.CLASSES, out, {"dataset": "tiny"})


def test_contrast_shows_the_class_that_zero_shot_prediction_takes_it_for(
    run: Run, noise: PackedClips, endpoint: FakeEndpoint
) -> None:
    endpoint.script = lambda body, earlier: Reply(completion("- an open mouth\n- raised cheeks"))
    tower = ("--clip", tiny.register(), "--weights", "random")
    data = (
        "--source",
        "frames",
        "--dataset",
        str(noise.path),
        "--folds",
        "2-3",
        "--clips",
        "2",
        "--frames",
        "3",
    )
    run("generate", *data, "--samples", "1", "--top-k", "2", "--contrast", "--of", "v1@1", *tower)
    written = manifest("v2")
    assert written["template"] == "frames-contrast"

    # The same from the features: counts of wrong predictions, then mean similarity.
    options: Any = {"clip": tiny.register(), "weights": "random"}
    settings = settings_for(Workspace(Path()), "tiny", options)
    clip = load_clip(settings.clip, settings.weights)
    videos = video_features(clip, noise, [2, 3], settings, Path(".dfer/features"), lambda *_: None)
    sentences = [text for (text,) in load("v1@1").class_texts(noise.class_names)]
    similarity = (videos.features @ text_features(clip, sentences, sentences).T).numpy()
    matrix = confusion_matrix(videos.labels, similarity.argmax(axis=1), labels=range(3))
    expected = {}
    for label, name in enumerate(noise.class_names):
        others = [other for other in range(3) if other != label]
        mean = similarity[videos.labels == label].mean(axis=0)
        expected[name] = noise.class_names[max(others, key=lambda other: (matrix[label, other], mean[other]))]
        if name == "fear":  # most often taken for sadness, and more similar to happiness
            assert (expected[name], mean.argmax()) == ("sadness", 0)
    assert written["derivation"]["contrast"] == expected
    assert (written["derivation"]["confusions_of"], written["derivation"]["clip"]) == (
        "v1@1",
        tiny.register(),
    )
    for body in endpoint.requests:
        name = re.search(r'have and that are absent.* in "(.*)"', text_of(body))
        assert name is not None
        ((own, other),) = [
            pair for pair in expected.items() if pair[1] == name[1] and f'"{pair[0]}" have' in text_of(body)
        ]
        lines = re.findall(r'- images (\d+) to (\d+): one face, "(.*)"', text_of(body))
        assert [line[2] for line in lines] == [own, own, other, other]
        assert (lines[0][0], lines[-1][1]) == ("1", str(len(images_of(body))))


def test_an_ensemble_of_templates_keeps_the_provenance_of_the_frames(run: Run, packed: PackedClips) -> None:
    Path("prompts").mkdir()
    lines = "{% for clip in clips %}- images {{ clip.first }} to {{ clip.last }}: one face\n{% endfor %}"
    head = "---\nname: own\npurpose: A test.\nimages: class\n---\n"
    Path("prompts/own.md").write_text(f"{head}Describe the faces without a label.\n{lines}")
    templates = ("--template", "frames", "--template", "own")
    run(*of_frames(packed, *templates, "--ensemble", "--version", "both"))
    made, written = load("both"), manifest("both")
    assert {name: len(members) for name, members in made.members.items()} == dict.fromkeys(DESCRIBED, 2)
    assert {each.text for each in made.members["disgust"][1]} == DESCRIBED["disgust"]
    assert (written["source"], written["seen"][0]["folds"]) == ("frames", [2, 3])
    assert written["derivation"]["command"] == "generate --ensemble"
    assert set(written["derivation"]["clip_ids"]) == set(DESCRIBED)
    assert [each["template"] for each in written["derivation"]["members"]] == ["frames", "own"]


def test_the_seed_draws_the_clips(packed: PackedClips) -> None:
    drawn = []
    for seed in (1, 1, 2, 3, 4):
        _, shown = shown_clips(None, FrameChoices(dataset=packed, folds=[2, 3], clips=2, frames=3, seed=seed))
        assert {len(own) for own in shown.clips.values()} == {2}
        drawn.append({name: [clip.clip_id for clip in own] for name, own in shown.clips.items()})
    assert drawn[0] == drawn[1]
    assert len({str(each) for each in drawn}) > 1


def test_python_takes_the_clips_of_a_dry_run(packed: PackedClips) -> None:
    class_set, shown = shown_clips(None, FrameChoices(dataset=packed, folds=[2], clips=1, frames=2))
    notes: list[str] = []
    (planned,) = dry_run(class_set, template="frames", samples=2, shown=shown, note=notes.append)
    assert planned.sending == "6 images of 3 clips of faces to an unknown server"
    assert (planned.requests, planned.answered) == (6, None)
    assert planned.prompt_tokens > 6 * 2 * 500  # an image has hundreds of tokens
    assert planned.images_folder is not None
    assert len(list(Path(planned.images_folder).rglob("*.jpg"))) == 6
    assert "no language model" in notes[0]
