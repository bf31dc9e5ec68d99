"""The images of `generate --source frames`: which are sent, where to, and what a server may answer."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dfer_prompts
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_prompts import InputError

from ... import drawn_clips
from ...drawn_clips import DESCRIBED, images_of, opened, text_of
from ...prompts.endpoint import FakeEndpoint, Reply, completion, serve
from .commands import Run, of_frames


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
    planned = json.loads(run(*of_frames(packed, "--dry-run", "--json"))[0])
    assert (planned["to_ask"], planned["images_folder"]) == (0, str(folder.resolve()))


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


def test_the_demo_model_reads_no_images(packed: PackedClips) -> None:
    with pytest.raises(InputError, match="the demo language model reads no images"):
        dfer_prompts.generate(source="frames", dataset=packed, folds=[2], model="demo")
