"""A flipped bit in a file is refused when it is read, or is harmless."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import nn

from dfer_model.checkpoints import Progress, copy_weights, load_state, save_state
from dfer_model.data.index import read_index
from dfer_model.data.packed_writer import write_packed
from dfer_model.digests import check_tensors, write_tensors
from dfer_model.errors import InputError, WorkError
from dfer_model.runs import Predictions, Run, read_predictions, write_predictions

from ..damage import flipped

NAMES = ("happiness", "sadness")


def checkpoint(folder: Path) -> tuple[Path, Callable[[], Any]]:
    torch.manual_seed(1)
    model = nn.Linear(40, 30)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model(torch.ones(1, 40)).sum().backward()
    optimizer.step()
    path = folder / "state" / "checkpoint.pt"
    save_state(path, Progress(3), model, {"optimizer": optimizer})

    def read() -> Any:
        other = nn.Linear(40, 30)
        into = torch.optim.SGD(other.parameters(), momentum=0.9)
        epoch = load_state(path, other, {"optimizer": into}).epoch
        states = into.state_dict()
        momenta = [each["momentum_buffer"].tolist() for each in states["state"].values()]
        return epoch, other.weight.tolist(), other.bias.tolist(), momenta, states["param_groups"]

    return path, read


def tensors(folder: Path) -> tuple[Path, Callable[[], Any]]:
    path = folder / "m.safetensors"
    values = {"a": torch.arange(60.0).view(6, 10), "b": torch.arange(5)}
    write_tensors(path, save(values, metadata={"format": "pt", "class_names": "é, b"}))

    def read() -> Any:
        check_tensors(path)
        return {name: value.tolist() for name, value in load_file(path).items()}

    return path, read


def predictions(folder: Path) -> tuple[Path, Callable[[], Any]]:
    path = folder / "p.parquet"
    ids = [f"clip {number}" for number in range(40)]
    logits = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    write_predictions(path, NAMES, {"last": Predictions(ids, np.arange(40) % 2, logits)})

    def read() -> Any:
        found = read_predictions(path, "last")
        return found.clip_ids, found.labels.tolist(), found.logits.tolist()

    return path, read


def index(folder: Path) -> tuple[Path, Callable[[], Any]]:
    rows = (
        {"clip_id": f"c{n}", "class_name": NAMES[n % 2], "fold": n % 3, "source": "s", "frames": [b"x" * n]}
        for n in range(1, 30)
    )
    packed = write_packed(rows, NAMES, folder / "clips", {"dataset": "tiny"})
    return folder / "clips" / "index.parquet", lambda: repr(read_index(packed.path))


@pytest.mark.parametrize("made", [checkpoint, tensors, predictions, index])
def test_a_flipped_bit_is_refused_or_harmless(
    made: Callable[[Path], tuple[Path, Callable[[], Any]]], tmp_path: Path
) -> None:
    path, read = made(tmp_path)
    content = read()
    refused, changed = [], []
    for bit in flipped(path, 120):
        try:
            changed += [bit] if read() != content else []
        except (InputError, WorkError) as error:
            refused.append(str(error))
        except SafetensorError:  # `load_weights` makes a sentence of it
            refused.append(path.name)
    assert changed == []
    assert len(refused) > 60
    assert all(path.name in text for text in refused)
    assert read() == content


def test_files_of_earlier_versions_have_no_digest_and_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3)}, tmp_path / "m.safetensors")
    check_tensors(tmp_path / "m.safetensors")
    path, read = predictions(tmp_path)
    content = read()
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert read() == content


def test_weights_of_the_best_epoch_are_not_copied_when_damaged(tmp_path: Path) -> None:
    path, _ = tensors(tmp_path)
    copy_weights(path, tmp_path / "copy.safetensors")
    assert (tmp_path / "copy.safetensors").read_bytes() == path.read_bytes()
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(WorkError, match="missing or damaged"):
        copy_weights(path, tmp_path / "again.safetensors")
    assert not (tmp_path / "again.safetensors").exists()


def finished(folder: Path) -> Run:
    folder.mkdir()
    config = {"dataset": {"fingerprint": "f", "path": "/data/clips"}, "fold": 1, "seed": 2, "settings": {}}
    texts = {"name": "v2@4", "sha256": "ab", "texts": {"happiness": ["a smile."], "sadness": ["tears."]}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "classes.json").write_text(json.dumps(NAMES))
    (folder / "texts.json").write_text(json.dumps(texts))
    predictions = Predictions(["a", "b"], np.array([0, 1]), np.array([[2, 1], [3, 1]], np.float32))
    write_predictions(folder / "predictions.parquet", NAMES, {"last": predictions})
    write_tensors(folder / "model.safetensors", save({"a": torch.ones(3)}))
    run = Run.open(folder)
    run.finish({"selected": "last", "measures": {"last": {"uar": 50.0}}, "notes": ["a note"]})
    return Run.open(folder)


def use(folder: Path) -> None:
    run = Run.open(folder)
    run.predictions("last")
    run.checked("model.safetensors")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("config.yaml", "fold: 1", "fold: 3"),
        ("classes.json", "sadness", "sadnesr"),
        ("texts.json", "smile", "smilf"),
        ("result.json", "50.0", "51.0"),
        ("predictions.parquet", "", ""),
        ("model.safetensors", "", ""),
    ],
)
def test_every_file_of_a_finished_run_is_checked(tmp_path: Path, name: str, old: str, new: str) -> None:
    path = finished(tmp_path / "run").folder / name
    use(path.parent)
    content = path.read_bytes()
    path.write_bytes(content.replace(old.encode(), new.encode()) if old else content + b"\0")
    if name == "classes.json":  # or else its names are not those of the texts
        texts = path.parent / "texts.json"
        texts.write_bytes(texts.read_bytes().replace(old.encode(), new.encode()))
    with pytest.raises(InputError, match=r"has changed since the run was finished\nRestore it"):
        use(path.parent)


def test_files_of_another_run_are_refused(tmp_path: Path) -> None:
    run, other = finished(tmp_path / "one"), finished(tmp_path / "other")
    write_tensors(other.folder / "model.safetensors", save({"a": torch.zeros(3)}))
    (other.folder / "model.safetensors").replace(run.folder / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors has changed since"):
        run.checked("model.safetensors")
    (run.folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors is missing"):
        run.checked("model.safetensors")


def test_the_clips_of_a_finished_run_may_move(tmp_path: Path) -> None:
    path = finished(tmp_path / "run").folder / "config.yaml"
    path.write_text(path.read_text().replace("/data/clips", "/elsewhere"))
    use(path.parent)
    assert Run.open(path.parent).config["dataset"]["path"] == "/elsewhere"


def test_runs_without_digests_are_read(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    result = {key: value for key, value in run.result.items() if key != "sha256"}
    (run.folder / "result.json").write_text(json.dumps(result))
    (run.folder / "config.yaml").write_text((run.folder / "config.yaml").read_text() + "extra: 1\n")
    use(run.folder)
    assert run.predictions("last").clip_ids == ["a", "b"]
