"""Description sets for DFER-CLIP: asked, parsed, ranked, versioned. Importing this never imports torch.

What is listed here is what users may rely on; each name is imported when it is first used.

>>> import dfer_prompts
>>> dfer_prompts.load("v1@2").description("happiness")
'a smiling mouth and raised cheeks.'

Joining several sets is in `dfer_prompts.ensembles`: `members` and `vote`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .asking.dry_run import dry_run as dry_run
    from .asking.stored_answers import stored_answers as stored_answers
    from .checks import Finding as Finding
    from .checks import check as check
    from .classes import ClassSet as ClassSet
    from .classes import ExpressionClass as ExpressionClass
    from .classes import class_set_names as class_set_names
    from .classes import load_class_set as load_class_set
    from .description_set import DescriptionSet as DescriptionSet
    from .description_set import Descriptor as Descriptor
    from .description_set import Manifest as Manifest
    from .description_set import Seen as Seen
    from .description_set import join as join
    from .difference import Difference as Difference
    from .difference import diff as diff
    from .editing import edited as edited
    from .errors import InputError as InputError
    from .errors import Interrupted as Interrupted
    from .errors import WorkError as WorkError
    from .making import generate as generate
    from .making import generate_all as generate_all
    from .parsing import parse_answer as parse_answer
    from .ranking import rank as rank
    from .ranking import rank_classes as rank_classes
    from .seen import require_unseen as require_unseen
    from .sources.controls import control_set as control_set
    from .sources.facs import facs_set as facs_set
    from .sources.sentences import sentence_set as sentence_set
    from .studies.calibrating import calibrate as calibrate
    from .studies.comparing import compare as compare
    from .studies.explaining import explain as explain
    from .studies.exporting import export_model as export_model
    from .studies.importing import import_checkpoint as import_checkpoint
    from .studies.judging import evaluate as evaluate
    from .studies.model_hub import from_pretrained as from_pretrained
    from .studies.model_hub import push_model as push_model
    from .studies.reporting import report as report
    from .studies.reproducing import reproduce as reproduce
    from .studies.scoring import score as score
    from .studies.searching import search as search
    from .studies.training import train as train
    from .studies.watching import predict as predict
    from .templates import Template as Template
    from .templates import load_template as load_template
    from .templates.checks import check_template as check_template
    from .versions.exchange import export_file as export_file
    from .versions.exchange import import_file as import_file
    from .versions.hub import pull as pull
    from .versions.hub import push as push
    from .versions.lineage import log as log
    from .versions.store import DescriptionStore as DescriptionStore
    from .versions.store import load as load
    from .wording import normal_form as normal_form
    from .workspace import Workspace as Workspace

_HOMES = {
    "checks": (
        "Finding",
        "check",
    ),
    "classes": (
        "ClassSet",
        "ExpressionClass",
        "class_set_names",
        "load_class_set",
    ),
    "description_set": (
        "DescriptionSet",
        "Descriptor",
        "Manifest",
        "Seen",
        "join",
    ),
    "difference": (
        "Difference",
        "diff",
    ),
    "asking.dry_run": ("dry_run",),
    "editing": ("edited",),
    "errors": (
        "InputError",
        "Interrupted",
        "WorkError",
    ),
    "versions.exchange": (
        "export_file",
        "import_file",
    ),
    "versions.hub": (
        "pull",
        "push",
    ),
    "versions.lineage": ("log",),
    "making": (
        "generate",
        "generate_all",
    ),
    "parsing": ("parse_answer",),
    "ranking": (
        "rank",
        "rank_classes",
    ),
    "seen": ("require_unseen",),
    "sources.controls": ("control_set",),
    "sources.facs": ("facs_set",),
    "sources.sentences": ("sentence_set",),
    "studies.calibrating": ("calibrate",),
    "studies.comparing": ("compare",),
    "studies.explaining": ("explain",),
    "studies.exporting": ("export_model",),
    "studies.importing": ("import_checkpoint",),
    "studies.judging": ("evaluate",),
    "studies.model_hub": (
        "from_pretrained",
        "push_model",
    ),
    "studies.reporting": ("report",),
    "studies.reproducing": ("reproduce",),
    "studies.scoring": ("score",),
    "studies.searching": ("search",),
    "studies.training": ("train",),
    "studies.watching": ("predict",),
    "versions.store": (
        "DescriptionStore",
        "load",
    ),
    "asking.stored_answers": ("stored_answers",),
    "templates.checks": ("check_template",),
    "templates": (
        "Template",
        "load_template",
    ),
    "wording": ("normal_form",),
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
