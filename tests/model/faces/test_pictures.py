"""The timeline and the overlay: what is drawn of what was said, and where."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dfer_model.data.images import Pixels
from dfer_model.data.video import TimedFrame
from dfer_model.errors import InputError
from dfer_model.faces.detectors import Face
from dfer_model.faces.footage import Footage
from dfer_model.faces.moments import COLOURS, moments
from dfer_model.faces.overlay import write_overlay
from dfer_model.faces.predicting import Watched
from dfer_model.faces.timeline import draw_timeline
from dfer_model.faces.tracking import Track
from dfer_model.faces.watching import Followed
from dfer_model.prediction import Prediction

NAMES = ("joy", "anger")


def said(start: float, end: float, joy: float, track: int | None = 1) -> Prediction:
    probabilities = dict(zip(NAMES, (joy, 1 - joy), strict=True))
    return Prediction(Path("clip.mp4"), probabilities, (0,), (0.0,), start, end, track, (40, 60, 120, 140))


def colour(pixels: Pixels, wanted: str) -> np.ndarray:
    """Where the pixels are near a colour, (H, W)."""
    rgb = np.array([int(wanted[at : at + 2], 16) for at in (1, 3, 5)])
    return np.abs(pixels.astype(int) - rgb).max(axis=2) < 40


def test_where_windows_overlap_their_mean_is_said() -> None:
    told = moments([said(0, 2, 0.9), said(1, 3, 0.3), said(5, 6, 0.1)])
    assert told.edges.tolist() == [0, 1, 2, 3, 5, 6]
    assert told.probabilities[:3, 0] == pytest.approx([0.9, 0.6, 0.3])
    found = told.at(1.5)
    assert found is not None
    assert found[0] == pytest.approx(0.6)
    assert [told.at(4), told.at(-0.1), told.at(6)] == [None, None, None]


def test_a_single_frame_has_its_moment() -> None:
    found = moments([said(3, 3, 0.9)]).at(3)
    assert found is not None
    assert found[0] == pytest.approx(0.9)


def test_a_timeline_has_the_shares_over_time(tmp_path: Path) -> None:
    drawn = draw_timeline(tmp_path / "t.png", [said(0, 1, 0.75), said(1, 2, 0.25), said(0, 2, 0.5, 2)], NAMES)
    assert drawn == 2
    pixels = np.asarray(Image.open(tmp_path / "t.png").convert("RGB"))
    upper = colour(pixels, COLOURS[0])[: len(pixels) // 2]
    columns = upper.sum(axis=0)
    heights = columns[np.flatnonzero(columns > 20)]
    first, last = heights[len(heights) // 8], heights[len(heights) // 2]
    assert first / last == pytest.approx(3, rel=0.1)
    text = [said(0, 1, 0.5)]
    draw_timeline(tmp_path / "t.svg", text, ["a $ sign", "b"])
    assert "a $ sign" in (tmp_path / "t.svg").read_text()
    before = (tmp_path / "t.svg").read_bytes()
    draw_timeline(tmp_path / "t.svg", text, ["a $ sign", "b"])
    assert (tmp_path / "t.svg").read_bytes() == before
    with pytest.raises(InputError, match="nothing to draw"):
        draw_timeline(tmp_path / "n.png", [], NAMES)


def watched(track: int | None) -> Watched:
    """Twelve frames at 10 a second, a gap of a second before the last; a word is said of the first half."""
    times = [0.1 * index for index in range(11)] + [2.0]
    frames = [
        TimedFrame(index, time, np.full((240, 320, 3), 60, np.uint8)) for index, time in enumerate(times)
    ]
    face = Track(1)
    for timed in frames:
        face.append(timed.index, timed.seconds, Face((100.0, 80.0, 200.0, 180.0), 1.0))
    path = face.path()
    footage = Footage(Path("clip.mp4"), Path("clip.mp4"), lambda: iter(frames), 10, 12)
    followed = Followed((path,), 12, 2.1, (320, 240))
    return Watched(footage, followed, (path,), (said(0, 0.5, 0.8, track),), ())


@pytest.mark.parametrize("track", [1, None])
def test_an_overlay_shows_box_word_and_bar_at_the_times_of_the_video(
    tmp_path: Path, track: int | None
) -> None:
    write_overlay(tmp_path / "o.mp4", watched(track))
    with av.open(str(tmp_path / "o.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([0.1 * i for i in range(11)] + [2.0], abs=0.01)
    early, late = (frames[index].to_ndarray(format="rgb24") for index in (2, 8))
    assert early.shape == (240, 320, 3)
    shown = colour(early, COLOURS[0])
    assert not colour(late, COLOURS[0]).any()
    if track is None:
        assert shown[:80, :200].any()
        assert not (late > 200).any()
    else:
        assert shown[85:175, 96:104].any(axis=1).mean() > 0.9  # the left side of the box
        bar = shown[184:188].any(axis=0)
        assert np.flatnonzero(bar).max() == pytest.approx(180, abs=4)  # 0.8 of 100 pixels from 100
        assert (late[85:175, 96:104] > 200).any(axis=1).mean() > 0.9  # a white box, nothing said


def test_an_overlay_is_an_mp4(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end its name in \.mp4"):
        write_overlay(tmp_path / "o.avi", watched(1))
