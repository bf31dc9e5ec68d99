"""Does the descriptor of an active action unit rise? Run `python benchmarks/evidence.py [--small]`.

Draws faces with known action units in every frame, trains the demo's CLIP on them twice, with a frozen
image tower and with a fine-tuned one, and explains the clips of the test fold as `dfer-prompts explain`
does. Two questions are measured by the area under the ROC curve (0.5 is chance):

- over all frames: does the rise of a unit's descriptor separate frames in which the unit is visible from
  frames in which it is at rest? The control is the mean of the descriptors of other units, on the same
  frames;
- within a clip: does it separate the frames in which the unit has more than half of its intensity from the
  others? The controls are the descriptors of units at rest in all of that clip and, because a drawn
  expression rises and falls, the nearness of a frame to the middle of its clip. The temporal model's
  attention is reported beside them.

Fails (exit 1) unless the descriptors' mean over all frames is 0.1 above that of the control. Takes
minutes, most of them for the two trainings; `--small` is a quick trial.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import record
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from dfer_model.config import preset
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.packed import PackedClips
from dfer_model.data.sampling import sample_test
from dfer_model.evaluation.explanation import Explainer
from dfer_model.runs import Run, RunSpec
from dfer_model.synthetic.demo_clip.captions import AT_REST, SEEN
from dfer_model.synthetic.drawn_faces.dataset import clip_track, draw_dataset, plan_clips
from dfer_model.synthetic.drawn_faces.units import UNIT_INDEX
from dfer_model.training.loop import train_run
from dfer_prompts import load
from dfer_prompts.api.inputs import class_texts, descriptor_texts

FOLD, SEED, FACES = 1, 1, 21  # the demo's faces are drawn from another seed
TOWERS = {"as it was": 0.0, "fine-tuned": 1e-5}  # lr_image
COURSE = 0.15  # minimum movement of an active unit within a clip
GAIN = 0.1

# The descriptors of v1 that name one unit of the drawing; the others name none, or several.
NAMED: Mapping[str, str] = {
    "a smiling mouth": "lip_corner_pull",
    "raised cheeks": "cheek_raise",
    "wrinkled eyes": "cheek_raise",
    "arched eyebrows": "outer_brow_raise",
    "tears": "tears",
    "a downward turned mouth": "lip_corner_depress",
    "a downturned mouth": "lip_corner_depress",
    "drooping upper eyelids": "lid_droop",
    "a wrinkled forehead": "forehead_wrinkle",
    "furrowed eyebrows": "brow_lower",
    "lowered eyebrows": "brow_lower",
    "a furrowed brow": "brow_lower",
    "narrow eyes": "lid_tighten",
    "narrowed eyes": "lid_tighten",
    "tightened lips": "lip_tighten",
    "a tightened mouth": "lip_tighten",
    "flared nostrils": "nostril_flare",
    "widened eyes": "lid_raise",
    "an open mouth": "jaw_drop",
    "raised eyebrows": "inner_brow_raise",
    "a wrinkled nose": "nose_wrinkle",
    "parted lips": "lips_part",
    "a retracted chin": "chin_retract",
    "one side of its mouth raised": "one_sided_smile",
    "one eyebrow lower and one raised": "brow_split",
    "a raised chin": "head_up",
    "a tensed forehead": "forehead_tense",
    "tightly pressed lips": "lip_press",
    "pupil dilation": "pupil_dilate",
    "tensed facial muscles": "muscle_tense",
    "drooping eyebrows": "brow_droop",
    "a downward gaze": "gaze_down",
    "a sighing face": "sigh",
}
UNITS = tuple(dict.fromkeys(NAMED.values()))


@dataclass(frozen=True)
class PredictedVideo:
    """One explained clip, each of its frames once, with its ground truth."""

    units: np.ndarray  # (frames, units of `UNITS`), amounts 0..1
    rise: np.ndarray  # (frames, descriptors of `NAMED`)
    attention: np.ndarray  # (frames,)


def trained(clips: PackedClips, lr_image: float, runs: Path, **changed: Any) -> Run:
    """The demo's training on v1, tested on `FOLD`, with this learning rate of the image tower."""
    settings = preset("demo").model_copy(update={"lr_image": lr_image, **changed})
    texts = class_texts(load("v1"), clips.class_names)
    return train_run(RunSpec(settings, texts, clips.path, clips.fingerprint, FOLD, SEED), clips, runs)


def predicted_video(run: Run, clips: PackedClips) -> list[PredictedVideo]:
    """The clips of the test fold as `explain` reads them."""
    names, frames = run.class_names, run.settings.frames
    listed = dict(zip(names, descriptor_texts(load("v1"), names), strict=True))
    explain = Explainer(run, listed, clips)
    plan = {clip.clip_id: clip for clip in plan_clips(len(clips), FACES)}
    indices = clips.test_indices(FOLD)
    dataset = ClipDataset(clips, indices, frames=frames, image_size=explain.model.image_size)
    found = []
    for place, index in enumerate(indices):
        told = explain(dataset[place]["frames"], [None] * frames)
        texts = [text for _, text in told.evidence.descriptors]
        taken = sample_test(int(clips.num_frames[index]), frames)
        _, once = np.unique(taken, return_index=True)  # a short clip repeats its last frame
        units = clip_track(plan[clips.clip_ids[index]], FACES).units[taken]
        found.append(
            PredictedVideo(
                units=units[once][:, [UNIT_INDEX[name] for name in UNITS]],
                rise=told.evidence.rise[[texts.index(text) for text in NAMED]].T[once],
                attention=np.array(told.attention)[once],
            )
        )
    return found


def over_all_frames(clips: list[PredictedVideo]) -> dict[str, dict[str, float]]:
    """For each unit, the area of its own descriptors and of the others, both averaged over descriptors."""
    units, rise = (np.concatenate([getattr(each, name) for each in clips]) for name in ("units", "rise"))
    found = {}
    for column, unit in enumerate(UNITS):
        seen, rest = units[:, column] >= SEEN, units[:, column] <= AT_REST
        if not (seen.any() and rest.any()):
            continue
        areas = np.array([roc_auc_score(seen[seen | rest], each[seen | rest]) for each in rise.T])
        own = np.array([name == unit for name in NAMED.values()])
        found[unit] = {
            "descriptor": float(areas[own].mean()),
            "others": float(areas[~own].mean()),
            "seen": int(seen.sum()),
        }
    return found


def within_clips(clips: list[PredictedVideo]) -> dict[str, dict[str, float]]:
    """For each unit, the areas within clips in which it is active, averaged over those clips."""
    owners = np.array([UNITS.index(name) for name in NAMED.values()])
    found: dict[str, list[list[float]]] = {}
    for clip in clips:
        still = clip.units.max(axis=0) <= AT_REST
        middle = -np.abs(np.arange(len(clip.units)) - (len(clip.units) - 1) / 2)
        for column, unit in enumerate(UNITS):
            amounts = clip.units[:, column]
            low, high = amounts.min(), amounts.max()
            if high < SEEN or high - low < COURSE:
                continue
            acting = amounts > (low + high) / 2
            scores = [
                np.mean([roc_auc_score(acting, each) for each in clip.rise[:, chosen].T])
                for chosen in (owners == column, still[owners])
            ]
            scores += [roc_auc_score(acting, each) for each in (clip.attention, middle)]
            found.setdefault(unit, []).append([float(score) for score in scores])
    return {
        unit: dict(
            zip(
                ("descriptor", "others", "attention", "middle", "clips"),
                [*np.mean(rows, axis=0).tolist(), len(rows)],
                strict=True,
            )
        )
        for unit, rows in found.items()
    }


def agreement(clips: list[PredictedVideo]) -> float:
    """Mean Spearman correlation over a clip's frames of attention and the rise of active units."""
    owners = np.array([UNITS.index(name) for name in NAMED.values()])
    each = []
    for clip in clips:
        acting = clip.units.max(axis=0)[owners] >= SEEN
        if acting.any() and len(clip.attention) > 2:
            each.append(float(spearmanr(clip.attention, clip.rise[:, acting].mean(axis=1)).statistic))
    return float(np.mean(each))


def mean_of(rows: dict[str, dict[str, float]], key: str) -> float:
    """The mean over units."""
    return float(np.mean([row[key] for row in rows.values()]))


def show(tower: str, everywhere: dict[str, dict[str, float]], within: dict[str, dict[str, float]]) -> None:
    """A row per unit, then the means."""
    print(f"\nImage tower {tower}: area under the ROC curve")
    print("| unit | all frames: its descriptors | others | within clips: its descriptors | others | clips |")
    print("| --- | --- | --- | --- | --- | --- |")
    for unit, row in everywhere.items():
        said = f"| {unit} | {row['descriptor']:.2f} | {row['others']:.2f} |"
        inner = within.get(unit)
        print(
            said
            + (
                f" {inner['descriptor']:.2f} | {inner['others']:.2f} | {inner['clips']} |"
                if inner
                else " | | |"
            )
        )


def main() -> int:
    """Draw, train, explain, print and store the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="Few clips and one epoch; stores no figures.")
    small = parser.parse_args().small
    torch.set_num_threads(2)
    changed: dict[str, Any] = {"frames": 8, "epochs": 1} if small else {"frames": 16, "epochs": 8}
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        clips = draw_dataset(Path(folder) / "clips", clips=110 if small else 550, seed=FACES)
        for tower, lr_image in TOWERS.items():
            run = trained(clips, lr_image, Path(folder) / "runs", milestones=(6,), **changed)
            found = predicted_video(run, clips)
            everywhere, within = over_all_frames(found), within_clips(found)
            show(tower, everywhere, within)
            figures[tower] = {
                "uar": run.measures("last").uar,
                "over_all_frames": {key: mean_of(everywhere, key) for key in ("descriptor", "others")},
                "within_clips": {
                    key: mean_of(within, key) for key in ("descriptor", "others", "attention", "middle")
                },
                "attention_and_evidence": agreement(found),
                "frames": sum(len(each.units) for each in found),
                "clips": len(found),
                "units": {"over_all_frames": everywhere, "within_clips": within},
            }
    print("\n| means over the units | " + " | ".join(figures) + " |\n| --- |" + " --- |" * len(figures))
    for part in ("over_all_frames", "within_clips"):
        for key in next(iter(figures.values()))[part]:
            values = " | ".join(f"{each[part][key]:.2f}" for each in figures.values())
            print(f"| {part.replace('_', ' ')}: {key} | {values} |")
    for key, digits in (("attention_and_evidence", 2), ("uar", 0)):
        print(f"| {key} | " + " | ".join(f"{each[key]:.{digits}f}" for each in figures.values()) + " |")
    if small:
        return 0
    record("evidence", figures)
    parts = [each["over_all_frames"] for each in figures.values()]
    return 0 if all(each["descriptor"] >= each["others"] + GAIN for each in parts) else 1


if __name__ == "__main__":
    sys.exit(main())
