"""The settings in a workspace's `dfer.yaml`.

pydantic-settings is not used for the precedence of command line, environment and file. It reads every field
from the environment, addresses and datasets too, and merges the dictionaries of several sources. Here few
values come from the environment, each where it is needed: the workspace (`workspace.py`), and the endpoint
(`llm/endpoint.py`), where the source of an address decides whether it receives the key. Messages for unknown
keys and wrong types name the file and the key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from .errors import InputError, did_you_mean
from .yaml_files import first_problem, parse_yaml

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Section(BaseModel):
    """A section of the file. A key without a value (`datasets:`) counts as not given."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: each for key, each in value.items() if each is not None}
        return value


class Price(_Section):
    """The price of a model, in US dollars per million tokens."""

    prompt: Dollars
    completion: Dollars

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The cost in US dollars of these token counts."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def dollars(amount: float) -> str:
    """An amount of US dollars with four decimals; a smaller one is not shown as zero."""
    return "under 0.0001 USD" if 0 < amount < 1e-4 else f"{amount:.4f} USD"


class Slurm(_Section):
    """Settings of Slurm jobs: options of sbatch, and shell lines to run before the training."""

    partition: Line | None = None
    account: Line | None = None
    qos: Line | None = None
    constraint: Line | None = None
    gres: Line | None = None  # gpu:1
    time: Line | None = None  # '8:00:00', quoted because YAML reads it as a number
    mem: Line | None = None
    cpus_per_task: Annotated[int, Field(ge=1)] | None = None
    options: dict[str, Line | int] = Field(default_factory=dict)  # further options of sbatch, by long name
    setup: list[Line] = Field(default_factory=list)

    def sbatch_options(self) -> dict[str, str | int]:
        """The given options by their long names."""
        named = self.model_dump(exclude={"options", "setup"}, exclude_none=True)
        return {name.replace("_", "-"): value for name, value in named.items()} | self.options


class Defaults(_Section):
    """The keys of `dfer.yaml`; command line and environment take precedence."""

    model: Line | None = None  # used if --model is not given
    base_url: Line | None = None  # the OpenAI-compatible endpoint
    datasets: dict[str, Line] = Field(default_factory=dict)  # name: folder of packed clips
    preset: Line | None = None
    presets: dict[str, dict[str, Any]] = Field(default_factory=dict)  # name: setting: value
    prices: dict[str, Price] = Field(default_factory=dict)  # by model
    slurm: Slurm = Field(default_factory=Slurm)  # settings of --engine slurm
    face_model: Line | None = None  # YuNet's ONNX file, the face detector of `predict`
    license: Line | None = None  # of new description sets, an identifier of the hub: cc-by-4.0


def read_defaults(path: Path) -> Defaults:
    """The settings in a `dfer.yaml`; the defaults if there is no such file.

    Raises InputError, with the key, if the file does not match `Defaults`.
    """
    if not path.is_file():
        return Defaults()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from error
    loaded = parse_yaml(text, str(path))
    known = f"known keys: {', '.join(Defaults.model_fields)}"
    if loaded is not None and not isinstance(loaded, dict):
        raise InputError(f"{path} must consist of `key: value` lines; {known}")
    strangers = [key for key in loaded or {} if key not in Defaults.model_fields]
    if strangers:
        hint = did_you_mean(str(strangers[0]), Defaults.model_fields)
        raise InputError(f"{path}: unknown key {strangers[0]!r}; {known}{hint}")
    try:
        return Defaults.model_validate(loaded or {})
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error
