"""Shared by the benchmarks: the machine's name, and the folder of stored figures."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dfer_model.launch import cores

FOLDER = Path(__file__).parent / "results"


def machine(device: str = "cpu") -> str:
    """The name of the GPU, or of the CPU with the number of cores in use."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{_processor()}, {cores()} core{'s' if cores() > 1 else ''}"


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    extensions = [each for each in ("avx512_bf16", "amx_bf16") if any(each in line.split() for line in lines)]
    return " with ".join([names[0] if names else platform.machine(), *extensions])


def record(benchmark: str, figures: Mapping[str, Any], device: str = "cpu") -> Path:
    """Store the figures in `results/`, one file per benchmark and machine, and print the path."""
    name = machine(device)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = FOLDER / f"{benchmark}.{slug}.json"
    path.parent.mkdir(exist_ok=True)
    content = {"benchmark": benchmark, "machine": name, "torch": torch.__version__, **figures}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"stored in {path.relative_to(FOLDER.parent.parent)}")
    return path
