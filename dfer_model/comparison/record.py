"""The record of a comparison: `compare` returns it and writes it as comparison.json; reports read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dfer_model.config import Settings
from dfer_model.errors import InputError
from dfer_model.io import read_json, write_atomically
from dfer_model.runs import ClassTexts

from .results import Comparison, Figure

RECORD = "comparison.json"
AGAIN = "Repeat its compare command: finished runs are reused"
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
_COMPARISON = ("selection", "folds", "seeds", "measures", "sets", "pairs", "verdicts", "caveats")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)


class ControlOrigin(_Record):
    """Which sets a control was made of, and with which seed."""

    made_of: tuple[str, ...]
    seed: int | None = None


class ScreenedSet(_Record):
    """One set of a screening: its UAR, and whether it was chosen for fine-tuning."""

    name: str
    uar: Figure
    chosen: bool


class Screening(_Record):
    """The screening that chose the compared sets; `sets` are sorted by UAR, best first, without controls."""

    clips_judged: str
    sets: tuple[ScreenedSet, ...]
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the sets that were chosen."""
        return tuple(each.name for each in self.sets if each.chosen)

    @property
    def caveats(self) -> tuple[str, ...]:
        """The caveats of the comparison of the chosen sets."""
        best = f"{', '.join(self.chosen)}: the best {len(self.chosen)} of {len(self.sets)} sets"
        return (f"{best} by a screening on {self.clips_judged}; the test folds were not used.", *self.notes)


class ComparedModel(_Record):
    """A finished run that was compared, and its measures in percent."""

    run: str
    folder: str
    descriptions: str
    selection: str
    fold: int
    seed: int
    uar: float
    war: float
    macro_f1: float
    calibration_error: float | None
    clips: int
    recalls: dict[str, float | None]
    confusion: tuple[tuple[int, ...], ...]  # rows: true class, columns: predicted class


class ComparisonRequest(_Record):
    """The options that a comparison was started with, as words of the command line.

    `sets` are names of sets or ids of runs; None is an option that was not given.
    """

    sets: tuple[str, ...]
    dataset: str
    measure: tuple[str, ...] = ()
    shots: tuple[int, ...] | None = None
    transfer_to: str | None = None
    controls: tuple[str, ...] = ()  # of the sets, by name
    screen: bool = False
    then: int | None = None
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    preset: str | None = None
    strategy: str | None = None
    clip: str | None = None
    weights: str | None = None
    epochs: int | None = None
    select: str | None = None
    freeze: str | None = None
    ensemble: str | None = None
    overrides: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """The command that starts the same comparison."""
        words = ["dfer-prompts", "compare", *self.sets]
        for name in self.controls:
            words += ["--control", name]
        words += ["--dataset", self.dataset]
        for name in self.measure:
            words += ["--measure", name]
        words += ["--screen"] if self.screen else []
        for option, value in (
            ("--then", self.then),
            ("--shots", numbers_text(self.shots) if self.shots else None),
            ("--transfer-to", self.transfer_to),
            ("--folds", numbers_text(self.folds) or None),
            ("--seeds", numbers_text(self.seeds) or None),
            ("--preset", self.preset),
            ("--strategy", self.strategy),
            ("--clip", self.clip),
            ("--weights", self.weights),
            ("--epochs", self.epochs),
            ("--select", self.select),
            ("--freeze", self.freeze),
            ("--ensemble", self.ensemble),
        ):
            words += [option, str(value)] if value is not None else []
        for each in self.overrides:
            words += ["--set", each]
        return words


class ComparisonRecord(_Record):
    """A comparison, stored as comparison.json in `folder`: the figures, and what they were computed from.

    `texts` are the compared sets, controls last. `runs` are the ids of the trained runs, measure by measure,
    fold by fold, seed by seed, set by set; those of `models` if finished runs were compared.
    `transfer_to` is the dataset of transfer. `figures` are pictures in `folder`. `clips` are the paths of the
    clips and, for transfer, of the other dataset's. Beside it confusions.json holds the confusion counts of
    measures whose predictions no run stores.
    """

    folder: Path
    dataset: str
    comparison: Comparison
    runs: tuple[str, ...]
    settings: Settings | None = None
    texts: tuple[ClassTexts, ...] = ()
    controls: dict[str, ControlOrigin] = Field(default_factory=dict)
    transfer_to: str | None = None
    figures: tuple[str, ...] = ()
    screening: Screening | None = None
    clips: tuple[str, ...] = ()
    models: tuple[ComparedModel, ...] = ()
    clips_judged: str | None = None
    request: ComparisonRequest | None = None  # None in files of version 0.1.0

    @property
    def of_runs(self) -> bool:
        """Whether finished runs were compared."""
        return bool(self.models)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the clips of the training, in label order; empty if they are not recorded."""
        if self.texts:
            return self.texts[0].class_names
        return tuple(self.models[0].recalls) if self.models else ()

    def as_dict(self) -> dict[str, Any]:
        """The content of comparison.json, and what `compare --json` prints.

        A figure has the key MEASURE_NAME, such as `few_shot_last_uar`. Only this module writes and reads it.
        """
        only_runs = {"models", "clips_judged"}
        only_sets = {"settings", "texts", "figures", "clips"}
        left_out = only_sets if self.of_runs else only_runs
        plain = self.model_dump(mode="json", exclude={"comparison", *left_out})
        first = {key: plain.pop(key) for key in ("folder", "dataset")}
        return {**first, **_plain_comparison(self.comparison), **plain}

    def write(self) -> None:
        """Write comparison.json."""
        write_atomically(self.folder / RECORD, json.dumps(self.as_dict(), ensure_ascii=False, indent=2))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ComparisonRecord:
        """The record of `as_dict`. Raises pydantic's ValidationError, KeyError or TypeError."""
        measures = plain["measures"]
        compared = {key: plain[key] for key in _COMPARISON}
        compared["sets"] = [_nested(row, measures) for row in plain["sets"]]
        rest = {key: value for key, value in plain.items() if key in cls.model_fields}
        return cls.model_validate({**rest, "comparison": compared})

    @classmethod
    def read(cls, folder: Path) -> ComparisonRecord:
        """The comparison in `folder`. Raises InputError if it is missing, damaged or incomplete."""
        path = folder / RECORD
        try:
            plain = read_json(path)
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing") from error
        except ValueError as error:
            raise InputError(f"{folder} is damaged: {error}\n{AGAIN}") from error
        missing = [key for key in NEEDED if key not in plain] if isinstance(plain, dict) else list(NEEDED)
        if missing:
            raise InputError(f"{path} does not hold {', '.join(missing)}\n{AGAIN}")
        try:
            return cls.from_dict({**plain, "folder": folder})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{path} is damaged: {where}: {first['msg']}\n{AGAIN}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is damaged ({type(error).__name__}: {error})\n{AGAIN}") from error


def numbers_text(numbers: Sequence[int] | None) -> str:
    """Numbers as the command line takes them: "1-5", "1,3"."""
    given = sorted(numbers or ())
    if len(given) > 2 and given == list(range(given[0], given[-1] + 1)):
        return f"{given[0]}-{given[-1]}"
    return ",".join(map(str, given))


def _prefix(measure: str) -> str:
    return f"{measure.replace('-', '_')}_"


def _plain_comparison(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values, each figure of a set under its own key."""
    plain: dict[str, Any] = TypeAdapter(Comparison).dump_python(comparison, mode="json")
    for row in plain["sets"]:
        for measure, each in row.pop("measures").items():
            figures = {"uar": each["uar"], "war": each["war"], **each["beside"], **each["curves"]}
            row |= {f"{_prefix(measure)}{name}": value for name, value in figures.items()}
    return plain


def _nested(row: Mapping[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    """A set of comparison.json with its figures by measure."""
    found: dict[str, Any] = {}
    for measure in measures:
        prefix = _prefix(measure)
        mine = {key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)}
        single = {name: value for name, value in mine.items() if "mean" in value}
        curves = {name: value for name, value in mine.items() if "mean" not in value}
        found[measure] = {
            "uar": single.pop("uar"),
            "war": single.pop("war"),
            "beside": single,
            "curves": curves,
        }
    return {"name": row["name"], "is_control": row["is_control"], "measures": found}
