"""Speed and accuracy of `predict --every N`: run `python benchmarks/looking.py VIDEO`.

Detects and tracks the faces of your own video in every frame, which is the plain way, and in every second,
fifth and tenth. For each it prints the speed-up of that pass over the video (median of interleaved rounds),
the share of the plain way's boxes that it has, and the least overlap (intersection over union) of a box with
the plain way's on the same frame. `--run FOLDER`, a run's, adds the largest change of a probability in
percentage points, in windows of a second; `--face-model` is YuNet's. A few seconds of video take a minute.
Fails (exit 1) if every fifth frame is not twice as fast, or a box overlaps by less than 0.8.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from results import record

from dfer_model.runs import Run
from dfer_model.video.detect import choose_detector
from dfer_model.video.footage import Footage, open_footage
from dfer_model.video.passes import FaceOptions, Followed, follow
from dfer_model.video.predict_video import WindowPredictor
from dfer_model.video.track import overlap
from dfer_model.video.windows import Spacing

STEPS = (1, 2, 5, 10)
ROUNDS = 3
CHECKED, TIMES_AS_FAST, LEAST_OVERLAP = 5, 2.0, 0.8


def boxes(followed: Followed) -> dict[int, tuple[float, ...]]:
    """Frame -> the largest face's box in it."""
    path = max(followed.tracks, key=lambda each: each.size)
    return dict(zip(path.frames.tolist(), map(tuple, path.boxes.tolist()), strict=True))


def seconds(footage: Footage, steps: dict[int, FaceOptions]) -> dict[int, float]:
    """The median time of the pass for each step."""
    times: dict[int, list[float]] = {step: [] for step in steps}
    for _ in range(ROUNDS):
        for step, face_options in steps.items():
            began = time.perf_counter()
            follow(footage, face_options)
            times[step].append(time.perf_counter() - began)
    return {step: statistics.median(each) for step, each in times.items()}


def shares_in_percent(predictor: WindowPredictor, footage: Footage, face_options: FaceOptions) -> np.ndarray:
    """Probabilities (windows, classes) in percent."""
    predictions = predictor.predict(footage, face_options).predictions
    return 100 * np.array([list(each.probabilities.values()) for each in predictions])


def main() -> int:
    """Detect, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("--run", type=Path)
    given = parser.parse_args()
    detector, note = choose_detector("auto", given.face_model)
    print(note or f"detector: {detector.name}")
    footage = open_footage(given.video)
    steps = {step: FaceOptions(detector, spacing=Spacing(1), every=step) for step in STEPS}
    times = seconds(footage, steps)
    found = {step: boxes(follow(footage, face_options)) for step, face_options in steps.items()}
    predictor = WindowPredictor.of(Run.open(given.run)) if given.run else None
    shares = (
        {step: shares_in_percent(predictor, footage, each) for step, each in steps.items()}
        if predictor
        else {}
    )
    plain, rows = found[1], {}
    for step in STEPS[1:]:
        shared = plain.keys() & found[step].keys()
        rows[step] = {
            "times_as_fast": times[1] / times[step],
            "boxes_found": len(shared) / len(plain),
            "least_overlap": min(overlap(plain[at], found[step][at]) for at in shared),
            "most_points_changed": float(np.abs(shares[step] - shares[1]).max()) if shares else None,
        }
        line = ", ".join(f"{name} {value:.2f}" for name, value in rows[step].items() if value is not None)
        print(f"every {step}: {line}")
    record("looking", {"detector": detector.name, "frames": footage.expected, "every": rows})
    checked = rows[CHECKED]
    kept = checked["times_as_fast"] >= TIMES_AS_FAST and checked["least_overlap"] >= LEAST_OVERLAP
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
