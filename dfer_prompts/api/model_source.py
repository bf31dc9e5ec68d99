"""What a prediction is made with: a finished run, a description set (zero-shot), or a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..description_set import DescriptionSet
from ..errors import InputError, did_you_mean
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .evaluate import finished_run
from .inputs import Choices, class_texts, settings_for
from .model_exchange import HUB, WEIGHTS, from_pretrained

if TYPE_CHECKING:
    from dfer_model.config import Settings
    from dfer_model.exchange.model_file import PretrainedModel
    from dfer_model.runs import Run

SETS = "descriptions/"  # the beginning of a name that means a description set only
OPTIONS = {"preset": "--preset", "clip": "--clip", "weights": "--weights", "overrides": "--set"}

Kind = Literal["run", "set", "file", "hub", "model"]


@dataclass(frozen=True)
class Source:
    """What the user gave, found but not loaded.

    `name` is its name: a run's id, "v2@4", a file, "hf://user/name". `note` says that another thing has the
    same name.
    """

    kind: Kind
    name: str
    run: Run | None = None
    described: DescriptionSet | None = None
    model: PretrainedModel | None = None
    note: str | None = None

    def load(self, workspace: Workspace, device: str, choices: Choices | None = None) -> PretrainedModel:
        """The model on its device. `choices` choose the CLIP of a description set.

        Raises InputError for choices with anything else than a description set, and as `from_pretrained`.
        """
        if self.described is not None:
            try:
                return _zero_shot(self.described, workspace, device, choices or {})
            except InputError as error:
                raise InputError(f"{error}\n{self.note}" if self.note else str(error)) from None
        self._refuse(choices or {})
        if self.model is not None:
            return self.model
        if self.kind == "hub":
            return from_pretrained(self.name, device=device, workspace=workspace)
        from dfer_model.devices import choose_device
        from dfer_model.evaluation.trained_model import load_trained
        from dfer_model.exchange.model_file import PretrainedModel, load_pretrained

        if self.run is None:
            return load_pretrained(Path(self.name), device)
        where = choose_device(device, tf32=self.run.settings.tf32)
        return PretrainedModel(self.run, load_trained(self.run, where), where)

    def _refuse(self, choices: Mapping[str, Any]) -> None:
        given = [OPTIONS[key] for key, value in choices.items() if value not in (None, (), [])]
        if given:
            raise InputError(
                f"{given[0]} chooses the CLIP of a description set; {self.name} has its own\n"
                f"Give {self.name} without {' and '.join(given)}, or a description set"
            )


def find_source(given: Run | PretrainedModel | DescriptionSet | Path | str, workspace: Workspace) -> Source:
    """What `given` names. A description set has precedence over a run whose id only begins with its name.

    A name is a run's folder, its id or the beginning of it, a description set ("v2@4"), a safetensors file or
    its folder, or "hf://user/name[@revision]"; "descriptions/v2@4" is a description set in any case. Raises
    InputError if there is no such thing, for several runs, and for a run that is not finished.
    """
    if isinstance(given, DescriptionSet):
        return Source("set", given.name, described=given)
    if isinstance(given, Path | str):
        return _named(str(given), workspace)
    from dfer_model.runs import Run

    if isinstance(given, Run):
        return Source("run", given.id, run=finished_run(given, workspace))
    return Source("model", given.run.id, model=given)


def _named(name: str, workspace: Workspace) -> Source:
    from dfer_model.runs import listed_ids, matching_ids, run_ids

    path, store = Path(name), DescriptionStore(workspace)
    if name.startswith(HUB):
        return Source("hub", name)
    ids = run_ids(workspace.runs)
    version, _, top = name.partition("@")
    is_set = version in store.list() and "-" not in top  # "v2@4-fold1" is the beginning of a run's id
    matching = matching_ids(ids, name)
    if (path / "config.yaml").is_file() or name in ids or (matching and not is_set):
        run = finished_run(name, workspace)
        return Source("run", run.id, run=run)
    is_file = path.is_file() or (path / WEIGHTS).is_file()
    if path.suffix == ".safetensors" or (is_file and not is_set):
        return Source("file", name)
    if is_set or name.startswith(SETS):
        described = store.load(name.removeprefix(SETS))
        note = (
            f"{name} is the description set; for a run, give its id: {listed_ids(matching)}"
            if matching
            else None
        )
        return Source("set", described.name, described=described, note=note)
    raise _nothing(name, ids, store.list(), workspace)


def _nothing(name: str, ids: list[str], sets: list[str], workspace: Workspace) -> InputError:
    from dfer_model.runs import beginnings, listed_ids

    hint = did_you_mean(name, [*sets, *beginnings(ids)]) or did_you_mean(name.partition("@")[0], sets)
    runs = listed_ids(ids) if ids else f"none under {workspace.runs}"
    return InputError(
        f"no run or description set {name!r}{hint}\nDescription sets: {', '.join(sets)}; runs: {runs}"
    )


def _zero_shot(
    described: DescriptionSet, workspace: Workspace, device: str, choices: Choices
) -> PretrainedModel:
    from dfer_model.devices import choose_device
    from dfer_model.exchange.model_file import PretrainedModel
    from dfer_model.runs import RunSpec
    from dfer_model.training.untrained import untrained_model

    settings = _settings(workspace, choices)
    where = choose_device(device, tf32=settings.tf32)
    texts = class_texts(described, described.class_names)
    spec = RunSpec(settings, texts, "", "", fold=1, seed=1)
    run, model = untrained_model(spec, workspace.runs, where)
    return PretrainedModel(run, model, where)


def _settings(workspace: Workspace, choices: Choices) -> Settings:
    """The settings of a zero-shot model. Raises InputError for those of parts that must be trained."""
    settings = settings_for(workspace, "", {**choices, "strategy": "zero-shot"})
    if not settings.is_zero_shot:
        raise InputError(
            "--set gives the model parts that must be trained; a description set predicts zero-shot\n"
            "Leave classifier, contexts, temporal_depth and epochs out, or train a run: dfer-prompts train"
        )
    return settings.model_copy(update={"lora_rank": 0})


@dataclass(frozen=True)
class ModelFacts:
    """What a model is, for the user."""

    kind: Kind
    name: str
    descriptions: str | None  # the set of its class texts, None for an unsaved one
    clip: str | None
    weights: str
    trained: bool

    @classmethod
    def of(cls, source: Source, run: Run) -> ModelFacts:
        """The facts on the model of `source`, which `run` describes."""
        settings = run.settings
        weights = Path(settings.weights)
        return cls(
            source.kind,
            source.name,
            (run.texts.name or None) if settings.uses_texts else None,
            settings.clip if settings.uses_clip else None,
            weights.name if weights.is_file() else settings.weights,
            not settings.is_zero_shot,
        )

    @property
    def drawn(self) -> bool:
        """Whether nothing was trained on clips, and the CLIP is the demo's, which knows drawn faces only."""
        return not self.trained and (self.clip, self.weights) == ("demo", "shipped")

    @property
    def note(self) -> str | None:
        """For a zero-shot model, what it is and how to train one; else None."""
        if self.trained:
            return None
        texts = self.descriptions or "an unsaved set"
        return (
            f"Zero-shot: {self.clip} ({self.weights}) with the texts of {texts}, not trained on labelled "
            "faces. To train a model: "
            f"dfer-prompts train --descriptions {self.descriptions or 'V'} --dataset DIR"
        )

    def as_dict(self) -> dict[str, Any]:
        """What `predict --json` prints as `model`."""
        return {**vars(self), "note": self.note}
