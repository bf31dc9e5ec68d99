"""`generate --source frames`: drawn faces go to a server on loopback that measures the images it receives."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.metrics import confusion_matrix

import dfer_prompts
from dfer_model.comparison.zero_shot import video_features
from dfer_model.data.captions import COLUMNS
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.evaluation.text_scores import text_features
from dfer_model.models.clip import load_clip
from dfer_prompts import FrameChoices, InputError, dry_run, load, shown_clips
from dfer_prompts.api.inputs import settings_for
from dfer_prompts.cli import main
from dfer_prompts.workspace import Workspace

from .. import drawn_clips
from ..drawn_clips import DESCRIBED, describing, images_of, opened, text_of
from ..model import tiny
from ..prompts.endpoint import FakeEndpoint, Reply, completion, serve

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with serve() as endpoint:
        endpoint.script = describing
        yield endpoint


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return drawn_clips.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture
def run(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str, status: int = 0) -> tuple[str, str]:
        server = [] if "--base-url" in words else ["--base-url", endpoint.base_url]
        model = [] if "--model" in words else ["--model", "tiny"]
        asked = [*server, *model] if words[0] == "generate" else []
        monkeypatch.setattr(sys, "argv", ["dfer-prompts", *words, *asked])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == status, err
        assert "Traceback" not in err
        return out, err

    return run


def of_frames(clips: PackedClips, *words: str) -> list[str]:
    data = ["--source", "frames", "--dataset", str(clips.path), "--folds", "2-3"]
    return ["generate", *data, "--clips", "3", "--frames", "2", "--samples", "3", "--top-k", "2", *words]


def manifest(version: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path("descriptions", version, "manifest.yaml").read_text())
    return loaded


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
    told = manifest("seen")
    assert (told["source"], told["template"]) == ("frames", "frames")
    assert told["seen"] == [{"dataset": "faces", "fingerprint": packed.fingerprint, "folds": [2, 3]}]
    clip_ids = told["derivation"]["clip_ids"]
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


def test_answers_are_stored_without_image_bytes_and_requested_once(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint, tmp_path: Path
) -> None:
    run(*of_frames(packed))
    jpegs = {jpeg for body in endpoint.requests for jpeg in images_of(body)}
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert b"base64" not in content
        assert not any(jpeg in content for jpeg in jpegs)
    (stored, *_) = Path(".dfer/responses").glob("*.json")
    parts = json.loads(stored.read_text())["request"]["messages"][0]["content"]
    assert {part["image_url"]["url"] for part in parts[1:]} <= {f"sha256:{sha256(jpeg)}" for jpeg in jpegs}
    out, _ = run("responses", "show", stored.stem)
    assert "[6 images]" in out
    endpoint.requests.clear()
    _, err = run(*of_frames(packed))
    assert endpoint.requests == []
    assert "Sending" not in err

    # One other pixel in one frame of one class: the requests of this class are sent again.
    changed = []
    for row in drawn_clips.rows():
        if row["class_name"] == "anger" and row["fold"] > 1:
            pixels = np.array(Image.open(io.BytesIO(row["frames"][0])))
            pixels[0, 0] = 255 - pixels[0, 0]
            row["frames"] = [drawn_clips.png(pixels)] * drawn_clips.FRAMES
        changed.append(row)
    other = write_packed(changed, packed.class_names, tmp_path / "other", {"dataset": "faces"})
    run(*of_frames(other))
    assert len(endpoint.requests) == 3
    assert all('"anger"' in text_of(body) for body in endpoint.requests)


def test_a_dry_run_writes_the_exact_images_and_sends_nothing(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint
) -> None:
    out, err = run(*of_frames(packed, "--dry-run"))
    assert endpoint.requests == []
    assert out.count("[6 images]") == 3
    assert '"surprise"' in out
    assert "would send 18 images of 9 clips of faces to 127.0.0.1" in err
    (folder,) = Path(".dfer/images").iterdir()
    assert str(folder.resolve()) in err
    with (folder / "images.csv").open(encoding="utf-8") as stream:
        listed = list(csv.DictReader(stream))
    written = {row["file"]: (folder / row["file"]).read_bytes() for row in listed}
    assert len(written) == len(listed) == 18
    assert {row["sha256"] for row in listed} == {sha256(jpeg) for jpeg in written.values()}
    assert {packed.class_name_of(packed.clip_ids.index(row["clip_id"])) for row in listed} == set(DESCRIBED)
    run(*of_frames(packed))
    assert {jpeg for body in endpoint.requests for jpeg in images_of(body)} == set(written.values())
    told = json.loads(run(*of_frames(packed, "--dry-run", "--json"))[0])
    assert (told["to_ask"], told["images_folder"]) == (0, str(folder.resolve()))


def test_images_go_to_another_machine_only_with_permission(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server is the proxy of a host that does not exist.
    monkeypatch.setenv("HTTP_PROXY", endpoint.base_url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    remote = of_frames(packed, "--base-url", "http://faces.example/v1")
    _, err = run(*remote, status=2)
    assert "this would send 18 images of 9 clips of faces to faces.example" in err
    assert "--send-images" in err
    assert endpoint.requests == []
    _, err = run(*remote, "--send-images")
    assert "Sending 18 images of 9 clips of faces to faces.example\n" in err
    assert len(endpoint.requests) == 9
    # All answers are stored now, so nothing is sent.
    run(*remote)
    assert len(endpoint.requests) == 9


def test_images_do_not_follow_a_redirect(run: Run, packed: PackedClips, endpoint: FakeEndpoint) -> None:
    with serve() as other:
        place = {"location": f"{other.base_url}/chat/completions"}
        endpoint.script = lambda body, earlier: Reply(status=307, headers=place)
        _, err = run(*of_frames(packed), status=1)
        assert other.requests == []
    assert f"{endpoint.base_url} answers 307" in err


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Invalid content type. image_url is only supported by certain models."),
        (400, "tiny is not a multimodal model"),
        (404, "No endpoints found that support image input"),
        (422, "messages[0]: content: Input should be a valid string"),
    ],
)
def test_a_model_that_accepts_no_images_is_a_sentence(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint, status: int, words: str
) -> None:
    endpoint.script = lambda body, earlier: Reply({"error": {"message": words}}, status=status)
    _, err = run(*of_frames(packed, "--concurrency", "1"), status=1)
    error = err[err.index("Error: ") :]
    assert f"tiny does not accept these images: {endpoint.base_url} answers {status}: {words}" in error
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't identify people in images.",
        "I'm not able to identify or describe the people in these images.",
        "I don't identify people based on their faces.",
        "Identifying individuals from images is against my guidelines.",
    ],
)
def test_an_answer_that_people_cannot_be_identified_is_a_refusal(
    run: Run, packed: PackedClips, endpoint: FakeEndpoint, answer: str
) -> None:
    endpoint.script = lambda body, earlier: Reply(completion(answer))
    _, err = run(*of_frames(packed), status=1)
    assert "9 responses had no usable answer: refused" in err
    assert answer in err


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


def test_large_frames_are_reduced_and_metadata_is_left_out(
    run: Run, endpoint: FakeEndpoint, tmp_path: Path
) -> None:
    endpoint.script = lambda body, earlier: Reply(completion("- an open mouth\n- raised cheeks"))
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x010E] = "a name of a person"
    sizes = {"anger": (300, 400), "fear": (336, 336), "surprise": (672, 40)}
    rows = []
    for name, (height, width) in sizes.items():
        stream = io.BytesIO()
        pixels = rng.integers(0, 255, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(stream, "JPEG", exif=exif)
        clip = {"clip_id": name, "class_name": name, "fold": 2, "source": "x"}
        rows.append({**clip, "frames": [stream.getvalue()]})
    clips = write_packed(rows, list(sizes), tmp_path / "large", {"dataset": "large"})
    data = ["--source", "frames", "--dataset", str(clips.path), "--folds", "2"]
    run("generate", *data, "--samples", "1", "--top-k", "1")
    sent = {text_of(body).split('"')[1]: images_of(body) for body in endpoint.requests}
    assert {name: [opened(jpeg).size for jpeg in images] for name, images in sent.items()} == {
        "anger": [(336, 252)],
        "fear": [(336, 336)],
        "surprise": [(20, 336)],
    }
    assert not any(b"a name of a person" in jpeg for images in sent.values() for jpeg in images)
    assert all("- image 1: one face\n" in text_of(body) for body in endpoint.requests)


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


def test_the_demo_model_reads_no_images(packed: PackedClips) -> None:
    with pytest.raises(InputError, match="the demo language model reads no images"):
        dfer_prompts.generate(source="frames", dataset=packed, folds=[2], model="demo")


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
    told = manifest("v2")
    assert {row["clip_id"] for row in rows} == {
        each for ids in told["derivation"]["clip_ids"].values() for each in ids
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
    told = manifest("v2")
    assert told["template"] == "frames-contrast"

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
    assert told["derivation"]["contrast"] == expected
    assert (told["derivation"]["confusions_of"], told["derivation"]["clip"]) == ("v1@1", tiny.register())
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
    made, told = load("both"), manifest("both")
    assert {name: len(members) for name, members in made.members.items()} == dict.fromkeys(DESCRIBED, 2)
    assert {each.text for each in made.members["disgust"][1]} == DESCRIBED["disgust"]
    assert (told["source"], told["seen"][0]["folds"]) == ("frames", [2, 3])
    assert told["derivation"]["command"] == "generate --ensemble"
    assert set(told["derivation"]["clip_ids"]) == set(DESCRIBED)
    assert [each["template"] for each in told["derivation"]["members"]] == ["frames", "own"]


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
    (told,) = dry_run(class_set, template="frames", samples=2, shown=shown, note=notes.append)
    assert told.sending == "6 images of 3 clips of faces to an unknown server"
    assert (told.requests, told.answered) == (6, None)
    assert told.prompt_tokens > 6 * 2 * 500  # an image has hundreds of tokens
    assert told.images_folder is not None
    assert len(list(Path(told.images_folder).rglob("*.jpg"))) == 6
    assert "no language model" in notes[0]
