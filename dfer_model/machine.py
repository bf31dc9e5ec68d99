"""What this machine has for the model's work: what is there, what is not, and what to do about that.

Nothing is downloaded or changed. Libraries are tried one after the other, so that a broken one is named and
the others are looked at all the same. torch is imported as the work would import it. Of torchvision, which
takes as long again to import, the compiled operators are loaded, which is where it fails beside a torch that
does not fit; open_clip, all Python, is only found. Imports no torch by itself.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from packaging.requirements import Requirement

from .cores import cores

PACKAGE = "dfer-prompts"
OLDEST_PYTHON = (3, 11)
# Distribution and the module that it brings, in the order in which they need each other.
SHOWN = {"torch": "torch", "torchvision": "torchvision", "open_clip_torch": "open_clip"}
OPERATORS = ("_C*.so", "_C*.pyd", "_C*.dylib")  # torchvision's compiled file, by the system's suffix
DEFAULT_CLIP = ("ViT-B-32-quickgelu", "openai")
CODECS = ("h264", "hevc", "mpeg4", "mjpeg", "vp9", "av1")  # what cameras, phones and data sets write
GIB = 2**30
BUILDING = ("dev", "docs")  # extras for work on the package itself
EXTRAS = {
    "lora": "fine-tuning by LoRA",
    "onnx": "ONNX files",
    "track": "TensorBoard",
    "web": "the page of dfer-prompts serve",
}

Requires = Callable[[str], Iterable[str] | None]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for; `needed` where training, judging or prediction cannot do without it."""

    subject: str
    state: Literal["ok", "missing", "wrong"]
    says: str
    advice: str = ""  # what to do, unless it is ok
    needed: bool = False

    @property
    def broken(self) -> bool:
        """Whether the main path does not work for it."""
        return self.needed and self.state != "ok"


def machine_findings() -> Iterator[Finding]:
    """Python, the libraries, GPU and cores, bfloat16, video codecs and CLIP's weights, in this order."""
    yield python_finding()
    yield from library_findings()
    yield from extra_findings()
    looks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("GPU", gpu_findings),
        ("cores", core_findings),
        ("bfloat16", bfloat16_findings),
        ("video", codec_findings),
        ("CLIP weights", clip_findings),
    )
    for subject, look in looks:
        yield from guarded(subject, look)


def guarded(subject: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What `look` finds, or that it cannot be looked at because a library is broken."""
    try:
        return list(look())
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        says = f"cannot be looked at: {_line(error)}"
        return [Finding(subject, "wrong", says, "Repair the libraries first")]


def python_finding() -> Finding:
    """The interpreter, which has an oldest version."""
    says = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding("Python", "wrong", says, f"Use Python {oldest} or newer", needed=True)
    return Finding("Python", "ok", says)


def library_findings(required: Requires = requires) -> Iterator[Finding]:
    """torch, torchvision and open_clip: importable, and each of a version that the others can work with.

    Then all that the package requires; `required` says what a distribution does, as importlib.metadata.
    """
    for name, module in SHOWN.items():
        yield _imported(name, module, [*unfit(name, required)])
    try:
        problems = [each for each in unfit(PACKAGE, required) if _name(each) not in SHOWN]
    except PackageNotFoundError:
        yield Finding("libraries", "wrong", f"{PACKAGE} is not installed as a package", "pip install .")
        return
    for each in problems:
        yield Finding(_name(each), "wrong", each, f"pip install '{each.partition(' but ')[0]}'", needed=True)
    if not problems:
        yield Finding("libraries", "ok", f"all that {PACKAGE} requires, in versions that fit")


def unfit(name: str, required: Requires = requires, extra: str = "") -> Iterator[str]:
    """What the distribution `name` requires and is not there so: "torch>=2.14 but 2.7.0 is installed".

    With `extra` what that extra adds, else what is required without one. Raises PackageNotFoundError.
    """
    for wanted in map(Requirement, required(name) or ()):
        if not _applies(wanted, extra):
            continue
        spoken = f"{wanted.name}{wanted.specifier}"
        try:
            there = version(wanted.name)
        except PackageNotFoundError:
            yield f"{spoken} but none is installed"
            continue
        if not wanted.specifier.contains(there, prereleases=True):
            yield f"{spoken} but {there} is installed"


def _applies(wanted: Requirement, extra: str) -> bool:
    """Whether it is required by this extra and not without one; for "" whether without any."""
    if wanted.marker is None:
        return not extra
    always = wanted.marker.evaluate({"extra": ""})
    return always if not extra else not always and wanted.marker.evaluate({"extra": extra})


def _imported(name: str, module: str, problems: list[str]) -> Finding:
    try:
        there = version(name)
        TRIED[module]()
    except PackageNotFoundError:
        return Finding(name, "missing", "not installed", f"pip install {name}", needed=True)
    except Exception as error:  # noqa: BLE001 - a library that is broken raises whatever it happens to
        again = f"Install it anew beside its neighbours: pip install --force-reinstall {' '.join(SHOWN)}"
        return Finding(name, "wrong", f"{there} cannot be imported: {_line(error)}", again, needed=True)
    if problems:
        fit = f"pip install {' '.join(repr(each.partition(' but ')[0]) for each in problems)}"
        return Finding(name, "wrong", f"{there} requires {'; '.join(problems)}", fit, needed=True)
    return Finding(name, "ok", there)


def _folder_of(module: str) -> Path:
    """The folder of an installed package, which is not imported. Raises ImportError where it is not there."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations or spec.origin is None:
        raise ImportError(f"its package {module} is not there")
    return Path(spec.submodule_search_locations[0])


def _load_operators() -> None:
    """Load torchvision's compiled operators into torch. Raises OSError where they do not fit it."""
    import torch

    if "torchvision" in sys.modules:
        return
    folder = _folder_of("torchvision")
    found = [path for pattern in OPERATORS for path in sorted(folder.glob(pattern))]
    if not found:
        raise ImportError(f"{folder} has no compiled operators")
    torch.ops.load_library(str(found[0]))  # type: ignore[no-untyped-call]


TRIED: Mapping[str, Callable[[], object]] = {
    "torch": lambda: import_module("torch"),
    "torchvision": _load_operators,
    "open_clip": lambda: _folder_of("open_clip"),
}


def extra_findings() -> Iterator[Finding]:
    """The package's optional parts, by the names with which pip installs them."""
    try:
        extras = [each for each in metadata(PACKAGE).get_all("Provides-Extra") or [] if each not in BUILDING]
    except PackageNotFoundError:
        return
    for extra in extras:
        problems = [*unfit(PACKAGE, extra=extra)]
        says = "; ".join(problems) or EXTRAS.get(extra, "installed")
        advice = f"For {EXTRAS.get(extra, 'it')}: pip install '{PACKAGE}[{extra}]'" if problems else ""
        yield Finding(f"extra {extra}", "missing" if problems else "ok", says, advice)


def gpu_findings() -> Iterator[Finding]:
    """Each CUDA device that torch can use, with its memory; or why there is none."""
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, whole = torch.cuda.mem_get_info(index)
            says = f"{torch.cuda.get_device_name(index)}, {free / GIB:.1f} of {whole / GIB:.1f} GiB free"
            yield Finding(f"GPU {index}", "ok", says)
    elif shutil.which("nvidia-smi") is None:
        advice = "Everything runs on the CPU, slower; --freeze image and compare --screen are quickest there"
        yield Finding("GPU", "missing", "none", advice)
    elif torch.version.cuda is None:
        yield Finding(
            "GPU", "wrong", "nvidia-smi is here, torch is built without CUDA", "Install torch with CUDA"
        )
    else:
        advice = f"Look at CUDA_VISIBLE_DEVICES, and whether the driver knows CUDA {torch.version.cuda}"
        yield Finding("GPU", "wrong", "nvidia-smi is here, and torch sees no GPU", advice)


def core_findings() -> Iterator[Finding]:
    """How many cores this process may use."""
    yield Finding("cores", "ok", str(cores()))


def bfloat16_findings() -> Iterator[Finding]:
    """Whether the device that would be chosen multiplies in bfloat16 by itself."""
    import torch

    from .devices import multiplies_bfloat16

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    where = "the GPU" if device.type == "cuda" else "the processor"
    if multiplies_bfloat16(device):
        yield Finding("bfloat16", "ok", f"{where} has it: --set precision=bf16 is faster")
    else:
        yield Finding("bfloat16", "missing", f"{where} does not have it", "Leave precision at fp32")


def codec_findings() -> Iterator[Finding]:
    """Which video codecs PyAV brings; it needs no ffmpeg program."""
    import av

    lacking = [name for name in CODECS if name not in av.codecs_available]
    if lacking:
        advice = "Install PyAV from its wheel: pip install --force-reinstall --only-binary :all: av"
        yield Finding("video", "wrong", f"PyAV {av.__version__} lacks {', '.join(lacking)}", advice)
    else:
        yield Finding("video", "ok", f"PyAV {av.__version__} reads {', '.join(CODECS)}")


def clip_findings() -> Iterator[Finding]:
    """Weights of CLIPs in the cache of the HuggingFace hub: those used by default, and others."""
    from .models.hub_cache import cached

    table = _pretrained_table()
    usual = (table.HF_SAFE_WEIGHTS_NAME, table.HF_WEIGHTS_NAME)
    name, tag = DEFAULT_CLIP
    if path := cached(table.get_pretrained_cfg(name, tag), usual):
        yield Finding("CLIP weights", "ok", f"{name} {tag}: {path}")
    else:
        advice = (
            "The first training fetches them (0.6 GB); without a network give a file: --weights ViT-B-32.pt"
        )
        yield Finding(
            "CLIP weights", "missing", f"{name} {tag} are in no cache; the demo's are shipped", advice
        )
    others = [pair for pair in table.list_pretrained() if pair != DEFAULT_CLIP]
    found = [f"{each} {of}" for each, of in others if cached(table.get_pretrained_cfg(each, of), usual)]
    if found:
        yield Finding("other CLIPs", "ok", ", ".join(found))


def _pretrained_table() -> Any:
    """open_clip's module `pretrained`, without the import of all its models, which takes seconds.

    Its package is stood for by an empty one of another name with the same folder.
    """
    if "open_clip" in sys.modules:
        return import_module("open_clip.pretrained")
    package = ModuleType("open_clip_tables")
    package.__path__ = [str(_folder_of("open_clip"))]
    sys.modules.setdefault(package.__name__, package)
    return import_module(f"{package.__name__}.pretrained")


def _name(problem: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", problem, maxsplit=1)[0]


def _line(error: BaseException) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:200]
