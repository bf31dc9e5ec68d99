"""The timeline and the overlay of predictions."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dfer_model.data.images import Pixels
from dfer_model.data.video import TimedFrame
from dfer_model.errors import InputError
from dfer_model.evaluation.classify import Prediction
from dfer_model.video.detect import Face
from dfer_model.video.footage import Footage, open_footage
from dfer_model.video.overlay import write_overlay
from dfer_model.video.passes import FaceOptions, Followed, follow
from dfer_model.video.predict_video import PredictedVideo
from dfer_model.video.timeline import draw_timeline
from dfer_model.video.track import Track
from dfer_model.video.windows import COLOURS, moments

NAMES = ("joy", "anger")


def prediction(start: float, end: float, joy: float, track: int | None = 1) -> Prediction:
    probabilities = dict(zip(NAMES, (joy, 1 - joy), strict=True))
    return Prediction(Path("clip.mp4"), probabilities, (0,), (0.0,), start, end, track, (40, 60, 120, 140))


def colour(pixels: Pixels, name: str) -> np.ndarray:
    """Where the pixels are near a colour, (H, W)."""
    rgb = np.array([int(name[at : at + 2], 16) for at in (1, 3, 5)])
    return np.abs(pixels.astype(int) - rgb).max(axis=2) < 40


def test_overlapping_windows_are_averaged() -> None:
    timeline = moments([prediction(0, 2, 0.9), prediction(1, 3, 0.3), prediction(5, 6, 0.1)])
    assert timeline.edges.tolist() == [0, 1, 2, 3, 5, 6]
    assert timeline.probabilities[:3, 0] == pytest.approx([0.9, 0.6, 0.3])
    found = timeline.at(1.5)
    assert found is not None
    assert found[0] == pytest.approx(0.6)
    assert [timeline.at(4), timeline.at(-0.1), timeline.at(6)] == [None, None, None]


def test_a_single_frame_has_its_moment() -> None:
    found = moments([prediction(3, 3, 0.9)]).at(3)
    assert found is not None
    assert found[0] == pytest.approx(0.9)


def test_a_timeline_has_the_shares_over_time(tmp_path: Path) -> None:
    drawn = draw_timeline(
        tmp_path / "t.png", [prediction(0, 1, 0.75), prediction(1, 2, 0.25), prediction(0, 2, 0.5, 2)], NAMES
    )
    assert drawn == 2
    pixels = np.asarray(Image.open(tmp_path / "t.png").convert("RGB"))
    upper = colour(pixels, COLOURS[0])[: len(pixels) // 2]
    columns = upper.sum(axis=0)
    heights = columns[np.flatnonzero(columns > 20)]
    first, last = heights[len(heights) // 8], heights[len(heights) // 2]
    assert first / last == pytest.approx(3, rel=0.1)
    text = [prediction(0, 1, 0.5)]
    draw_timeline(tmp_path / "t.svg", text, ["a $ sign", "b"])
    assert "a $ sign" in (tmp_path / "t.svg").read_text()
    before = (tmp_path / "t.svg").read_bytes()
    draw_timeline(tmp_path / "t.svg", text, ["a $ sign", "b"])
    assert (tmp_path / "t.svg").read_bytes() == before
    with pytest.raises(InputError, match="nothing to draw"):
        draw_timeline(tmp_path / "n.png", [], NAMES)


def test_of_many_classes_the_most_probable_have_a_layer_each(tmp_path: Path) -> None:
    names = [f"class {chr(ord('a') + number)}" for number in range(13)]
    often = dict(zip(names, [0.0, 0.0, 0.0, *[0.075] * 9, 0.325], strict=True))
    once = dict.fromkeys(names, 0.0) | {"class b": 1.0}
    given = [(0, often), (1, often), (2, often), (3, once)]
    windows = [Prediction(Path("v"), shares, (0,), (0.0,), at, at + 1) for at, shares in given]
    draw_timeline(tmp_path / "t.svg", windows, names)
    text = (tmp_path / "t.svg").read_text()
    # b is said for a second of the four, the others of those shown for 0.225 of three or more.
    assert [name for name in names if f">{name}<" in text] == ["class b", *names[3:11], names[12]]
    assert ">3 others<" in text
    draw_timeline(tmp_path / "t.png", windows, names)
    pixels = np.asarray(Image.open(tmp_path / "t.png").convert("RGB"))
    assert (pixels == 0xEC).all(axis=2)[:, 100:300].any(axis=0).all()


def predicted_video(track: int | None, left: float = 100.0, top: float = 80.0) -> PredictedVideo:
    """Twelve frames at 10 per second, a one-second gap before the last; the first half has a prediction."""
    times = [0.1 * index for index in range(11)] + [2.0]
    frames = [
        TimedFrame(index, time, np.full((240, 320, 3), 60, np.uint8)) for index, time in enumerate(times)
    ]
    face = Track(1)
    for timed in frames:
        face.append(timed.index, timed.seconds, Face((left, top, left + 100, top + 100), 1.0))
    path = face.path()
    footage = Footage(Path("clip.mp4"), Path("clip.mp4"), lambda: iter(frames), 10, 12)
    followed = Followed((path,), 12, 2.1, (320, 240))
    return PredictedVideo(footage, followed, (path,), (prediction(0, 0.5, 0.8, track),), ())


@pytest.mark.parametrize("track", [1, None])
def test_an_overlay_shows_box_word_and_bar_at_the_times_of_the_video(
    tmp_path: Path, track: int | None
) -> None:
    write_overlay(tmp_path / "o.mp4", predicted_video(track))
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


@pytest.mark.parametrize(("left", "top"), [(-60.0, -30.0), (280.0, 170.0)])
def test_word_and_bar_of_a_face_at_the_edge_stay_in_the_frame(
    tmp_path: Path, left: float, top: float
) -> None:
    shown = []
    for place in ((100.0, 80.0), (left, top)):
        write_overlay(tmp_path / "o.mp4", predicted_video(1, *place))
        with av.open(str(tmp_path / "o.mp4")) as container:
            shown.append(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    inside, edge = (_plate(pixels) for pixels in shown)
    assert edge.shape == pytest.approx(inside.shape, abs=2)
    bottom = colour(shown[1], COLOURS[0])[int(min(top + 100, 230)) :]
    assert bottom.sum() > 50


def _plate(pixels: Pixels) -> np.ndarray:
    """The black plate of the word, cut out."""
    black = pixels.max(axis=2) < 30
    rows = np.flatnonzero(black.sum(axis=1) > 30)
    upper = rows[: np.flatnonzero(np.diff(rows, append=999) > 1)[0] + 1]
    columns = np.flatnonzero(black[upper].any(axis=0))
    return pixels[upper[0] : upper[-1] + 1, columns[0] : columns[-1] + 1]


def test_an_overlay_is_an_mp4(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the name must end in \.mp4"):
        write_overlay(tmp_path / "o.avi", predicted_video(1))


def test_the_tracks_of_a_video_share_their_time_axis(tmp_path: Path) -> None:
    early, late = prediction(0, 2, 1.0, 1), prediction(6, 8, 1.0, 2)
    draw_timeline(tmp_path / "t.png", [early, late], NAMES)
    pixels = colour(np.asarray(Image.open(tmp_path / "t.png").convert("RGB")), COLOURS[0])
    upper, lower = pixels[: len(pixels) // 2], pixels[len(pixels) // 2 :]
    first, second = (np.flatnonzero(half.sum(axis=0) > 40) for half in (upper, lower))
    width = second.max() - first.min()  # 8 seconds
    assert [first.max() - first.min(), second.min() - first.min()] == pytest.approx(
        [width / 4, width * 3 / 4], abs=4
    )


def film(path: Path, start: float, codec: str, silent: bool = False) -> Path:
    """A second of grey at 10 frames a second, and a tone from 0.3 to 0.6 s; all begins at `start`."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 100)
        sound = None if silent else out.add_stream(codec, rate=16000)
        if sound is not None:
            sound.layout = "mono"
            times = np.arange(16000) / 16000
            tone = np.where((times >= 0.3) & (times < 0.6), np.sin(2 * np.pi * 440 * times), 0)
            wave = (12000 * tone).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, round(start * 16000)
            frame.time_base = Fraction(1, 16000)
            resampler = av.AudioResampler(sound.codec_context.format, "mono", 16000, sound.frame_size or None)
            pieces = [each for ready in (frame, None) for each in resampler.resample(ready)]
            for piece in pieces:
                out.mux(sound.encode(piece))
            out.mux(sound.encode(None))
        for index in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
            picture.pts, picture.time_base = round(100 * start) + 10 * index, Fraction(1, 100)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "start", "codec", "first"),
    [
        ("a.mp4", 0, "aac", 0),
        ("a.mkv", 0.5, "pcm_s16le", 0.5),
        ("a.mkv", 300, "libopus", 0),
        ("a.mp4", 0, "", 0),
    ],
)
def test_an_overlay_keeps_the_sound_in_its_place(
    tmp_path: Path, name: str, start: float, codec: str, first: float
) -> None:
    footage = open_footage(film(tmp_path / name, start, codec, silent=not codec))
    followed = follow(footage, FaceOptions(None))
    write_overlay(tmp_path / "12:30.mp4", PredictedVideo(footage, followed, followed.tracks, (), ()))
    with av.open(f"file:{tmp_path / '12:30.mp4'}") as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([first + 0.1 * index for index in range(10)], abs=0.03)
    with av.open(f"file:{tmp_path / '12:30.mp4'}") as container:
        assert len(container.streams.audio) == bool(codec)
        if not codec:
            return
        sounds = [
            (
                frame.time + np.arange(frame.samples) / frame.sample_rate,
                np.abs(frame.to_ndarray()).max(axis=0),
            )
            for frame in container.decode(audio=0)
        ]
    seconds, loud = (np.concatenate(part) for part in zip(*sounds, strict=True))
    found = seconds[loud > loud.max() / 3]
    assert [found.min(), found.max()] == pytest.approx([first + 0.3, first + 0.6], abs=0.05)
