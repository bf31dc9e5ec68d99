"""Speed of one step and of one evaluated batch: run `python benchmarks/step.py [--device cuda] [--small]`.

DFER-CLIP at ViT-B/32 with random weights, v1's seven descriptions and noise as clips of 16 frames in
memory; reading clips is measured by loading.py. The plain way is written below in its simplest correct
form: float32, open_clip's towers, 77 text positions in every step, class weights recomputed for every
evaluated batch, torch's default SGD, the loss read in every step. The fast way is the package's own:
`train_epoch` and `TrainedModel` with `--set precision=bf16`. Rounds of both alternate, and the fastest of
each counts, so other load hardly changes the ratio.

On a CPU a batch has 4 clips. It takes under 5 minutes, and fails (exit 1) below 3.2 (training) or 3.5
(evaluation) times the plain speed. These were set on a processor whose bf16 matrix products are 5 times as
fast as its fp32 ones; both rates are measured too, because they limit the gain. On CUDA a batch has 48
clips. It takes minutes, and fails below 6 times the plain fp32 step (whose products are not rounded to
TF32), below 45% of the measured bf16 rate, or if gradient checkpointing needs 8 GiB. The share counts the
operations of the model as it is defined: three forward passes of the trained parts, two of the text tower.
`--profile` also prints where a fast step spends its time; `--small` checks in seconds that all parts run.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from PIL import Image
from results import machine, record
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from dfer_model.config import Settings, with_overrides
from dfer_model.data.loaders import PixelScale, pixel_scale
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.devices import choose_device, precision
from dfer_model.evaluation.trained_model import TrainedModel
from dfer_model.models.clip import Clip, load_clip
from dfer_model.models.dfer_clip import TEMPERATURE, DferClip
from dfer_model.models.strategies import load_base
from dfer_model.progress import silent
from dfer_model.runs import ClassTexts, RunSpec
from dfer_model.training.loop import train_epoch
from dfer_model.training.setup import Training
from dfer_prompts.versions.store import load

TRAINING_GOAL, EVALUATION_GOAL = (
    3.2,
    3.5,
)  # set on a processor whose bf16 products are 5 times as fast as fp32
GPU_GOAL, GPU_SHARE, GPU_MEMORY = 6.0, 0.45, 8 * 2**30

Work = Callable[[int], Any]  # given how many times


class Clips:
    """A batch of noise on the device, and the descriptions of its classes."""

    def __init__(self, clips: int, frames: int, size: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device = device
        self.batch = {
            "frames": torch.randint(0, 256, (clips, frames, 3, size, size), dtype=torch.uint8).to(device),
            "label": (torch.arange(clips) % 7).to(device),
            "index": torch.arange(clips),
        }


class PlainModel:
    """The model in its simplest form, for the plain way: all 77 positions, float32."""

    def __init__(self, clip: Clip, model: DferClip, scale: PixelScale) -> None:
        self.model, self.scale = model, scale
        learner = model.prompt_learner
        length, filled = clip.context_length, learner.embeddings.shape[1]
        rest = torch.zeros(
            len(learner.ends), length - filled, clip.text_width, device=learner.embeddings.device
        )
        self.rest = rest

    def class_weights(self) -> Tensor:
        """Class weights (classes, width) of whole prompts."""
        learner = self.model.prompt_learner
        prompts = torch.cat([learner(), self.rest], dim=1)
        return F.normalize(self.model.text_tower(prompts, learner.ends), dim=-1)

    def logits(self, frames: Tensor) -> Tensor:
        """uint8 frames -> (clips, classes)."""
        pixels = self.scale(frames)
        features = self.model.image_tower(pixels.flatten(0, 1)).view(*pixels.shape[:2], -1)
        video = F.normalize(self.model.video_features(features), dim=-1)
        return video @ self.class_weights().T / TEMPERATURE


def texts() -> tuple[list[list[str]], list[str]]:
    """v1's descriptions of DFEW's classes, and their names."""
    v1 = load("v1")
    names = list(v1.class_names)[:7]
    return [list(members) for members in v1.class_texts(names)], names


def plain(settings: Settings, clips: Clips) -> tuple[Work, Work]:
    """One plain step, and one plainly evaluated batch."""
    clip = load_clip(settings.clip, settings.weights)
    described, names = texts()
    scale = pixel_scale(settings.normalize, clip.mean, clip.std)

    def made() -> PlainModel:
        torch.manual_seed(1)
        return PlainModel(
            clip, DferClip(clip, described, settings, class_names=names).to(clips.device), scale
        )

    trained, asked = made(), made()
    groups = [
        {"params": parameters, "lr": getattr(settings, f"lr_{name}")}
        for name, parameters in trained.model.trained_parameters().items()
    ]
    optimizer = torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    asked.model.eval()

    def step(times: int) -> None:
        for _ in range(times):
            loss = F.cross_entropy(trained.logits(clips.batch["frames"]), clips.batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    def evaluate(times: int) -> None:
        for _ in range(times):
            with torch.no_grad():
                asked.logits(clips.batch["frames"]).cpu()

    return step, evaluate


def as_packed(clips: Clips, names: list[str], out: Path) -> PackedClips:
    """As many training clips as the batch has, and a test clip; a Training needs them, but none is read."""
    frame = io.BytesIO()
    Image.new("RGB", (8, 8)).save(frame, "PNG")
    count = len(clips.batch["label"])
    rows = [
        {
            "clip_id": f"{number}",
            "class_name": names[number % len(names)],
            "fold": 2 if number < count else 1,
            "source": "",
            "frames": [frame.getvalue()],
        }
        for number in range(count + 1)
    ]
    return write_packed(rows, names, out, {})


def fast(settings: Settings, clips: Clips) -> tuple[Work, Work]:
    """One step of the package, and one batch as the package evaluates it."""
    base, device = load_base(settings), clips.device
    described, names = texts()
    scale = pixel_scale(settings.normalize, base.mean, base.std)
    with TemporaryDirectory() as folder:
        packed = as_packed(clips, names, Path(folder, "packed"))
        class_texts = ClassTexts("v1", "", tuple(names), tuple(map(tuple, described)))
        spec = RunSpec(settings, class_texts, packed.path, packed.fingerprint, fold=1, seed=1)
        training: Any = Training(spec, packed, Path(folder, "run"), device)
    asked = base.build(described, names).to(device).eval()
    with torch.no_grad(), precision(settings.precision, device):
        answering = TrainedModel(asked, asked.class_weights(), scale, base.image_size).to(device).eval()

    def step(times: int) -> None:
        training.batches = [clips.batch] * times
        train_epoch(training, 1, silent)

    def evaluate(times: int) -> None:
        for _ in range(times):
            with torch.inference_mode(), precision(settings.precision, device):
                answering(clips.batch["frames"]).float().cpu()

    return step, evaluate


def seconds(work: Work, device: torch.device, times: int) -> float:
    """Of one time, over `times` of them in a row."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work(times)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


def fastest(works: dict[str, Work], device: torch.device, rounds: int) -> dict[str, float]:
    """Seconds of each, in alternating rounds; the first call of each is not counted."""
    times = 10 if device.type == "cuda" else 1
    for work in works.values():
        work(1)
    measured = [{name: seconds(work, device, times) for name, work in works.items()} for _ in range(rounds)]
    return {name: min(each[name] for each in measured) for name in works}


def matrix_rate(kind: torch.dtype, device: torch.device, rows: int) -> float:
    """Operations per second of the image tower's most frequent product, (rows, 768) x (768, 3072)."""
    if device.type == "cuda":
        rows, inner, columns = 8192, 8192, 8192
    else:
        inner, columns = 768, 3072
    left, right = torch.randn(rows, inner, device=device), torch.randn(inner, columns, device=device)
    left, right = left.to(kind), right.to(kind)

    def multiply(times: int) -> None:
        for _ in range(times):
            left @ right

    return 2 * rows * inner * columns / fastest({"": multiply}, device, 10)[""]


def operations(settings: Settings, clips: Clips) -> float:
    """Of a step of the model as defined: three forward passes of trained parts, two of the text tower."""
    base = load_base(settings)
    described, names = texts()
    model: Any = base.build(described, names)
    one = clips.batch["frames"][:1].cpu().float()
    with torch.no_grad(), FlopCounterMode(display=False) as text:
        class_weights = model.class_weights()
    with torch.no_grad(), FlopCounterMode(display=False) as image:
        model(one, class_weights)
    return 3 * image.get_total_flops() * len(clips.batch["label"]) + 2 * text.get_total_flops()


def shares(work: Work, device: torch.device) -> dict[str, float]:
    """The share of a call's time of each operation, the largest first."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiled:
        work(1)
        if device.type == "cuda":
            torch.cuda.synchronize()
    of = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    spent = {each.key: getattr(each, of) for each in profiled.key_averages()}
    total = sum(spent.values())
    largest = sorted(spent, key=lambda name: -spent[name])[:14]
    return {name: round(spent[name] / total, 4) for name in largest}


def memory(settings: Settings, clips: Clips) -> int:
    """The maximum number of bytes of GPU memory in a fast step with gradient checkpointing."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    step, _ = fast(with_overrides(settings, ["gradient_checkpointing=true"]), clips)
    step(1)
    step(1)
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated())


def measure(settings: Settings, clips: Clips, rounds: int) -> dict[str, float]:
    """Ratios to the plain way, and the measured rates."""
    device = clips.device
    torch.set_float32_matmul_precision("highest")
    plain_step, plain_evaluate = plain(settings, clips)
    fast_step, fast_evaluate = fast(with_overrides(settings, ["precision=bf16"]), clips)
    trained = fastest({"plain": plain_step, "fast": fast_step}, device, rounds)
    evaluated = fastest({"plain": plain_evaluate, "fast": fast_evaluate}, device, rounds)
    rows = len(clips.batch["label"]) * settings.frames * 50
    rates = {kind: matrix_rate(kind, device, rows) for kind in (torch.float32, torch.bfloat16)}
    done = operations(settings, clips)
    return {
        "training": trained["plain"] / trained["fast"],
        "evaluation": evaluated["plain"] / evaluated["fast"],
        "bf16_products_per_fp32_product": rates[torch.bfloat16] / rates[torch.float32],
        "plain_share_of_fp32_rate": done / trained["plain"] / rates[torch.float32],
        "fast_share_of_bf16_rate": done / trained["fast"] / rates[torch.bfloat16],
        "plain_step_seconds": trained["plain"],
        "fast_step_seconds": trained["fast"],
    }


def goals(figures: dict[str, float], device: torch.device) -> dict[str, bool]:
    """The goals, and whether they are reached."""
    if device.type == "cuda":
        return {
            f"training at {GPU_GOAL:g} times the plain speed": figures["training"] >= GPU_GOAL,
            f"{GPU_SHARE:.0%} of the bf16 rate": figures["fast_share_of_bf16_rate"] >= GPU_SHARE,
            "under 8 GiB with gradient checkpointing": figures["memory_bytes"] < GPU_MEMORY,
        }
    return {
        f"training at {TRAINING_GOAL:g} times the plain speed": figures["training"] >= TRAINING_GOAL,
        f"evaluation at {EVALUATION_GOAL:g} times the plain speed": figures["evaluation"] >= EVALUATION_GOAL,
    }


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="also print where a fast step spends its time")
    parser.add_argument("--small", action="store_true", help="a small tower; the figures are meaningless")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    settings = Settings(weights="random", workers=0)
    if arguments.small:
        settings = with_overrides(settings, ["clip=ViT-S-32", "frames=2"])
    count = 2 if arguments.small else 48 if device.type == "cuda" else 4
    clips = Clips(count, settings.frames, 224, device)
    figures = measure(settings, clips, 1 if arguments.small else arguments.rounds)
    if device.type == "cuda":
        figures["memory_bytes"] = memory(with_overrides(settings, ["precision=bf16"]), clips)
    print(f"{machine(device.type)}: {count} clips x {settings.frames} frames")
    for name, value in figures.items():
        print(f"  {name.replace('_', ' '):34} {value:.4g}")
    kept: dict[str, Any] = {"clips": count, "frames": settings.frames, **figures}
    if arguments.profile:
        step, _ = fast(with_overrides(settings, ["precision=bf16"]), clips)
        step(1)
        kept["profile"] = shares(step, device)
        for name, share in kept["profile"].items():
            print(f"  {share:6.1%}  {name}")
    reached = goals(figures, device)
    for goal, held in reached.items():
        print(f"{'reached' if held else 'missed '}: {goal}")
    if arguments.small:
        return 0
    record("step", kept, device.type)
    return 0 if all(reached.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
