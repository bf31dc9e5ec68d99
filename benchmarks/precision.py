"""Does bf16 change what is learned? Run `python benchmarks/precision.py [--small]`, about six minutes.

Trains DFER-CLIP on drawn faces (the demo CLIP's image tower, contexts and temporal model), once with
`precision=fp32` and once with `precision=bf16` for each seed, and tests both on the same fold. Prints each
UAR, and the mean difference with its standard error over the seeds, beside the standard deviation over seeds.
The demo CLIP's image tower is a ResNet, which bf16 runs under torch.autocast; its text tower is a
transformer, like that of ViT-B/32.

Fails (exit 1) if the mean difference is above twice its standard error and above one point, or if fp32 has
learned too little (a UAR under 40%, of seven classes) for a meaningful comparison.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np
from results import record

from dfer_model.config import Settings, preset
from dfer_model.data.packed import PackedClips
from dfer_model.devices import use_one_thread
from dfer_model.runs import ClassTexts, RunSpec
from dfer_model.synthetic.drawn_faces import draw_dataset
from dfer_model.training.loop import train_run
from dfer_prompts import load_class_set
from dfer_prompts.api.inputs import class_texts
from dfer_prompts.cli.output import progress
from dfer_prompts.versions.store import load

# Batches of a few frames would give bad statistics to the batch norms of the demo CLIP's tower.
SETTINGS = {"frames": 2, "batch_size": 24, "contexts": 4, "lr_context": 0.04, "lr_image": 1e-5, "epochs": 4}
FORMATS = ("fp32", "bf16")
LEAST_UAR, POINTS = 40.0, 1.0


def texts() -> ClassTexts:
    """v1's descriptions of DFEW's classes."""
    return class_texts(load("v1"), load_class_set("dfew").names)


def uar(settings: Settings, clips: PackedClips, seed: int, runs: Path) -> float:
    """Of the test fold, in percent."""
    spec = RunSpec(settings, texts(), clips.path, clips.fingerprint, 1, seed)
    return train_run(spec, clips, runs, device="cpu").measures("last").uar


def judged(found: dict[str, list[float]]) -> dict[str, float]:
    """The mean difference in points, its standard error, and the spread of fp32 over its seeds."""
    difference = np.subtract(found["bf16"], found["fp32"])
    return {
        "mean_difference": float(difference.mean()),
        "standard_error": float(difference.std(ddof=1) / np.sqrt(len(difference))),
        "spread_of_fp32_over_seeds": float(np.std(found["fp32"], ddof=1)),
    }


def main() -> int:
    """Train, print and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--small", action="store_true", help="two seeds on few clips; the figures are meaningless"
    )
    small = parser.parse_args().small
    seeds, count = ((1, 2), 70) if small else (tuple(range(1, 17)), 560)
    use_one_thread()
    with tempfile.TemporaryDirectory() as folder, progress("training") as report:
        place = Path(folder)
        clips = draw_dataset(place / "faces", clips=count, seed=31, class_names=load_class_set("dfew").names)
        found: dict[str, list[float]] = {each: [] for each in FORMATS}
        for done, (seed, each) in enumerate(itertools.product(seeds, FORMATS)):
            report(done, len(FORMATS) * len(seeds), f"{each}, seed {seed}")
            changed = {**SETTINGS, "milestones": (), "workers": 0, "precision": each}
            settings = preset("demo").model_copy(update=changed)
            found[each].append(uar(settings, clips, seed, place / "runs"))
    print(f"| seed | {' | '.join(FORMATS)} |\n| --- | --- | --- |")
    for number, seed in enumerate(seeds):
        print(f"| {seed} | {found['fp32'][number]:.1f} | {found['bf16'][number]:.1f} |")
    figures = judged(found)
    for name, value in figures.items():
        print(f"{name.replace('_', ' ')}: {value:.2f}")
    if small:
        return 0
    record("precision", {"clips": count, "seeds": list(seeds), "uar": found, **figures})
    same = abs(figures["mean_difference"]) <= max(POINTS, 2 * figures["standard_error"])
    return 0 if same and np.mean(found["fp32"]) >= LEAST_UAR else 1


if __name__ == "__main__":
    sys.exit(main())
