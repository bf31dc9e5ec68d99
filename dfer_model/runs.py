"""A run: what defines it, its folder, and what can be read from it. Imports no torch.

Two runs are the same when everything that shapes their result is equal: the settings, the class texts, the
clips, the fold and the seed. The *name* of a description set is no part of that: `v2@4` and a `v3` of equal
texts are one run, found under whichever name it was first trained. Neither are the number of workers, the
device, and `accumulate`, which change time and memory, and the result by no more than rounding.
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
from .io import write_text
from .metrics import Measures, logit_measures
from .run_config import check_config, checked_texts
from .yaml_loader import YAML_ERRORS, load_yaml, yaml_problem

FORMAT_VERSION = 1
NOT_DEFINING = {"workers", "accumulate"}
RESULT = "result.json"
DIGESTS = "sha256"  # the key of result.json under which the digests of the run's files are
DESCRIBING = ("config.yaml", "classes.json", "texts.json")
RESULTING = ("predictions.parquet", "model.safetensors")
DEMO_CLIP = Path(__file__).parent / "synthetic" / "demo_clip" / "model.safetensors"


@dataclass(frozen=True)
class ClassTexts:
    """What the model is given of a description set: for each class, in label order, one text per member."""

    name: str  # "v2@4"
    sha256: str  # of the description set as used
    class_names: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class RunSpec:
    """Everything that defines one training."""

    settings: Settings
    texts: ClassTexts
    dataset: Path | str  # a URL where the clips are streamed
    dataset_fingerprint: str
    fold: int
    seed: int
    notes: tuple[str, ...] = ()  # what readers should know; they define nothing, and end in result.json

    @property
    def definition(self) -> str:
        """The sha256 of all that shapes the result; weights given as a file enter by their content."""
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
        """What a person calls the run."""
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
        """Where this run is under `runs`: where it already is, under whatever name, else `runs`/id."""
        own = runs / self.id
        # Asked for first: to look at all of a thousand runs for each of them would take their square.
        return own if own.is_dir() else next(iter(self.folders(runs)), own)

    def folders(self, runs: Path) -> list[Path]:
        """The folders under `runs` that have this run, under whatever name."""
        return sorted(path for path in runs.glob(f"*-{self._ending}") if path.is_dir())


def weights_identity(settings: Settings) -> str:
    """A pretrained tag as it is; a file of weights (the demo CLIP's too) as the sha256 of its bytes."""
    shipped = settings.clip == "demo" and settings.weights == "shipped"
    path = DEMO_CLIP if shipped else Path(settings.weights)
    if settings.weights == "random" or not path.is_file():
        return settings.weights
    stat = path.stat()
    return f"sha256:{_file_sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)}"


@lru_cache(maxsize=8)
def _file_sha256(path: Path, _size: int, _modified: int) -> str:
    """The sha256 of a file; size and time are in the key so that a rewritten file is read again."""
    return file_sha256(path)


@lru_cache(maxsize=4096)
def _config_sha256(path: Path, _size: int, _modified: int) -> str:
    """The sha256 of what a config.yaml says but for the path of the clips; a result is read many times."""
    config = read_mapping(path)
    dataset = config.get("dataset")
    if isinstance(dataset, dict):
        config["dataset"] = {key: value for key, value in dataset.items() if key != "path"}
    return json_sha256(config)


class Predictions(NamedTuple):
    """What a model answered for some clips, in one order."""

    clip_ids: list[str]
    labels: npt.NDArray[np.int64]  # (clips,), positions in the run's class order
    logits: npt.NDArray[np.float32]  # (clips, classes)


@dataclass(frozen=True)
class Run:
    """A run's folder, finished or not."""

    folder: Path
    config: dict[str, Any]
    texts: ClassTexts

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in `folder`. Raises InputError when it is no run, or its files are damaged."""
        folder = Path(folder)
        if not (folder / "config.yaml").is_file():
            raise InputError(
                f"{folder} is no run: it has no config.yaml\nTrain one: dfer-prompts train --help"
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
        """The same run under the name of the set it was asked for with (see the module's first lines)."""
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
        """The fold that judges the run."""
        return int(self.config["fold"])

    @property
    def seed(self) -> int:
        """The seed of initial values, order and augmentation."""
        return int(self.config["seed"])

    @cached_property
    def settings(self) -> Settings:
        """The run's settings. Raises InputError when config.yaml does not hold valid ones."""
        try:
            return Settings.model_validate(self.config.get("settings"))
        except ValueError as error:
            raise InputError(f"{self.folder / 'config.yaml'}: {' '.join(str(error).split())}") from error

    @property
    def finished(self) -> bool:
        """Whether the run is whole: result.json is written last."""
        return (self.folder / "result.json").is_file()

    def require_finished(self) -> None:
        """Raises InputError for a run that is not finished."""
        if not self.finished:
            raise InputError(f"the run {self.folder} is not finished\nGive its train command again to go on")

    @property
    def result(self) -> dict[str, Any]:
        """What result.json says: measures, time, device, notes.

        Raises InputError for an unfinished run, and when result.json, config.yaml, classes.json or texts.json
        is not what it was when the run was finished.
        """
        self.require_finished()
        result = _read_json(self.folder / RESULT)
        if not isinstance(result, dict) or not isinstance(result.get(DIGESTS, {}), dict):
            raise InputError(f"{self.folder / RESULT} is damaged: it must hold one object")
        for name in (RESULT, *DESCRIBING):
            self._check(name, result)
        return result

    def checked(self, name: str) -> Path:
        """The path of a file of the finished run, such as `model.safetensors`.

        Raises InputError when its sha256 is not the one in result.json. Runs of earlier versions have none
        there, and imported runs have no predictions.
        """
        self._check(name, self.result)
        return self.folder / name

    def finish(self, result: dict[str, Any]) -> None:
        """Write result.json, which makes the run finished, with the sha256 of each of the run's files."""
        result = {key: value for key, value in result.items() if key != DIGESTS}
        names = [name for name in (*DESCRIBING, *RESULTING) if (self.folder / name).is_file()]
        digests = {name: self._sha256(name, result) for name in (*names, RESULT)}
        recorded = result | {DIGESTS: digests}
        write_text(self.folder / RESULT, json.dumps(recorded, ensure_ascii=False, indent=2) + "\n")

    def _check(self, name: str, result: dict[str, Any]) -> None:
        recorded = result.get(DIGESTS, {}).get(name)
        path = self.folder / name
        if recorded is None or (path.is_file() and self._sha256(name, result) == recorded):
            return
        wrong = "is not what it was when the run was finished" if path.is_file() else "is missing"
        raise InputError(f"{path} {wrong}\nRestore it from a copy, or delete {self.folder} and train again")

    def _sha256(self, name: str, result: dict[str, Any]) -> str:
        """The digest of a file of the run.

        result.json is taken without the digests in it, and config.yaml without the path of the clips, which
        may be moved.
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
        """Ways of choosing the epoch that were recorded, the kept one first; none in an imported run."""
        return tuple(self.result["measures"])

    @property
    def selected(self) -> str:
        """The way of choosing the epoch whose weights are kept."""
        return str(self.result["selected"])

    def predictions(self, selection: str) -> Predictions:
        """The run's predictions for its test clips. Raises InputError for a selection it does not have."""
        if selection not in self.selections:
            have = ", ".join(self.selections)
            raise InputError(f"the run {self.id} has no selection {selection!r}; it has {have or 'none'}")
        return read_predictions(self.checked("predictions.parquet"), selection)

    def measures(self, selection: str) -> Measures:
        """What the run's predictions for its test clips are worth."""
        return self.measured(self.predictions(selection))

    def measured(self, predictions: Predictions) -> Measures:
        """What predictions in the run's class order are worth."""
        return logit_measures(predictions.labels, predictions.logits, self.class_names)


def find_run(runs: Path, given: str) -> Run:
    """The run that a folder, an id under `runs`, or the beginning of one means. Raises InputError."""
    if (Path(given) / "config.yaml").is_file():
        return Run.open(Path(given))
    ids = sorted(path.parent.name for path in runs.glob("*/config.yaml"))
    matches = [given] if given in ids else [name for name in ids if name.startswith(given)]
    if len(matches) == 1:
        return Run.open(runs / matches[0])
    if matches:
        raise InputError(f"{given!r} begins {len(matches)} runs: {_listed(matches)}\nGive more of the id")
    if not ids:
        raise InputError(f"no run {given!r}, and none under {runs}\nTrain one: dfer-prompts train --help")
    beginnings = [name.rsplit("-", parts)[0] for name in ids for parts in (2, 1, 0)]
    hint = did_you_mean(given, dict.fromkeys(beginnings))
    raise InputError(f"no run {given!r}{hint}\nThere are: {_listed(ids)}")


def _listed(ids: Sequence[str]) -> str:
    """The ids for a person: the first ten, for a comparison leaves hundreds."""
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return ", ".join(ids[:10]) + more


def write_predictions(path: Path, class_names: Sequence[str], parts: dict[str, Predictions]) -> None:
    """Write a row per clip and selection to `path`, whole or not at all."""
    import pyarrow as pa

    tables = [
        pa.table(
            {
                "clip_id": pa.array(part.clip_ids, pa.string()),
                "class_name": pa.array([class_names[label] for label in part.labels], pa.string()),
                "label": pa.array(part.labels, pa.int64()),
                "selection": pa.array([selection] * len(part.clip_ids), pa.string()),
                "logits": pa.array(list(part.logits), pa.list_(pa.float32())),
            }
        )
        for selection, part in parts.items()
    ]
    write_table(path, pa.concat_tables(tables))


def read_predictions(path: Path, selection: str) -> Predictions:
    """The rows of one selection. Raises InputError when the file is missing, damaged or has no such row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        table = read_table(path)
        table = table.filter(pc.equal(table["selection"], selection))
        clip_ids, labels, logits = (table[name].to_pylist() for name in ("clip_id", "label", "logits"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path} is no table of predictions: {' '.join(str(error).split())}") from error
    if not clip_ids:
        raise InputError(f"{path} has no predictions of the selection {selection!r}")
    return Predictions(clip_ids, np.array(labels, dtype=np.int64), np.array(logits, dtype=np.float32))


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises InputError."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        loaded = load_yaml(text)
    except YAML_ERRORS as error:
        raise InputError(f"{path} is not valid YAML: {yaml_problem(error, text)}") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{path} must hold `key: value` lines")
    return loaded


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: this is no whole run") from error
    except RecursionError as error:
        raise InputError(f"{path} is not valid JSON: it is nested too deep") from error
    except ValueError as error:  # no JSON, no UTF-8, a number of thousands of digits
        raise InputError(f"{path} is not valid JSON: {error}") from error
