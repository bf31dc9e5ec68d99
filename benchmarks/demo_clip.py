"""Zero-shot accuracy of the demo CLIP: run `python benchmarks/demo_clip.py [--people 100] [--tuning]`.

Prints the UAR (percent) of v1, its views, FACS and the controls on drawn people that were not in the training
data: one image of each class at its apex and full intensity, and clips of random intensity with 16 averaged
frames. Controls are drawn from several seeds. Fails (exit 1) unless v1 is 30 points above every control.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dfer_model.models.clip import Clip, load_clip, load_demo_clip
from dfer_model.synthetic.demo_clip.benchmark import (
    JUDGING,
    TUNING,
    Faces,
    apex_faces,
    clip_faces,
    video_features,
    zero_shot_recalls,
)
from dfer_model.synthetic.drawn_faces import CLASS_NAMES
from dfer_prompts.classes import load_class_set
from dfer_prompts.description_set import DescriptionSet
from dfer_prompts.generation.controls import control_set
from dfer_prompts.generation.facs import facs_set
from dfer_prompts.versions.store import load

CONTROL_SEEDS = range(10)
MARGIN = 30.0


def texts(descriptions: DescriptionSet) -> list[str]:
    """One sentence per class, in label order."""
    return [member for (member,) in descriptions.class_texts(CLASS_NAMES)]


def candidates() -> dict[str, list[list[str]]]:
    """The sets to test, by name; a control has one list of sentences per seed."""
    v1 = load("v1")
    sets = {"v1": [texts(v1)]}
    sets |= {f"v1@{k}": [texts(v1.top(k))] for k in (1, 2, 3)}
    sets["facs"] = [texts(facs_set(load_class_set("mafw")))]
    sets["control:class-name"] = [texts(control_set("class-name", v1))]
    for name in ("swapped", "scrambled"):
        sets[f"control:{name}"] = [texts(control_set(name, v1, seed)) for seed in CONTROL_SEEDS]
    return sets


def judge(clip: Clip, faces: Faces, sets: dict[str, list[list[str]]]) -> dict[str, np.ndarray]:
    """UAR in percent of each set, one per seed; v1's recalls are printed by class."""
    features = video_features(clip, faces)

    def uars(sentences: Sequence[Sequence[str]]) -> np.ndarray:
        recalls = [zero_shot_recalls(clip, features, faces.labels, each) for each in sentences]
        return 100 * np.array(recalls).mean(axis=1)

    v1 = zero_shot_recalls(clip, features, faces.labels, sets["v1"][0])
    print("  v1 by class: " + ", ".join(f"{n} {100 * r:.0f}" for n, r in zip(CLASS_NAMES, v1, strict=True)))
    return {name: uars(sentences) for name, sentences in sets.items()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100, help="persons; each shows every class")
    parser.add_argument("--tuning", action="store_true", help="the the people on whom settings were tuned")
    parser.add_argument(
        "--folder", type=Path, help="a CLIP that the training wrote, instead of the shipped one"
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clip = load_demo_clip(arguments.folder) if arguments.folder else load_clip("demo")
    who = TUNING if arguments.tuning else JUDGING
    sets = candidates()
    good = True
    for title, draw in (("apex, full intensity", apex_faces), ("clips, random intensity", clip_faces)):
        print(f"{title}: {arguments.people} unseen people, chance {100 / len(CLASS_NAMES):.1f}")
        results = judge(clip, draw(arguments.people, clip.image_size, who), sets)
        for name, uar in results.items():
            spread = (
                f"  (min {uar.min():.1f}, max {uar.max():.1f} of {len(uar)} seeds)" if len(uar) > 1 else ""
            )
            print(f"  {name:20} {uar.mean():5.1f}{spread}")
        controls = max(uar.max() for name, uar in results.items() if name.startswith("control:"))
        good = good and bool(results["v1"][0] >= controls + MARGIN)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
