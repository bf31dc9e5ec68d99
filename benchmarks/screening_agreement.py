"""Does a screening rank sets as fine-tuning does? Run `python benchmarks/screening_agreement.py [--small]`.

On drawn faces with the demo CLIP: views of v1, FACS and controls of v1, on one fold. The plain way fine-tunes
each with each seed, the image tower at a small learning rate (`--lr-image`); the fast way is `compare
--screen`, which freezes the tower and trains all sets and seeds together. Prints each set's UAR and, over the
sets, Spearman's and Kendall's rank correlation of fine-tuning with the screening, with zero-shot, and with
itself from one seed to another, which is an upper limit for any ranking. Only prompts are trained beside the
tower, as in benchmarks/measures.py; `--temporal-depth 1` adds a temporal model.

Takes under 8 minutes on 2 cores, `--small` one. Trains in a temporary folder, and stores the figures in
benchmarks/results/. Fails (exit 1) if Spearman's correlation of the screening with fine-tuning is below 0.5.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results import record
from scipy.stats import kendalltau, spearmanr

from dfer_model.comparison.record import ComparisonRecord
from dfer_model.data.packed import PackedClips
from dfer_model.devices import use_one_thread
from dfer_model.runs import Run
from dfer_model.synthetic.drawn_faces import draw_dataset
from dfer_prompts import DescriptionStore, Workspace, compare, facs_set, load_class_set
from dfer_prompts.cli.options import numbers
from dfer_prompts.cli.output import progress

FOLD, BEST, GOAL = 1, 3, 0.5
SETS = ("v1@1", "v1@2", "v1@3", "v1@4", "facs")
CONTROLS = (
    "class-name", "template-sentence", "random-words", "random-characters", "scrambled", "swapped",
)  # fmt: skip
# Batches of a few frames would give bad statistics to the batch norms of the fine-tuned tower.
SETTINGS = ("frames=2", "batch_size=24", "lr_context=0.04", "contexts=4", "milestones=100", "workers=0")

Figures = dict[str, float]  # UAR in percent by set


def compared(
    place: Workspace, clips: PackedClips, seeds: Sequence[int], settings: Sequence[str], screen: bool
) -> ComparisonRecord:
    """All sets, screened or fine-tuned."""
    result = compare(
        *SETS,
        control=CONTROLS,
        dataset=clips,
        screen=screen,
        folds=[FOLD],
        seeds=seeds,
        preset="demo",
        epochs=4,
        overrides=settings,
        workspace=place,
        progress=progress,
    )
    assert isinstance(result, ComparisonRecord)
    return result


def uars(of: ComparisonRecord, measure: str) -> Figures:
    """The UAR of each set by one measure."""
    return {each.name: each.measures[measure].uar.mean for each in of.comparison.sets}


def by_seed(of: ComparisonRecord, place: Workspace) -> dict[int, Figures]:
    """The UAR of each set's run, by seed."""
    found: dict[int, Figures] = {}
    for name, run in zip(itertools.cycle([each.name for each in of.texts]), of.runs, strict=False):
        opened = Run.open(place.runs / run)
        found.setdefault(opened.seed, {})[name] = opened.measures("last").uar
    return found


def agreement(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Spearman's and Kendall's rank correlation over the sets, ties as scipy has them."""
    pairs = [list(first.values()), [second[name] for name in first]]
    return {"spearman": float(spearmanr(*pairs)[0]), "kendall": float(kendalltau(*pairs)[0])}


def between_seeds(tuned: Mapping[int, Figures]) -> dict[str, float]:
    """The mean agreement of fine-tuning with itself over pairs of seeds."""
    each = [agreement(tuned[one], tuned[two]) for one, two in itertools.combinations(tuned, 2)]
    return {key: float(np.mean([one[key] for one in each])) for key in each[0]}


def best(figures: Mapping[str, float]) -> set[str]:
    """The sets that `--then` would select, controls included."""
    return set(sorted(figures, key=lambda name: -figures[name])[:BEST])


def show(columns: Mapping[str, Figures], found: Mapping[str, Mapping[str, float]]) -> None:
    """The tables of docs/screening.md."""
    print(f"\n| set | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    tuned = columns["fine-tuned"]
    for name in sorted(tuned, key=lambda name: -tuned[name]):
        print(f"| {name} | {' | '.join(f'{each[name]:.1f}' for each in columns.values())} |")
    print("\n| fine-tuning and | Spearman | Kendall |\n| --- | --- | --- |")
    for name, each in found.items():
        print(f"| {name} | {each['spearman']:.2f} | {each['kendall']:.2f} |")


def measured(place: Workspace, clips: int, seeds: Sequence[int], settings: Sequence[str]) -> dict[str, Any]:
    """Both ways on the same clips, and their agreement."""
    DescriptionStore(place).save(facs_set(load_class_set("mafw")), "facs")
    drawn = draw_dataset(place.root / "faces", clips=clips, seed=21, class_names=load_class_set("dfew").names)
    started = time.monotonic()
    screened = compared(place, drawn, seeds, settings, screen=True)
    halfway = time.monotonic()
    tuned = compared(place, drawn, seeds, settings, screen=False)
    took = time.monotonic() - halfway
    columns = {
        "zero-shot": uars(screened, "zero-shot"),
        "screened": uars(screened, "screened"),
        "fine-tuned": uars(tuned, "trained"),
    }
    found = {
        "screening": agreement(columns["screened"], columns["fine-tuned"]),
        "zero-shot": agreement(columns["zero-shot"], columns["fine-tuned"]),
    }
    if len(seeds) > 1:
        found["itself, another seed"] = between_seeds(by_seed(tuned, place))
    show(columns, found)
    shared = len(best(columns["screened"]) & best(columns["fine-tuned"]))
    faster = took / (halfway - started)
    print(
        f"\nOf the best {BEST} by fine-tuning the screening has {shared}; it took 1/{faster:.1f} of the time."
    )
    return {
        "clips": clips,
        "seeds": list(seeds),
        "settings": list(settings),
        "uar": columns,
        "agreement": found,
        "best_shared": shared,
        "fine_tuning_over_screening_time": round(faster, 2),
    }


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="70 clips and one seed; stores no figures")
    parser.add_argument("--seeds", default="1-3")
    parser.add_argument("--temporal-depth", type=int, default=0)
    parser.add_argument("--lr-image", type=float, default=1e-5, help="of fine-tuning")
    given = parser.parse_args()
    use_one_thread()
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace(Path(folder))
        clips, seeds = (70, (1,)) if given.small else (280, numbers(given.seeds, "--seeds"))
        settings = [*SETTINGS, f"temporal_depth={given.temporal_depth}", f"lr_image={given.lr_image}"]
        figures = measured(place, clips, seeds, settings)
    if given.small:
        return 0
    record("screening_agreement", figures)
    return 0 if figures["agreement"]["screening"]["spearman"] >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
