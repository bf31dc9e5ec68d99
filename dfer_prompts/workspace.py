"""The workspace: the folder in which a command runs, and its subfolders.

Shipped templates and versions are beside the package in a checkout and inside it in a wheel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from .errors import InputError, did_you_mean, system_errors
from .yaml_files import first_problem, parse_yaml

FILE = "dfer.yaml"


@dataclass(frozen=True)
class Workspace:
    """A folder and the paths inside it; folders are created when something is written."""

    root: Path = field(default_factory=Path.cwd)

    @classmethod
    @system_errors()
    def find(cls, given: Path | None = None) -> Workspace:
        """The given folder, else `DFER_PROMPTS_WORKSPACE`, else the current folder.

        Raises InputError if the folder does not exist.
        """
        root = Path(given or os.environ.get("DFER_PROMPTS_WORKSPACE") or Path.cwd())
        if not root.is_dir():
            raise InputError(f"the workspace {root} is not a folder\nCreate it: mkdir -p {root}")
        return cls(root.resolve())

    @property
    def descriptions(self) -> Path:
        """The workspace's own versions."""
        return self.root / "descriptions"

    @property
    def prompts(self) -> Path:
        """The workspace's own templates."""
        return self.root / "prompts"

    @property
    def responses(self) -> Path:
        """The response cache."""
        return self.root / ".dfer" / "responses"

    @property
    def edits(self) -> Path:
        """Edited texts: open in an editor, or not saved as a version because they were invalid."""
        return self.root / ".dfer" / "edits"

    @property
    def runs(self) -> Path:
        """A folder per run."""
        return self.root / "runs"

    @cached_property
    @system_errors()
    def defaults(self) -> Defaults:
        """The settings in `dfer.yaml`; command line and environment take precedence.

        Raises InputError, with the key, if the file is not a YAML mapping of known keys and their types.
        """

        return read_defaults(self.root / FILE)

    @property
    def face_model(self) -> Path | None:
        """The path of YuNet's ONNX file in `dfer.yaml`; None if it is not set."""
        named = self.defaults.face_model
        return self.root / Path(named).expanduser() if named else None

    @system_errors()
    def dataset(self, name_or_path: str) -> Path:
        """The folder of packed clips for a name in `dfer.yaml` or a path. Raises InputError."""
        named = self.defaults.datasets
        path = self.root / Path(named.get(name_or_path, name_or_path)).expanduser()
        if path.is_dir():
            return path
        make = "Create one: dfer-prompts data prepare NAME --root DIR --out DIR (or data draw --out DIR)"
        if name_or_path in named:
            raise InputError(
                f"dfer.yaml sets the dataset {name_or_path!r} to {path}, which is not a folder\n{make}"
            )
        neither = "not a folder of packed clips and not a name in dfer.yaml"
        names = f" (it has {', '.join(named)})" if named else ""
        raise InputError(
            f"no dataset {name_or_path!r}: {neither}{names}{did_you_mean(name_or_path, named)}\n{make}"
        )


PACKAGE = Path(__file__).parent
# By name, because in a checkout used as a workspace the user's versions are beside the shipped ones.
SHIPPED_VERSIONS = ("v1",)
SHIPPED_TEMPLATES = (
    "paper",
    "paper-fewshot",
    "structured",
    "contrastive",
    "action-units",
    "temporal",
    "synonyms",
    "optimize",
)


def shipped(folder: str) -> Path:
    """The folder `prompts` or `descriptions` shipped with the package."""
    in_wheel = PACKAGE / "shipped" / folder
    return in_wheel if in_wheel.is_dir() else PACKAGE.parent / folder


def is_shipped(path: Path) -> bool:
    """Whether the folder of a version or the file of a template is shipped with the package."""
    return (path.parent == shipped("descriptions") and path.name in SHIPPED_VERSIONS) or (
        path.parent == shipped("prompts") and path.stem in SHIPPED_TEMPLATES
    )


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
