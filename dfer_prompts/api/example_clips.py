"""Example clips of the page: drawn faces, drawn when they are first needed."""

from __future__ import annotations

from pathlib import Path

from ..errors import unknown

EXAMPLES = {"happiness": 2, "surprise": 2}  # expression: number of the drawn person


def write_example_clip(name: str, path: Path) -> Path:
    """Draw the example clip `name` to `path`, a .webm file. Raises InputError for an unknown name."""
    if name not in EXAMPLES:
        raise unknown("example clip", name, EXAMPLES)
    from dfer_model.synthetic.drawn_faces.video import write_drawn_video

    return write_drawn_video(path, name, EXAMPLES[name])
