"""UAR and WAR of each loss on unbalanced drawn faces. Run `python benchmarks/losses.py [--small]`.

Draws clips of DFEW's seven classes. For each loss, fold and seed, contexts and temporal model are trained
with v1@4 on features of the demo CLIP's frozen image tower, as in a screening (docs/screening.md). Training
folds are unbalanced: from the most to the least frequent class, the number of clips falls by a constant
factor, to a tenth. UAR is the mean of the recalls on the test fold; WAR weights them by the classes' shares
of the training clips, so that it is the expected accuracy on test clips that are unbalanced in the same way.
Prints means over folds and seeds, in percent, and the paired mean difference to cross-entropy with its
standard error over folds.

Takes about ten minutes on one core. Stores the figures in benchmarks/results/, except with `--small`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from results import record

from dfer_model.comparison.screening import Screening, screen
from dfer_model.config import preset, with_overrides
from dfer_model.data.packed import PackedClips
from dfer_model.devices import use_one_thread
from dfer_model.metrics import measures
from dfer_model.synthetic.drawn_faces import draw_dataset
from dfer_prompts import DescriptionStore, Workspace, load_class_set
from dfer_prompts.api.inputs import class_texts
from dfer_prompts.cli.options import numbers

VIEWS = 2  # augmented views of a training clip
RARE = 0.1  # clips of the rarest class, as a share of those of the most frequent class
SETTINGS = ("epochs=12", "milestones=10", "batch_size=16", "frames=4", "workers=0")
RECIPES: dict[str, tuple[str, ...]] = {
    "cross-entropy": (),
    "class-weighted": ("loss=class-weighted",),
    "focal": ("loss=focal",),
    "ldam": ("loss=ldam",),
    "logit-adjusted": ("loss=logit-adjusted",),
    "cross-entropy, sampling=class-balanced": ("sampling=class-balanced",),
}
Indices = npt.NDArray[np.int64]


def thinned(clips: PackedClips, indices: Indices) -> Indices:
    """The first clips of each class at `indices`, as many as the module's docstring says."""
    labels = clips.labels[indices]
    counts = np.bincount(labels, minlength=len(clips.class_names))
    order = np.argsort(-np.bincount(clips.labels), kind="stable")
    most = counts[order[0]]
    kept = []
    for rank, label in enumerate(order):
        wanted = max(1, round(most * RARE ** (rank / (len(order) - 1))))
        kept.append(indices[labels == label][:wanted])
    return np.sort(np.concatenate(kept))


def measured(
    place: Workspace, clips: PackedClips, folds: Sequence[int], seeds: Sequence[int]
) -> dict[str, npt.NDArray[np.float64]]:
    """UAR and WAR (folds, seeds, 2) in percent by recipe."""
    texts = class_texts(DescriptionStore(place).load("v1@4"), clips.class_names)
    found = {}
    for name, overrides in RECIPES.items():
        settings = with_overrides(preset("demo"), [*SETTINGS, *overrides])
        figures = np.zeros((len(folds), len(seeds), 2))
        for row, fold in enumerate(folds):
            learn, test = thinned(clips, clips.train_indices(fold)), clips.test_indices(fold)
            shares = np.bincount(clips.labels[learn], minlength=len(clips.class_names)) / len(learn)
            asked = Screening(settings, (texts,), tuple(seeds), learn, test, VIEWS)
            for (_, seed), answers in screen(asked, clips, place.root / "features", device="cpu").items():
                result = measures(answers.labels, answers.logits.argmax(axis=1), clips.class_names)
                recalls = np.array(list(result.recalls.values()))
                figures[row, seeds.index(seed)] = result.uar, recalls @ shares
        found[name] = figures
        print(f"{name}: UAR {figures[..., 0].mean():.1f}, WAR {figures[..., 1].mean():.1f}", flush=True)
    return found


def table(found: dict[str, npt.NDArray[np.float64]]) -> dict[str, Any]:
    """Print the figures as a Markdown table; return them."""
    print("\n| Loss | UAR | WAR | Difference in UAR | Difference in WAR |\n| --- | --- | --- | --- | --- |")
    plain, rows = found["cross-entropy"], {}
    for name, figures in found.items():
        differences = (figures - plain).mean(axis=1)  # (folds, 2)
        mean, error = differences.mean(axis=0), differences.std(axis=0, ddof=1) / len(differences) ** 0.5
        uar, war = figures.mean(axis=(0, 1))
        rows[name] = {"uar": uar, "war": war, "difference": mean.tolist(), "error": error.tolist()}
        cells = [f"{each:+.1f} ± {of:.1f}" for each, of in zip(mean, error, strict=True)]
        print(f"| {name} | {uar:.1f} | {war:.1f} | {' | '.join(cells) if figures is not plain else ' | '} |")
    return rows


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="70 clips and one seed; stores no figures")
    parser.add_argument("--clips", type=int, default=420)
    parser.add_argument("--seeds", default="1-2")
    parser.add_argument("--folder", help="keep clips, features and predictions here, to go on after a stop")
    given = parser.parse_args()
    use_one_thread()
    with nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory() as folder:
        place = Workspace(Path(folder))
        count, seeds = (70, [1]) if given.small else (given.clips, list(numbers(given.seeds, "--seeds")))
        names, faces = load_class_set("dfew").names, place.root / "faces"
        drawn = faces.is_dir()
        clips = (
            PackedClips.open(faces) if drawn else draw_dataset(faces, clips=count, seed=5, class_names=names)
        )
        learned = np.bincount(clips.labels[thinned(clips, clips.train_indices(1))])
        by_class = ", ".join(f"{name} {n}" for name, n in zip(clips.class_names, learned, strict=True))
        print(f"Training clips of fold 1: {by_class}")
        rows = table(measured(place, clips, (1, 2, 3, 4, 5), seeds))
    if not given.small:
        record("losses", {"clips": count, "seeds": seeds, "settings": [*SETTINGS], "losses": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
