"""Operations of a training step, counted, and its CPU time: run `python benchmarks/operations.py [--time]`.

DFER-CLIP at ViT-B/32 with v1's seven descriptions, one batch of 4 clips. Compared are the plain step of
step.py and the package's step with each setting. Counted are floating-point operations of matrix products,
convolutions and attention (torch's FlopCounterMode), and kernels: calls of torch's operators in the forward
and backward pass that are neither views nor allocations.

`--time` also measures the CPU time of this process, which other load changes little, on one thread and in
alternating rounds; the fastest of each counts. bf16 runs only on a processor with bf16 instructions.
It takes minutes, and fails (exit 1) if a step with `fast_fp32` is not 1.15 times as fast as the plain one.
`--small` runs everything on a small tower.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import step
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from results import machine, record
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from dfer_model.config import Settings, with_overrides
from dfer_model.data.loaders import pixel_scale
from dfer_model.devices import multiplies_bfloat16, precision
from dfer_model.models.clip import load_clip
from dfer_model.models.dfer_clip import DferClip

CLIPS = 4
GOAL = 1.15
WAYS = {
    "fp32": [],
    "fp32, fast_fp32": ["fast_fp32=true"],
    "bf16": ["precision=bf16"],
}
WITHOUT_A_KERNEL = {
    "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "detach", "_unsafe_view",
}  # fmt: skip


class Kernels(TorchDispatchMode):
    """Counts operations that are not views or allocations; one on a list of tensors counts once."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        self.count += not (func.is_view or func.overloadpacket.__name__ in WITHOUT_A_KERNEL)
        return func(*args, **(kwargs or {}))


def counts(settings: Settings, clips: int, *, plain: bool = False) -> dict[str, float]:
    """GFLOPs and kernels of a forward and a backward pass; with `plain`, of the plain way of step.py."""
    described, names = step.texts()
    clip = load_clip(settings.clip, settings.weights)
    model = DferClip(clip, described, settings, class_names=names)
    scale = pixel_scale(settings.normalize, clip.mean, clip.std)
    whole = step.PlainModel(clip, model, scale)
    frames = torch.zeros(clips, settings.frames, 3, clip.image_size, clip.image_size, dtype=torch.uint8)
    labels = torch.zeros(clips, dtype=torch.int64)
    pixel_format = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    with FlopCounterMode(display=False) as products, Kernels() as kernels:
        with precision(settings.precision, torch.device("cpu")):
            logits: Tensor = whole.logits(frames) if plain else model(scale(frames, pixel_format))
        F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
    return {"gflops": products.get_total_flops() / 1e9, "kernels": kernels.count}


def cpu_seconds(works: Mapping[str, step.Work], rounds: int) -> dict[str, float]:
    """CPU seconds of one time of each, the fastest of alternating rounds."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.process_time()
            work(1)
            if number:  # the first call of each is not counted
                found[name].append(time.process_time() - began)
    return {name: min(seconds) for name, seconds in found.items()}


def main() -> int:
    """Count, measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time", action="store_true", help="also measure the CPU time")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="a small tower; the figures are meaningless")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(weights="random", workers=0)
    if arguments.small:
        settings = with_overrides(settings, ["clip=ViT-S-32", "frames=2"])
    able = multiplies_bfloat16(torch.device("cpu"))
    ways = {
        name: with_overrides(settings, changed) for name, changed in WAYS.items() if able or name != "bf16"
    }
    figures: dict[str, Any] = {"plain": counts(settings, CLIPS, plain=True)}
    figures |= {name: counts(chosen, CLIPS) for name, chosen in ways.items()}
    reached = True
    if arguments.time:
        clips = step.Clips(CLIPS, settings.frames, 224, torch.device("cpu"))
        works = {"plain": step.plain(settings, clips)[0]}
        works |= {name: step.fast(chosen, clips)[0] for name, chosen in ways.items()}
        measured = cpu_seconds(works, arguments.rounds)
        for name, seconds in measured.items():
            figures[name] |= {"cpu_seconds": seconds, "speed": measured["plain"] / seconds}
        reached = figures["fp32, fast_fp32"]["speed"] >= GOAL
    print(f"{machine()}, one thread: a step on {CLIPS} clips x {settings.frames} frames")
    for name, row in figures.items():
        print(f"  {name:16}", "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    if arguments.small:
        return 0
    record("operations", {"clips": CLIPS, "steps": figures})
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
