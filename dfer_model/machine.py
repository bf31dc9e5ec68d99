"""Checks of this machine: which requirements are met, which are not, and what to do about them.

Nothing is downloaded or changed. Libraries are checked one by one, so that a broken one does not hide the
others. torch is imported. Importing torchvision would take as long again, so only its compiled operators are
loaded, which fail if they do not match torch. open_clip is pure Python and only located. This module itself
imports no torch.
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

from .launch import cores

PACKAGE = "dfer-prompts"
OLDEST_PYTHON = (3, 11)
# Distribution and its module, in the order of their dependencies.
SHOWN = {"torch": "torch", "torchvision": "torchvision", "open_clip_torch": "open_clip"}
OPERATORS = ("_C*.so", "_C*.pyd", "_C*.dylib")  # torchvision's compiled file, with the system's suffix
DEFAULT_CLIP = ("ViT-B-32-quickgelu", "openai")
CODECS = ("h264", "hevc", "mpeg4", "mjpeg", "vp9", "av1")  # used by cameras, phones and datasets
GIB = 2**30
IMAGE_SIZE = 224  # of DEFAULT_CLIP
BUILDING = ("dev", "docs")  # extras for developing the package
EXTRAS = {
    "lora": "fine-tuning by LoRA",
    "onnx": "ONNX files",
    "track": "TensorBoard",
    "web": "the page of dfer-prompts serve",
}

Requires = Callable[[str], Iterable[str] | None]


@dataclass(frozen=True)
class Finding:
    """The result of a check; `needed` if training, evaluation or prediction require it."""

    subject: str
    state: Literal["ok", "missing", "wrong"]
    says: str
    advice: str = ""  # what to do if it is not ok
    needed: bool = False

    @property
    def broken(self) -> bool:
        """Whether the main functions do not work because of it."""
        return self.needed and self.state != "ok"


def machine_findings() -> Iterator[Finding]:
    """Python, libraries, GPU, cores, shared memory, bfloat16, video codecs, CLIP's weights, in this order."""
    yield python_finding()
    yield from library_findings()
    yield from extra_findings()
    looks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("GPU", gpu_findings),
        ("cores", core_findings),
        ("shared memory", shared_memory_findings),
        ("bfloat16", bfloat16_findings),
        ("video", codec_findings),
        ("CLIP weights", clip_findings),
    )
    for subject, look in looks:
        yield from guarded(subject, look)


def guarded(subject: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The result of `look`, or a failed check if a library is broken."""
    try:
        return list(look())
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        says = f"cannot be checked: {_line(error)}"
        return [Finding(subject, "wrong", says, "Repair the libraries first")]


def python_finding() -> Finding:
    """The interpreter and its minimum version."""
    says = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding("Python", "wrong", says, f"Use Python {oldest} or newer", needed=True)
    return Finding("Python", "ok", says)


def library_findings(required: Requires = requires) -> Iterator[Finding]:
    """torch, torchvision and open_clip: importable and of compatible versions; then all requirements.

    `required` gives the requirements of a distribution, as importlib.metadata does.
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
        yield Finding("libraries", "ok", f"all requirements of {PACKAGE} are installed in suitable versions")


def unfit(name: str, required: Requires = requires, extra: str = "") -> Iterator[str]:
    """The unmet requirements of the distribution `name`: "torch>=2.14 but 2.7.0 is installed".

    With `extra`, the requirements of that extra. Raises PackageNotFoundError.
    """
    for needed in map(Requirement, required(name) or ()):
        if not _applies(needed, extra):
            continue
        requirement = f"{needed.name}{needed.specifier}"
        try:
            there = version(needed.name)
        except PackageNotFoundError:
            yield f"{requirement} but none is installed"
            continue
        if not needed.specifier.contains(there, prereleases=True):
            yield f"{requirement} but {there} is installed"


def _applies(requirement: Requirement, extra: str) -> bool:
    """Whether only this extra requires it; for "", whether it is required without any extra."""
    if requirement.marker is None:
        return not extra
    always = requirement.marker.evaluate({"extra": ""})
    return always if not extra else not always and requirement.marker.evaluate({"extra": extra})


def _imported(name: str, module: str, problems: list[str]) -> Finding:
    try:
        there = version(name)
        TRIED[module]()
    except PackageNotFoundError:
        return Finding(name, "missing", "not installed", f"pip install {name}", needed=True)
    except Exception as error:  # noqa: BLE001 - a library that is broken raises whatever it happens to
        again = f"Reinstall it together with the others: pip install --force-reinstall {' '.join(SHOWN)}"
        return Finding(name, "wrong", f"{there} cannot be imported: {_line(error)}", again, needed=True)
    if problems:
        fit = f"pip install {' '.join(repr(each.partition(' but ')[0]) for each in problems)}"
        return Finding(name, "wrong", f"{there} requires {'; '.join(problems)}", fit, needed=True)
    return Finding(name, "ok", there)


def _folder_of(module: str) -> Path:
    """The folder of an installed package, without importing it. Raises ImportError if it is missing."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations or spec.origin is None:
        raise ImportError(f"its package {module} is missing")
    return Path(spec.submodule_search_locations[0])


def _load_operators() -> None:
    """Load torchvision's compiled operators into torch. Raises OSError if they do not match it."""
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
    """The package's extras."""
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
    """The CUDA devices that torch can use, with their memory, or the reason why there are none."""
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            says = f"{torch.cuda.get_device_name(index)}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
            yield Finding(f"GPU {index}", "ok", says)
    elif shutil.which("nvidia-smi") is None:
        advice = "Everything runs on the CPU, but slower; --freeze image and compare --screen are fastest"
        yield Finding("GPU", "missing", "none", advice)
    elif torch.version.cuda is None:
        yield Finding(
            "GPU", "wrong", "nvidia-smi is installed, torch is built without CUDA", "Install torch with CUDA"
        )
    else:
        advice = f"Check CUDA_VISIBLE_DEVICES, and whether the driver supports CUDA {torch.version.cuda}"
        yield Finding("GPU", "wrong", "nvidia-smi is installed, torch sees no GPU", advice)


def core_findings() -> Iterator[Finding]:
    """The number of cores this process may use."""
    yield Finding("cores", "ok", str(cores()))


def shared_memory_findings(folder: Path = Path("/dev/shm")) -> Iterator[Finding]:  # noqa: S108 - Linux's
    """Whether `folder`, through which workers pass batches, has room for a training with default settings.

    Empty on a system without it.
    """
    from .config import Settings
    from .data.shared_memory import ADVICE, shared_memory_note
    from .errors import InputError
    from .launch import workers_of

    if not folder.is_dir():
        return
    settings = Settings()
    batch = settings.batch_size * settings.frames * 3 * IMAGE_SIZE**2
    try:
        small = shared_memory_note(batch, workers_of(settings.workers), folder)
    except InputError as error:
        small = str(error).partition("\n")[0]
    free = f"{shutil.disk_usage(folder).free / GIB:.1f} GiB free in {folder}"
    yield Finding("shared memory", "wrong" if small else "ok", small or free, ADVICE if small else "")


def bfloat16_findings() -> Iterator[Finding]:
    """Whether the default device has bfloat16 instructions, and the default precision of trainings there."""
    import torch

    from .devices import multiplies_bfloat16

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if multiplies_bfloat16(device):
        use = "trainings use it" if device.type == "cuda" else "--set precision=bf16 is faster"
        where = "the GPU" if device.type == "cuda" else "the processor"
        yield Finding("bfloat16", "ok", f"{where} has it: {use}")
    elif device.type == "cuda":
        says = "the GPU does not have it: GPUs have it since Ampere"
        yield Finding("bfloat16", "missing", says, "Trainings use fp32; precision=bf16 is refused")
    else:
        advice = "Trainings use fp32, and precision=bf16 is refused; bf16 runs are evaluated in fp32"
        yield Finding("bfloat16", "missing", "the processor does not have it", advice)


def codec_findings() -> Iterator[Finding]:
    """The video codecs of PyAV, which needs no ffmpeg program."""
    import av

    lacking = [name for name in CODECS if name not in av.codecs_available]
    if lacking:
        advice = "Install PyAV from its wheel: pip install --force-reinstall --only-binary :all: av"
        yield Finding("video", "wrong", f"PyAV {av.__version__} lacks {', '.join(lacking)}", advice)
    else:
        yield Finding("video", "ok", f"PyAV {av.__version__} reads {', '.join(CODECS)}")


def clip_findings() -> Iterator[Finding]:
    """CLIP weights in the HuggingFace hub's cache: the default ones and others."""
    from .models.hub_cache import cached

    table = _pretrained_table()
    usual = (table.HF_SAFE_WEIGHTS_NAME, table.HF_WEIGHTS_NAME)
    name, tag = DEFAULT_CLIP
    if path := cached(table.get_pretrained_cfg(name, tag), usual):
        yield Finding("CLIP weights", "ok", f"{name} {tag}: {path}")
    else:
        advice = (
            "The first training downloads them (0.6 GB); without a network give a file: --weights ViT-B-32.pt"
        )
        yield Finding(
            "CLIP weights", "missing", f"{name} {tag} are not in the cache; the demo's are shipped", advice
        )
    others = [pair for pair in table.list_pretrained() if pair != DEFAULT_CLIP]
    found = [f"{each} {of}" for each, of in others if cached(table.get_pretrained_cfg(each, of), usual)]
    if found:
        yield Finding("other CLIPs", "ok", ", ".join(found))


def _pretrained_table() -> Any:
    """open_clip's module `pretrained`, without importing all its models, which takes seconds.

    An empty package of another name with the same folder stands in for open_clip.
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
