"""The workspace: the folder in which a command runs, and its subfolders.

Shipped templates and versions are beside the package in a checkout and inside it in a wheel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError, did_you_mean, system_errors

if TYPE_CHECKING:
    from .defaults import Defaults

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
        from .defaults import read_defaults

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
    "frames",
    "frames-contrast",
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
