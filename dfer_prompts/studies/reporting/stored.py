"""What is stored of a comparison, as a report reads it: the record, and the results of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from .finding import RECORD, RUN

NEEDED = (
    "dataset",
    "selection",
    "folds",
    "seeds",
    "measures",
    "sets",
    "pairs",
    "verdicts",
    "caveats",
    "runs",
)
AGAIN = "Give its compare command again: it finds the runs that are there and trains nothing twice"


class Trained(NamedTuple):
    """A training of a comparison: `variant` counts the shots or the classes held out, from 0."""

    measure: str
    variant: int
    name: str
    fold: int
    seed: int
    run: str


@dataclass(frozen=True)
class Stored:
    """A comparison as it is kept: `told` is comparison.json, `runs` is the folder its runs are in."""

    folder: Path
    told: dict[str, Any]
    runs: Path

    @classmethod
    def open(cls, folder: Path) -> Stored:
        """The comparison in `folder`. Raises InputError where it is damaged, or older than reports."""
        told = read_json(folder / RECORD)
        missing = [key for key in NEEDED if key not in told] if isinstance(told, dict) else list(NEEDED)
        if missing:
            raise InputError(f"{folder / RECORD} does not hold {', '.join(missing)}\n{AGAIN}")
        return cls(folder, told, folder.parent.parent / "runs")

    @property
    def sets(self) -> list[dict[str, Any]]:
        """The rows of the tables, the controls last."""
        return sorted(self.told["sets"], key=lambda each: bool(each["is_control"]))

    @property
    def names(self) -> list[str]:
        """The sets in the order of their trainings."""
        return [str(each["name"]) for each in self.told["sets"]]

    @property
    def candidates(self) -> list[str]:
        """The sets that are no controls."""
        return [each["name"] for each in self.sets if not each["is_control"]]

    @property
    def controls(self) -> list[str]:
        """The controls among the sets."""
        return [each["name"] for each in self.sets if each["is_control"]]

    @property
    def of_runs(self) -> bool:
        """Whether runs were compared as they are."""
        return "models" in self.told

    @cached_property
    def texts(self) -> dict[str, dict[str, Any]]:
        """Each set's class names, its texts in their order, and the sha256 of the set, as far as stored."""
        if not self.of_runs:
            return {each["name"]: each for each in self.told.get("texts", [])}
        found = {each["run"]: run_texts(Path(each["folder"])) for each in self.told["models"]}
        found |= {each.name: run_texts(self.runs / each.run) for each in self.trained}
        return {name: texts for name, texts in found.items() if texts}

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """By id, what result.json says of the runs that are there and whole."""
        found = {}
        for name in dict.fromkeys(self.told["runs"]):
            path = self.runs / name / RUN
            if path.is_file():
                found[name] = read_json(path)
        return found

    @cached_property
    def confusions(self) -> dict[str, Any]:
        """What confusions.json says; nothing where there is none."""
        path = self.folder / "confusions.json"
        return dict(read_json(path)) if path.is_file() else {}

    @cached_property
    def trained(self) -> list[Trained]:
        """What was trained for which measure; empty where the record does not say."""
        found = list(self._trained())
        ids = self.told["runs"]
        beside = len(self.told["models"]) if self.of_runs else 0
        if len(found) != len(ids) - beside:
            return []
        return [each._replace(run=str(run)) for each, run in zip(found, ids[beside:], strict=True)]

    def _trained(self) -> Iterator[Trained]:
        """Every training in the order of the runs, without its id."""
        names = self.names
        if self.of_runs:
            runs = {each["run"] for each in self.told["models"]}
            names = [name for name in names if name not in runs]
        for measure in self.told["measures"]:
            for variant in range(self._variants(measure)):
                for fold in self.told["folds"]:
                    for seed in self.told["seeds"]:
                        for name in names:
                            yield Trained(measure, variant, name, fold, seed, "")

    def _variants(self, measure: str) -> int:
        """How often a measure trains every set on every fold with every seed."""
        if measure in ("zero-shot", "screened"):
            return 0
        if measure == "few-shot":
            return sum(each != "0" for each in self.told["sets"][0]["few_shot_curve_uar"])
        return len(self.class_names) if measure == "held-out-class" else 1

    @property
    def class_names(self) -> list[str]:
        """The classes of the clips that were trained on, in label order."""
        if self.told.get("texts"):
            return list(self.told["texts"][0]["class_names"])
        return list(self.told["models"][0]["recalls"]) if self.of_runs else []

    def config(self) -> dict[str, Any]:
        """What config.yaml says of the first run that is there; empty where none is."""
        for name in self.told["runs"]:
            path = self.runs / name / "config.yaml"
            if path.is_file():
                return read_config(path)
        return {}


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises InputError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}\n{AGAIN}") from error


def read_config(path: Path) -> dict[str, Any]:
    """A run's config.yaml. Raises InputError where it is damaged."""
    from dfer_model.runs import read_mapping

    return read_mapping(path)


def run_texts(folder: Path) -> dict[str, Any]:
    """The class names and texts of a run; empty where they are not there, or it was given none."""
    if not (folder / "texts.json").is_file():
        return {}
    names, told = read_json(folder / "classes.json"), read_json(folder / "texts.json")
    texts = [told["texts"][name] for name in names]
    return {"name": told["name"], "sha256": told["sha256"], "class_names": names, "texts": texts}


def learned(folder: Path) -> list[Mapping[str, Any]]:
    """The rows of a run's metrics.jsonl, an epoch each; none where it is not there.

    Raises InputError where it is damaged.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}") from error
