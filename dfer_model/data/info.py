"""What packed clips are made of: classes by folds, and how long the clips are."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfer_model.data.packed import PackedClips

SHORT = 16


def info(clips: PackedClips) -> dict[str, Any]:
    """The numbers of clips by class and fold, and of frames, as plain values for a table or JSON.

    `folds` of a class is fold -> test clips of that fold; fold 0 is never tested. `frames.short` counts the
    clips under 16 frames, whose last frame is repeated when 16 are sampled.
    """
    folds = [int(fold) for fold in np.unique(clips.folds)]
    report = clips.report
    disagreements = report.get("frame_count_disagreements") or {}
    return {
        "dataset": clips.name,
        "path": str(clips.path),
        "clips": len(clips),
        "classes": [
            {
                "class_name": name,
                "clips": int((clips.labels == label).sum()),
                "folds": {
                    str(fold): int(((clips.labels == label) & (clips.folds == fold)).sum()) for fold in folds
                },
            }
            for label, name in enumerate(clips.class_names)
        ],
        "folds": folds,
        "frames": {
            "total": int(clips.num_frames.sum()),
            "min": int(clips.num_frames.min()),
            "median": float(np.median(clips.num_frames)),
            "max": int(clips.num_frames.max()),
            "short": int((clips.num_frames < SHORT).sum()),
        },
        "skipped": len(report.get("skipped") or []),
        "no_face": len(report.get("no_face") or []),
        "frame_count_disagreements": int(disagreements.get("count", 0)),
        "notes": list(report.get("notes") or []),
        "fingerprint": clips.fingerprint,
    }
