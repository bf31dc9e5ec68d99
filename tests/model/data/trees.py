"""Small dataset trees for tests of layouts, and what a layout found in them."""

from __future__ import annotations

from pathlib import Path

from dfer_model.data.layouts import Layout


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def found(layout: Layout) -> dict[str, tuple[str, int, str]]:
    """Clip id -> class, fold, place below the frames' root."""
    return {
        clip.clip_id: (
            clip.class_name,
            clip.fold,
            clip.path.relative_to(layout.frames_root).as_posix() if clip.path else "",
        )
        for clip in layout.clips
    }
