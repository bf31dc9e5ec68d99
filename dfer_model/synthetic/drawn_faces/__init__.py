"""Drawn faces: a seeded, procedural dataset with expressions made of action units.

A parametric face (`Identity`, 32 action units in `UNITS`, `View`) is rendered to an image; `draw_track` makes
the course of an expression over time; `draw_dataset` packs clips of many people in five folds. `clip_track`
gives the ground truth of each frame.
"""

from __future__ import annotations

from .dataset import DrawnClip, clip_frames, clip_track, draw_contact_sheet, draw_dataset, person, plan_clips
from .face import render
from .people import Identity, Track, View, draw_identity, draw_track, draw_view
from .units import CLASS_NAMES, EXPRESSIONS, UNIT_INDEX, UNITS, expression_units

__all__ = [
    "CLASS_NAMES",
    "EXPRESSIONS",
    "UNITS",
    "UNIT_INDEX",
    "DrawnClip",
    "Identity",
    "Track",
    "View",
    "clip_frames",
    "clip_track",
    "draw_contact_sheet",
    "draw_dataset",
    "draw_identity",
    "draw_track",
    "draw_view",
    "expression_units",
    "person",
    "plan_clips",
    "render",
]
