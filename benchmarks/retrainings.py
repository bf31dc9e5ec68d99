"""Are retrainings of one text called different? Run `python benchmarks/retrainings.py [--small]`.

v1@4 is trained 40 times on drawn faces with the demo CLIP and a frozen image tower, with other seeds only.
The trainings are assigned at random to sets of equal size, which therefore do not differ, and the first two
sets are tested as `compare` tests a pair. A verdict "better" or "worse" is false. Prints the rate of false
verdicts at 5% by number of sets and seeds, over random assignments of the same 40 trainings. Assignments
share trainings, so the rates are not independent, and depend on these trainings and test clips.

Takes a few minutes on 2 cores, `--small` under one. Fails (exit 1) if a rate is above 8%.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from results import record

from dfer_model.comparison.grid import Grid
from dfer_model.comparison.results import Answers
from dfer_model.comparison.screening.screener import frozen, screened_answers, splits_by_fold
from dfer_model.comparison.seed_variance import pair_variance
from dfer_model.comparison.statistics import paired_difference
from dfer_model.config import preset, with_overrides
from dfer_model.devices import use_one_thread
from dfer_model.synthetic.drawn_faces import draw_dataset
from dfer_prompts import DescriptionStore, Workspace
from dfer_prompts.api.inputs import class_texts

SETTINGS = ("frames=2", "batch_size=24", "lr_context=0.04", "epochs=4", "milestones=100", "workers=0")
DESIGNS = ((2, 3), (4, 3), (8, 3), (13, 3), (8, 2), (8, 5))  # sets, seeds
MOST = 8.0  # percent of false verdicts


def retrained(place: Workspace, clips_drawn: int, trainings: int) -> Answers:
    """The correct predictions of all trainings for the clips of fold 1: one set, (trainings, clips)."""
    clips = draw_dataset(place.root / "packed", clips=clips_drawn)
    texts = class_texts(DescriptionStore(place).load("v1@4"), clips.class_names)
    settings = frozen(with_overrides(preset("demo"), SETTINGS))
    grid = Grid(settings, (texts,), (1,), tuple(range(1, trainings + 1)))
    splits = splits_by_fold(clips, (1,))
    return screened_answers(grid, splits, clips, place.root / "features", lambda *_: None, "cpu")


def false_verdicts(
    correct: NDArray[np.bool_], answers: Answers, sets: int, seeds: int, deals: int
) -> dict[str, float]:
    """Percent of false verdicts over `deals`, by the seed variance of all sets and of the pair alone."""
    rng = np.random.default_rng(sets * 100 + seeds)
    weights = answers.uar
    false = {"pooled": 0, "alone": 0}
    for deal in range(deals):
        chosen = rng.permutation(len(correct))[: sets * seeds].reshape(sets, seeds)
        figures = correct[chosen] @ weights  # (sets, seeds)
        for name, variance in (("pooled", pair_variance(figures, 0, 1)), ("alone", None)):
            difference = paired_difference(
                correct[chosen[0]],
                correct[chosen[1]],
                weights,
                answers.labels,
                answers.folds,
                seed=deal,
                seed_variance=variance,
            )
            false[name] += difference.verdict != "indistinguishable"
    return {name: 100 * number / deals for name, number in false.items()}


def main() -> None:
    """Train, deal, print the table, and fail on a rate above MOST."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--small", action="store_true", help="few clips, trainings and deals; nothing is stored"
    )
    small = parser.parse_args().small
    use_one_thread()
    trainings, clips, deals = (12, 110, 50) if small else (40, 550, 400)
    with tempfile.TemporaryDirectory() as folder:
        answers = retrained(Workspace(Path(folder)), clips, trainings)
    (correct,) = answers.correct.values()
    uars = correct @ answers.uar
    print(
        f"{trainings} trainings: UAR {uars.mean():.1f}, standard deviation over seeds {uars.std(ddof=1):.1f}"
    )
    print("| sets | seeds | false | false, alone |\n| --- | --- | --- | --- |")
    rows = []
    for sets, seeds in DESIGNS:
        if sets * seeds <= trainings:
            rates = false_verdicts(correct, answers, sets, seeds, deals)
            rows.append({"sets": sets, "seeds": seeds, **rates})
            print(f"| {sets} | {seeds} | {rates['pooled']:.1f} | {rates['alone']:.1f} |")
    if not small:
        record(
            "retrainings",
            {"trainings": trainings, "clips": len(answers.labels), "uars": uars.tolist(), "rows": rows},
        )
        if max(row["pooled"] for row in rows) > MOST:
            sys.exit(1)


if __name__ == "__main__":
    main()
