"""`train --dry-run`: estimates against values by hand and against a training; nothing is written."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from safetensors import safe_open

from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.runs import DEMO_CLIP
from dfer_model.synthetic.drawn_faces.dataset import clip_frames, plan_clips
from dfer_prompts.cli import main

from .test_train import Terminal

CLASSES = ("happiness", "sadness")
PLAN = plan_clips(14, 1, CLASSES)
TEST = [each for each in PLAN if each.fold == 1]
TRAIN = [each for each in PLAN if each.fold != 1]
WIDTH, HEADS, MLP, FRAMES, CONTEXTS = 128, 512, 1024, 4, 3
# Class token, positions, and a pre-norm layer: two norms, q, k and v without biases, output, MLP.
TEMPORAL = (
    WIDTH * (1 + FRAMES + 1)
    + 2 * 2 * WIDTH
    + 3 * HEADS * WIDTH
    + HEADS * WIDTH
    + WIDTH
    + 2 * WIDTH * MLP
    + MLP
    + WIDTH
)
CONTEXT = len(CLASSES) * CONTEXTS * WIDTH


class Estimated(NamedTuple):
    """The JSON of a dry run, and the files in its workspace afterwards."""

    output: dict[str, Any]
    files: list[Path]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    """14 clips of two frames of drawn faces, in five folds."""

    def jpeg(frame: Any) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, format="JPEG")
        return stream.getvalue()

    rows = (
        {
            "clip_id": each.clip_id,
            "class_name": each.class_name,
            "fold": each.fold,
            "source": "drawn",
            "frames": [jpeg(frame) for frame in islice(clip_frames(each, 1, 32), 2)],
        }
        for each in PLAN
    )
    return write_packed(rows, CLASSES, tmp_path_factory.mktemp("faces") / "packed", {"dataset": "drawn"})


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def words(faces: PackedClips, *more: object) -> list[object]:
    given = [
        "train",
        "--descriptions",
        "v1@2",
        "--dataset",
        faces.path,
        "--preset",
        "demo",
        "--device",
        "cpu",
    ]
    settings = [f"frames={FRAMES}", f"contexts={CONTEXTS}", "batch_size=4", "workers=0"]
    return [
        *given,
        "--track",
        "none",
        "--epochs",
        "2",
        *(word for each in settings for word in ("--set", each)),
        *more,
    ]


def estimate(run: Terminal, faces: PackedClips, *more: object) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run(*words(faces, *more), "--dry-run", "--json")[0])
    return result


@pytest.fixture(scope="module")
def base(faces: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Estimated:
    """A dry run in a workspace of its own."""
    folder = tmp_path_factory.mktemp("dry")
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["dfer-prompts", *map(str, words(faces)), "--dry-run", "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return Estimated(json.loads(out.getvalue()), sorted(folder.rglob("*")))


def demo_weights(*beginnings: str) -> int:
    """The weights of the demo CLIP's file under these names, without the statistics of BatchNorm."""
    with safe_open(DEMO_CLIP, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return sum(
        tensor.numel()
        for name, tensor in tensors.items()
        if name.startswith(beginnings)
        and not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )


def test_a_dry_run_counts_parameters_clips_and_steps_and_writes_nothing(base: Estimated) -> None:
    output = base.output
    assert base.files == []
    text_tower = demo_weights("transformer.", "ln_final.", "positional_embedding", "text_projection")
    assert {name: (each["parameters"], each["trained"]) for name, each in output["parameters"].items()} == {
        "image tower": (demo_weights("visual."), 0),
        "temporal model": (TEMPORAL, TEMPORAL),
        "prompt learner": (CONTEXT, CONTEXT),
        "text tower": (text_tower, 0),
    }
    assert [each["learning_rate"] for each in output["parameters"].values()] == [None, 5e-3, 1e-3, None]
    assert output["clips"]["train"] == Counter(each.class_name for each in TRAIN)
    assert output["clips"]["test"] == Counter(each.class_name for each in TEST)
    assert set(output["clips"]["val"].values()) == {0}
    assert output["folds"] == {
        str(fold): Counter(each.class_name for each in PLAN if each.fold == fold) for fold in range(1, 6)
    }
    assert (output["epochs"], output["batch_size"]) == (2, 4)
    assert output["steps_per_epoch"] == len(TRAIN) // 4
    assert output["augmentation"] == "random crop and flip"


def test_memory_time_and_files_follow_from_weights_and_measured_steps(
    run: Terminal, faces: PackedClips
) -> None:
    output = estimate(run, faces, "--select", "test-best", "--set", "ema=0.9")
    trained = 4 * (TEMPORAL + CONTEXT)
    # Weights, momentum and the average of the weights.
    assert output["temporary"]["state/checkpoint.pt"] == 3 * trained
    assert output["temporary"]["state/best-EPOCH.safetensors"] == output["writes"]["model.safetensors"]
    parameters = sum(each["parameters"] for each in output["parameters"].values())
    assert output["memory"]["model"] >= 4 * parameters
    assert output["memory"]["training"] >= 2 * trained  # gradients and momentum
    seconds = output["seconds"]
    assert len(seconds["steps"]) == 3
    assert min(seconds["steps"]) > 0
    step = sum(seconds["steps"]) / 3
    evaluation = step / 4 / 3 * len(TEST)  # a third of a training step per clip
    assert seconds["epoch"] == pytest.approx(len(TRAIN) // 4 * step + evaluation)
    assert seconds["total"] == pytest.approx(2 * seconds["epoch"] + evaluation)


def test_the_run_has_the_files_that_its_dry_run_lists(
    run: Terminal, faces: PackedClips, base: Estimated, isolated: Path
) -> None:
    trained = json.loads(run(*words(faces), "--json")[0])
    assert trained["run"] == base.output["run"] == Path(base.output["folder"]).name
    folder = Path(trained["folder"])
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock"}
    assert written == set(base.output["writes"])
    header = 2**16  # at most, of names and shapes
    size = (folder / "model.safetensors").stat().st_size - base.output["writes"]["model.safetensors"]
    assert 0 <= size < header
    again = estimate(run, faces)
    assert (base.output["finished"], again["finished"]) == (False, True)
    assert again["seconds"]["total"] == 0


def test_a_stopped_run_has_the_time_of_its_epochs_left(
    run: Terminal, faces: PackedClips, base: Estimated, isolated: Path
) -> None:
    folder = isolated / "runs" / base.output["run"]
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n')
    output = estimate(run, faces)
    seconds = output["seconds"]
    test = sum(seconds["steps"]) / 3 / 4 / 3 * len(TEST)
    assert output["epochs_done"] == 1
    assert seconds["total"] == pytest.approx(seconds["epoch"] + test)


def test_a_dry_run_prints_tables_and_sentences(run: Terminal, faces: PackedClips) -> None:
    mixed = [
        "--set",
        "brightness_jitter=0.5",
        "--set",
        "mixup=0.2",
        "--select",
        "val",
        "--set",
        "val_share=0.3",
    ]
    out, err = run(*words(faces, *mixed), "--dry-run")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"temporal model {TEMPORAL} {TEMPORAL} 0.005" in lines
    assert "class fold 1 fold 2 fold 3 fold 4 fold 5 training validation test" in lines
    assert "Augmentation: random crop and flip, brightness jitter 0.5, mixup 0.2" in lines
    assert any(line.startswith("Steps: ") and "2 epochs, 4 clips per step" in line for line in lines)
    assert any(line.startswith("Memory on cpu: model ") for line in lines)
    assert any(line.startswith("Time: ") and line.endswith(" s") for line in lines)
    assert "nothing was trained or written" in err


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        # A linear layer with biases on the video feature.
        (["--strategy", "linear-probe"], {"image tower": 0, "head": WIDTH * len(CLASSES) + len(CLASSES)}),
        (["--epochs", "0"], {"image tower": 0, "temporal model": 0, "prompt learner": 0, "text tower": 0}),
    ],
)
def test_a_dry_run_counts_the_trained_parameters_of_a_strategy(
    run: Terminal, faces: PackedClips, more: list[str], parts: dict[str, int]
) -> None:
    output = estimate(run, faces, *more)
    assert {name: each["trained"] for name, each in output["parameters"].items()} == parts
    assert (output["seconds"] is None) == (more == ["--epochs", "0"])


def test_a_dry_run_is_for_one_process(
    run: Terminal, faces: PackedClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    _, err = run(*words(faces), "--dry-run", status=2)
    assert "a dry run needs one process; torchrun started 2" in err
