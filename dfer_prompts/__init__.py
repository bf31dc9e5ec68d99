"""Description sets for DFER-CLIP: asked, parsed, ranked, versioned. Importing this never imports torch.

What is listed here is what users may rely on; each name is imported when it is first used.

>>> import dfer_prompts
>>> dfer_prompts.load("v1@2").description("happiness")
'a smiling mouth and raised cheeks.'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .classes import ClassSet as ClassSet
    from .classes import ExpressionClass as ExpressionClass
    from .classes import class_set_names as class_set_names
    from .classes import load_class_set as load_class_set
    from .description_set import DescriptionSet as DescriptionSet
    from .description_set import Descriptor as Descriptor
    from .description_set import Manifest as Manifest
    from .description_set import join as join
    from .errors import InputError as InputError
    from .errors import WorkError as WorkError
    from .making import generate as generate
    from .making import generate_all as generate_all
    from .parsing import parse_answer as parse_answer
    from .ranking import rank as rank
    from .sources.controls import control_set as control_set
    from .sources.facs import facs_set as facs_set
    from .store import DescriptionStore as DescriptionStore
    from .store import load as load
    from .workspace import Workspace as Workspace

_HOMES = {
    "classes": ("ClassSet", "ExpressionClass", "class_set_names", "load_class_set"),
    "description_set": ("DescriptionSet", "Descriptor", "Manifest", "join"),
    "errors": ("InputError", "WorkError"),
    "making": ("generate", "generate_all"),
    "parsing": ("parse_answer",),
    "ranking": ("rank",),
    "sources.controls": ("control_set",),
    "sources.facs": ("facs_set",),
    "store": ("DescriptionStore", "load"),
    "workspace": ("Workspace",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
