"""A run: its definition, its folder, and its files. Imports no torch.

Two runs are the same if everything that affects their result is equal: settings, class texts, clips, fold and
seed. The *name* of a description set is not part of the definition: `v2@4` and a `v3` with equal texts are
one run, stored under the name with which it was first trained. Nor are the number of workers, the device and
the settings of `NOT_DEFINING`, which change time and memory, and the result by no more than rounding.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .config import BEFORE, Settings
from .digests import file_sha256, json_sha256, read_table, write_table
from .errors import InputError, did_you_mean
from .io import read_json, write_atomically
from .metrics import Measures, logit_measures
from .run_config import DatasetPart, check_config, checked_texts
from .yaml_loader import YAML_ERRORS, load_yaml, yaml_problem

FORMAT_VERSION = 1
NOT_DEFINING = {"workers", "accumulate", "fast_fp32", "compile"}
RESULT = "result.json"
DIGESTS = "sha256"  # the key of result.json with the digests of the run's files
DESCRIBING = ("config.yaml", "classes.json", "texts.json")
RESULTING = ("predictions.parquet", "model.safetensors")
DEMO_CLIP = Path(__file__).parent / "synthetic" / "demo_clip" / "model.safetensors"


@dataclass(frozen=True)
class ClassTexts:
    """The texts of a description set for the model: for each class, in label order, one text per member."""

    name: str  # "v2@4"
    sha256: str  # of the description set that was used
    class_names: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class RunSpec:
    """Everything that defines one training."""

    settings: Settings
    texts: ClassTexts
    dataset: Path | str  # a URL if the clips are streamed
    dataset_fingerprint: str
    fold: int
    seed: int
    notes: tuple[str, ...] = ()  # for the reader of result.json; not part of the definition
    # Of a run on several datasets; the fingerprint covers them.
    parts: tuple[DatasetPart, ...] = ()
    class_set: str | None = None  # the class set, or its file, that chose their classes

    @property
    def definition(self) -> str:
        """The sha256 of everything that affects the result; weight files count by their content."""
        chosen = self.settings.model_dump(mode="json", exclude=NOT_DEFINING)
        settings = {key: value for key, value in chosen.items() if key not in BEFORE or value != BEFORE[key]}
        settings["weights"] = weights_identity(self.settings)
        defining = {
            "format_version": FORMAT_VERSION,
            "settings": settings,
            "class_names": self.texts.class_names,
            "texts": self.texts.texts if self.settings.uses_texts else [],
            "dataset": self.dataset_fingerprint,
            "fold": self.fold,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(defining, sort_keys=True).encode()).hexdigest()

    @property
    def title(self) -> str:
        """The title of the run."""
        return f"{self.texts.name}, fold {self.fold}, seed {self.seed}"

    @property
    def id(self) -> str:
        """The name of the run's folder, such as `v2@4-fold1-seed1-0a1b2c3d`."""
        name = re.sub(r"[^A-Za-z0-9._@-]+", "-", self.texts.name).strip("-.")[:40] or "texts"
        return f"{name}-{self._ending}"

    @property
    def _ending(self) -> str:
        return f"fold{self.fold}-seed{self.seed}-{self.definition[:8]}"

    def folder(self, runs: Path) -> Path:
        """The folder of this run under `runs`: the existing one, under any name, else `runs`/id."""
        own = runs / self.id
        # Checked first: scanning all runs for each of a thousand runs would take quadratic time.
        return own if own.is_dir() else next(iter(self.folders(runs)), own)

    def folders(self, runs: Path) -> list[Path]:
        """The folders under `runs` with this run, under any name."""
        return sorted(path for path in runs.glob(f"*-{self._ending}") if path.is_dir())


def weights_identity(settings: Settings) -> str:
    """A pretrained tag unchanged; a weight file (also the demo CLIP's) as the sha256 of its bytes."""
    shipped = settings.clip == "demo" and settings.weights == "shipped"
    path = DEMO_CLIP if shipped else Path(settings.weights)
    if settings.weights == "random" or not path.is_file():
        return settings.weights
    stat = path.stat()
    return f"sha256:{_file_sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)}"


@lru_cache(maxsize=8)
def _file_sha256(path: Path, _size: int, _modified: int) -> str:
    """The sha256 of a file; size and time are part of the cache key, so a rewritten file is read again."""
    return file_sha256(path)


@lru_cache(maxsize=4096)
def _config_sha256(path: Path, _size: int, _modified: int) -> str:
    """The sha256 of a config.yaml without the path of the clips; cached, as results are read often."""
    config = read_mapping(path)
    dataset = config.get("dataset")
    if isinstance(dataset, dict):
        config["dataset"] = {key: value for key, value in dataset.items() if key != "path"}
        if isinstance(dataset.get("parts"), list):
            parts = [
                {key: value for key, value in each.items() if key != "path"} for each in dataset["parts"]
            ]
            config["dataset"]["parts"] = parts
    return json_sha256(config)


class Predictions(NamedTuple):
    """The predictions of a model for some clips, in one order."""

    clip_ids: list[str]
    labels: npt.NDArray[np.int64]  # (clips,), indices in the run's class order
    logits: npt.NDArray[np.float32]  # (clips, classes)


@dataclass(frozen=True)
class Run:
    """A run's folder, finished or not."""

    folder: Path
    config: dict[str, Any]
    texts: ClassTexts

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in `folder`. Raises InputError if it is not a run, or its files are damaged."""
        folder = Path(folder)
        if not (folder / "config.yaml").is_file():
            raise InputError(
                f"{folder} is not a run: it has no config.yaml\nTrain one: dfer-prompts train --help"
            )
        config = read_mapping(folder / "config.yaml")
        names = _read_json(folder / "classes.json")
        texts = _read_json(folder / "texts.json")
        try:
            check_config(config, folder / "config.yaml")
            class_names, by_class = checked_texts(names, texts, folder)
        except InputError as error:
            raise InputError(f"the run {folder} is damaged: {error}") from error
        known = ClassTexts(texts["name"], texts["sha256"], class_names, tuple(by_class.values()))
        return cls(folder, config, known)

    def named(self, name: str) -> Run:
        """The same run under another name of its description set (see the module docstring)."""
        return replace(self, texts=replace(self.texts, name=name))

    @property
    def id(self) -> str:
        """The name of the run's folder."""
        return self.folder.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names in the order of the logits."""
        return self.texts.class_names

    @property
    def fold(self) -> int:
        """The test fold."""
        return int(self.config["fold"])

    @property
    def seed(self) -> int:
        """The seed of initial values, clip order and augmentation."""
        return int(self.config["seed"])

    @cached_property
    def settings(self) -> Settings:
        """The run's settings. Raises InputError if config.yaml has no valid settings."""
        try:
            return Settings.model_validate(self.config.get("settings"))
        except ValueError as error:
            raise InputError(f"{self.folder / 'config.yaml'}: {' '.join(str(error).split())}") from error

    @property
    def finished(self) -> bool:
        """Whether the run is finished; result.json is written last."""
        return (self.folder / "result.json").is_file()

    def require_finished(self) -> None:
        """Raise InputError if the run is not finished."""
        if not self.finished:
            raise InputError(
                f"the run {self.folder} is not finished\nGive its train command again to continue"
            )

    @property
    def result(self) -> dict[str, Any]:
        """The content of result.json: measures, time, device, notes.

        Raises InputError for an unfinished run, and if result.json, config.yaml, classes.json or texts.json
        has changed since the run was finished.
        """
        self.require_finished()
        result = _read_json(self.folder / RESULT)
        if not isinstance(result, dict) or not isinstance(result.get(DIGESTS, {}), dict):
            raise InputError(f"{self.folder / RESULT} is damaged: it must contain one object")
        for name in (RESULT, *DESCRIBING):
            self._check(name, result)
        return result

    def checked(self, name: str) -> Path:
        """The path of a file of the finished run, such as `model.safetensors`.

        Raises InputError if its sha256 differs from the one in result.json. Runs of earlier versions have no
        digests there, and imported runs have no predictions.
        """
        self._check(name, self.result)
        return self.folder / name

    def finish(self, result: dict[str, Any]) -> None:
        """Write result.json, which marks the run as finished, with the sha256 of each of its files."""
        result = {key: value for key, value in result.items() if key != DIGESTS}
        names = [name for name in (*DESCRIBING, *RESULTING) if (self.folder / name).is_file()]
        digests = {name: self._sha256(name, result) for name in (*names, RESULT)}
        recorded = result | {DIGESTS: digests}
        write_atomically(self.folder / RESULT, json.dumps(recorded, ensure_ascii=False, indent=2) + "\n")

    def _check(self, name: str, result: dict[str, Any]) -> None:
        recorded = result.get(DIGESTS, {}).get(name)
        path = self.folder / name
        if recorded is None or (path.is_file() and self._sha256(name, result) == recorded):
            return
        wrong = "has changed since the run was finished" if path.is_file() else "is missing"
        raise InputError(f"{path} {wrong}\nRestore it from a copy, or delete {self.folder} and train again")

    def _sha256(self, name: str, result: dict[str, Any]) -> str:
        """The digest of a file of the run.

        result.json is hashed without the digests in it, and config.yaml without the path of the clips, which
        may change.
        """
        if name == RESULT:
            return json_sha256({key: value for key, value in result.items() if key != DIGESTS})
        path = self.folder / name
        if name == "config.yaml":
            stat = path.stat()
            return _config_sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)
        return file_sha256(path)

    @property
    def selections(self) -> tuple[str, ...]:
        """The recorded selection rules of the epoch, the stored one first; empty in an imported run."""
        return tuple(self.result["measures"])

    @property
    def selected(self) -> str:
        """The selection rule of the epoch whose weights are stored."""
        return str(self.result["selected"])

    def predictions(self, selection: str) -> Predictions:
        """Predictions for the run's test clips. Raises InputError for a selection it does not have."""
        if selection not in self.selections:
            have = ", ".join(self.selections)
            raise InputError(f"the run {self.id} has no selection {selection!r}; it has {have or 'none'}")
        return read_predictions(self.checked("predictions.parquet"), selection)

    def measures(self, selection: str) -> Measures:
        """The measures of the predictions for the run's test clips."""
        return self.measured(self.predictions(selection))

    def measured(self, predictions: Predictions) -> Measures:
        """The measures of predictions in the run's class order."""
        return logit_measures(predictions.labels, predictions.logits, self.class_names)


def find_run(runs: Path, given: str) -> Run:
    """The run with this folder, id under `runs`, or prefix of an id. Raises InputError."""
    if (Path(given) / "config.yaml").is_file():
        return Run.open(Path(given))
    ids = run_ids(runs)
    matches = matching_ids(ids, given)
    if len(matches) == 1:
        return Run.open(runs / matches[0])
    if matches:
        raise InputError(f"{given!r} matches {len(matches)} runs: {listed_ids(matches)}\nGive more of the id")
    if not ids:
        raise InputError(f"no run {given!r}, and none under {runs}\nTrain one: dfer-prompts train --help")
    hint = did_you_mean(given, beginnings(ids))
    raise InputError(f"no run {given!r}{hint}\nThere are: {listed_ids(ids)}")


def run_ids(runs: Path) -> list[str]:
    """The ids of the runs under `runs`, finished or not, sorted."""
    return sorted(path.parent.name for path in runs.glob("*/config.yaml"))


def matching_ids(ids: Sequence[str], given: str) -> list[str]:
    """The id that is `given`, else all ids that begin with it."""
    return [given] if given in ids else [name for name in ids if name.startswith(given)]


def beginnings(ids: Sequence[str]) -> list[str]:
    """What a user may type of the ids: without hash, without hash and seed, and whole; each once."""
    return list(dict.fromkeys(name.rsplit("-", parts)[0] for name in ids for parts in (2, 1, 0)))


def listed_ids(ids: Sequence[str]) -> str:
    """The first ten ids for a message; a comparison has hundreds of runs."""
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return ", ".join(ids[:10]) + more


def write_predictions(path: Path, class_names: Sequence[str], parts: dict[str, Predictions]) -> None:
    """Write a row per clip and selection to `path`, atomically.

    Columns: `clip_id`; `class_name` and `label`, the true class; `selection`; `predicted`, the name of the
    class with the largest logit; `probabilities`, the softmax of `logits`.
    """
    import pyarrow as pa
    from scipy.special import softmax

    tables = [
        pa.table(
            {
                "clip_id": pa.array(part.clip_ids, pa.string()),
                "class_name": pa.array([class_names[label] for label in part.labels], pa.string()),
                "label": pa.array(part.labels, pa.int64()),
                "selection": pa.array([selection] * len(part.clip_ids), pa.string()),
                "predicted": pa.array(
                    [class_names[best] for best in part.logits.argmax(axis=1)], pa.string()
                ),
                "probabilities": pa.array(list(softmax(part.logits, axis=1)), pa.list_(pa.float32())),
                "logits": pa.array(list(part.logits), pa.list_(pa.float32())),
            }
        )
        for selection, part in parts.items()
    ]
    write_table(path, pa.concat_tables(tables))


def read_predictions(path: Path, selection: str) -> Predictions:
    """The rows of one selection. Raises InputError if the file is missing, damaged or has no such row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        table = read_table(path)
        table = table.filter(pc.equal(table["selection"], selection))
        clip_ids, labels, logits = (table[name].to_pylist() for name in ("clip_id", "label", "logits"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path} is not a table of predictions: {' '.join(str(error).split())}") from error
    if not clip_ids:
        raise InputError(f"{path} has no predictions of the selection {selection!r}")
    return Predictions(clip_ids, np.array(labels, dtype=np.int64), np.array(logits, dtype=np.float32))


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises InputError."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        loaded = load_yaml(text)
    except YAML_ERRORS as error:
        raise InputError(f"{path} is not valid YAML: {yaml_problem(error, text)}") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{path} must contain `key: value` lines")
    return loaded


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: the run is incomplete") from error
    except ValueError as error:
        raise InputError(f"{path.parent}: {error}") from error
