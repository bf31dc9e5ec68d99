"""Where the shipped templates and versions lie: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent
# By name, because in a checkout that is used as a workspace one's own versions lie beside the shipped ones.
SHIPPED_VERSIONS = ("v1",)
SHIPPED_TEMPLATES = (
    "paper",
    "paper-fewshot",
    "structured",
    "contrastive",
    "action-units",
    "temporal",
    "synonyms",
)


def shipped(folder: str) -> Path:
    """The folder `prompts` or `descriptions` that came with the package."""
    in_wheel = PACKAGE / "shipped" / folder
    return in_wheel if in_wheel.is_dir() else PACKAGE.parent / folder


def is_shipped(path: Path) -> bool:
    """Whether a version's folder or a template's file is one that came with the package."""
    return (path.parent == shipped("descriptions") and path.name in SHIPPED_VERSIONS) or (
        path.parent == shipped("prompts") and path.stem in SHIPPED_TEMPLATES
    )
