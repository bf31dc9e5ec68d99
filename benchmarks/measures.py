"""Measures that separate correct from wrong texts: run `python benchmarks/measures.py [--out FOLDER]`.

On drawn faces with the demo CLIP: v1, FACS and every control of v1 by all five measures of `compare`, on
one fold. Prints the tables of docs/measures.md; the figures are in the comparisons' folders under FOLDER.
Runs of an earlier call are reused.

Only prompts are trained (`temporal_depth=0`, frozen image tower): a temporal model is initialised at
random and needs more clips and epochs than one core can give to so many trainings. `--temporal-depth 1`
tries it.

Fails (exit 1) unless v1 is above `control:swapped` zero-shot, few-shot and held-out-class.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from dfer_model.comparison.record import ComparisonRecord
from dfer_model.data.packed import PackedClips
from dfer_model.devices import use_one_thread
from dfer_model.synthetic.drawn_faces import draw_dataset
from dfer_prompts import DescriptionStore, Workspace, compare, facs_set, load_class_set
from dfer_prompts.cli.options import numbers
from dfer_prompts.cli.output import progress
from dfer_prompts.generation.controls import CONTROLS

FOLD = 1
SHOTS = (0, 1, 2, 4)
# Few clips are few steps, so few-shot has more epochs; the others have as many steps as one core allows.
FEW_SHOT_EPOCHS, EPOCHS = 10, 2
SETTINGS = ("frames=2", "lr_context=0.02", "contexts=4", "milestones=100", "workers=0")
MUST_TELL = ("zero-shot", "few-shot", "held-out-class")


def clips_of(out: Path, class_set: str, clips: int, seed: int) -> PackedClips:
    """Drawn clips of the classes of a class set, drawn once."""
    if out.is_dir():
        return PackedClips.open(out)
    return draw_dataset(out, clips=clips, seed=seed, class_names=load_class_set(class_set).names)


def compared(place: Workspace, measure: str, seeds: tuple[int, ...], depth: int) -> ComparisonRecord:
    """v1, FACS and every control of v1 by one measure."""
    epochs = FEW_SHOT_EPOCHS if measure == "few-shot" else EPOCHS
    return compare(
        "v1",
        "facs",
        control=list(CONTROLS),
        dataset=clips_of(place.root / "dfew", "dfew", 350, 21),
        measure=measure,
        shots=SHOTS if measure == "few-shot" else None,
        transfer_to=clips_of(place.root / "mafw", "mafw", 220, 22) if measure == "transfer" else None,
        folds=[FOLD],
        seeds=seeds,
        preset="demo",
        epochs=epochs,
        overrides=[*SETTINGS, f"temporal_depth={depth}"],
        workspace=place,
        progress=progress,
    )


def show(result: ComparisonRecord, measure: str) -> float:
    """Print a measure's table and verdicts in Markdown; returns v1 minus swapped, in points."""
    comparison = result.comparison
    mine = {(pair.first, pair.second): pair for pair in comparison.pairs if pair.measure == measure}
    first = comparison.sets[0].measures[measure]
    beside = [name for name in first.named if name != "war"]
    shots = list(first.curves.get("curve_uar", {}))
    heads = [name.replace("_", " ").replace("uar", "UAR") for name in beside]
    heads += [f"{each} shots" for each in shots]
    print(f"\n### {measure}\n")
    print(f"| set | {' | '.join(heads)} | v1 minus it | corrected p |")
    print(f"| --- |{' --- |' * (len(heads) + 2)}")
    for each in comparison.sets:
        figures = each.measures[measure]
        cells = [figures.named[name] for name in beside]
        cells += [figures.curves["curve_uar"][at] for at in shots]
        shown = [f"{one.mean:.1f}" + (f" ± {one.std:.1f}" if one.std is not None else "") for one in cells]
        pair = mine.get(("v1", each.name))
        said = f"{pair.uar.value:+.1f} ({pair.uar.low:+.1f} to {pair.uar.high:+.1f})" if pair else ""
        print(f"| {each.name} | {' | '.join(shown)} | {said} | {f'{pair.uar.p_holm:.3f}' if pair else ''} |")
    print()
    for sentence in comparison.verdicts:
        if f", {measure}: " in sentence:
            print(f"- {sentence}")
    print(f"\nFigures: {result.folder}", flush=True)
    return mine["v1", "control:swapped"].uar.value


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("measures"), help="folder of clips, runs, figures")
    parser.add_argument("--seeds", default="1-3")
    parser.add_argument("--temporal-depth", type=int, default=0)
    arguments = parser.parse_args()
    use_one_thread()
    arguments.out.mkdir(parents=True, exist_ok=True)
    place = Workspace.find(arguments.out)
    if not (place.descriptions / "facs").is_dir():
        DescriptionStore(place).save(facs_set(load_class_set("mafw")), "facs")
    seeds = numbers(arguments.seeds, "--seeds")
    told = {}
    for measure in ("supervised", "few-shot", "transfer", "held-out-class"):
        started = time.monotonic()
        result = compared(place, measure, seeds, arguments.temporal_depth)
        for each in result.comparison.measures:
            told[each] = show(result, each)
        print(f"{measure}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    short = [each for each in MUST_TELL if told[each] <= 0]
    print("\nv1 minus control:swapped: " + ", ".join(f"{name} {gap:+.1f}" for name, gap in told.items()))
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
