"""Overlay video: boxes of faces, their predicted expressions with bars of the probability, and the audio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

from dfer_model.data.images import Pixels
from dfer_model.data.video import local_address, open_container
from dfer_model.errors import InputError
from dfer_model.evaluation.classify import Prediction
from dfer_model.io import replacing
from dfer_model.progress import Report, silent
from dfer_model.reports.fonts import bold_file

from .predict_video import PredictedVideo
from .windows import Moments, by_track, class_colours, moments

TICKS = 1000  # per second; keeps the times of variable frame rates
TEXT_SHARE = 1 / 24  # of the frame's shorter side
LEAST_TEXT = 11  # pixels
IN_MP4 = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")  # copied; others are converted to AAC
LATE_SECONDS = 10.0  # a longer silent start is removed from the copy


def write_overlay(path: Path, predicted_video: PredictedVideo, report: Report = silent) -> None:
    """Write the video with its predictions and sound as MP4, with the timestamps of the video.

    Outside the windows of a track its box is drawn without a label. Raises InputError if the name does not
    end in .mp4, OSError if the file cannot be written.
    """
    if path.suffix.casefold() != ".mp4":
        raise InputError(f"--overlay {path}: the name must end in .mp4")
    drawing = _Drawing(predicted_video)
    width, height = (max(2, side // 2 * 2) for side in predicted_video.followed.size)
    with replacing(path) as temporary, av.open(local_address(temporary), mode="w", format="mp4") as container:
        stream = _stream(container, predicted_video.footage.rate, width, height)
        sound = Sound(predicted_video.footage.file, container, predicted_video.footage.origin)
        last = -1
        for timed in predicted_video.footage.frames():
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(drawing(timed.pixels, timed.index, timed.seconds)[:height, :width]),
                format="rgb24",
            )
            seconds = timed.seconds + predicted_video.footage.origin - sound.start
            last = frame.pts = max(last + 1, round(seconds * TICKS))
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
            sound.write_until(seconds)
            report(timed.index + 1, predicted_video.followed.frames, "drawing")
            if timed.index + 1 == predicted_video.followed.frames:
                break
        container.mux(stream.encode())
        sound.finish(None if predicted_video.problem else math.inf)


def _stream(container: OutputContainer, rate: float, width: int, height: int) -> VideoStream:
    """H.264, which browsers play, if this FFmpeg can encode it; else MPEG-4 part 2."""
    usual = max(1, min(1000, round(rate)))
    try:
        stream = container.add_stream("libx264", rate=usual, options={"crf": "20", "preset": "veryfast"})
    except UnknownCodecError:
        stream = container.add_stream("mpeg4", rate=usual)
        stream.bit_rate = 8_000_000
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS)
    return stream


class Sound:
    """The default audio stream of a file, written into an MP4; nothing if it has no audio.

    `start` is the timestamp of the file, in seconds, that becomes 0 in the copy: 0, or the file's start if
    that is much later.
    """

    def __init__(self, file: Path, out: OutputContainer, origin: float) -> None:
        self.start = 0.0
        self._out = out
        self._ready: Iterator[tuple[float, list[av.Packet]]] = iter(())
        self._next: tuple[float, list[av.Packet]] | None = None
        with suppress(InputError):  # a folder of images or an animation
            source = open_container(file)
            start = (source.start_time or 0) / av.time_base
            self.start = start if origin or start > LATE_SECONDS else 0.0
            self._ready = self._packets(source)
            self._next = next(self._ready, None)

    def write_until(self, seconds: float) -> None:
        """Write the packets that begin up to this second of the copy."""
        while self._next is not None and self._next[0] <= seconds:
            for packet in self._next[1]:
                self._out.mux(packet)
            self._next = next(self._ready, None)

    def finish(self, seconds: float | None) -> None:
        """Write the rest up to this second; None drops it, for a file that is damaged there."""
        if seconds is not None:
            self.write_until(seconds)

    def _packets(self, source: InputContainer) -> Iterator[tuple[float, list[av.Packet]]]:
        """(second in the copy, packets) of the audio; ends where the file is damaged."""
        with source:
            stream = next(
                (each for each in source.streams.audio if each.disposition & av.stream.Disposition.default),
                next(iter(source.streams.audio), None),
            )
            if stream is None or not stream.time_base:
                return
            copied = stream.codec_context.name in IN_MP4
            if copied:
                target = self._out.add_stream_from_template(stream)
            else:
                target = self._out.add_stream("aac", rate=stream.codec_context.sample_rate)
                target.layout = "stereo" if stream.codec_context.channels > 1 else "mono"
            shift = round(self.start / stream.time_base)
            yield -1.0, []  # streams must be declared before anything is written
            with suppress(av.FFmpegError):
                for packet in source.demux(stream):
                    begins = float((packet.pts or 0) * stream.time_base) - self.start
                    if copied:
                        if packet.pts is not None and packet.dts is not None:
                            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                            packet.stream = target
                            yield begins, [packet]
                        continue
                    pieces = []
                    for frame in packet.decode():
                        frame.pts = None if frame.pts is None else frame.pts - shift
                        pieces += target.encode(frame)
                    yield begins, pieces
                if not copied:
                    yield 0.0, target.encode(None)


class _Drawing:
    """Draws the predictions on frames."""

    def __init__(self, predicted_video: PredictedVideo) -> None:
        tracks = by_track(predicted_video.predictions)
        self._moments = {track: moments(each) for track, each in tracks.items()}
        self._rows = {
            path.number: ({int(frame): row for row, frame in enumerate(path.frames)}, path.boxes)
            for path in predicted_video.paths
        }
        self._names = _class_names(predicted_video.predictions)
        self._colours = class_colours(self._names)
        self._frame = predicted_video.followed.size
        self._size = max(LEAST_TEXT, round(min(self._frame) * TEXT_SHARE))
        font = bold_file(self._names)
        self._fonts = {
            size: ImageFont.truetype(str(font), size) for size in range(LEAST_TEXT, self._size + 1)
        }

    def __call__(self, pixels: Pixels, index: int, seconds: float) -> Pixels:
        """The frame with all its faces drawn."""
        image = Image.fromarray(pixels)
        draw = ImageDraw.Draw(image)
        for number, (row_of, boxes) in self._rows.items():
            if index in row_of:
                one_result = None in self._moments
                predicted = self._moments.get(None if one_result else number)
                self._face(
                    draw, None if one_result else boxes[row_of[index]].tolist(), number, predicted, seconds
                )
        return np.asarray(image)

    def _face(
        self,
        draw: ImageDraw.ImageDraw,
        box: list[float] | None,
        number: int,
        predicted: Moments | None,
        seconds: float,
    ) -> None:
        found = predicted.at(seconds) if predicted else None
        best = int(found.argmax()) if found is not None else None
        colour = "#ffffff" if best is None else self._colours[self._names[best]]
        thick = max(2, self._size // 8)
        if box is not None:
            draw.rectangle(box, outline=colour, width=thick)
        if best is None or found is None:
            return
        share = float(found[best])
        label = f"{self._names[best]} {100 * share:.0f}%"
        label = label if box is None else f"{number}  {label}"
        left, top, right, bottom = box or (self._size, 2 * self._size, 12 * self._size, 2.2 * self._size)
        font = self._font(label, 1.5 * (right - left))
        width, height = self._frame
        above = max(float(thick), top - 1.4 * font.size)
        beside = max(float(thick), min(left, width - thick - font.getlength(label)))
        plate = draw.textbbox((beside, above), label, font=font)
        draw.rectangle(
            (plate[0] - thick, plate[1] - thick, plate[2] + thick, plate[3] + thick), fill="#000000"
        )
        draw.text((beside, above), label, font=font, fill=colour)
        bar = min(bottom + thick, height - 3 * thick - 1)
        draw.rectangle((left, bar, right, bar + 3 * thick), fill="#000000")
        draw.rectangle((left, bar, left + share * (right - left), bar + 3 * thick), fill=colour)

    def _font(self, label: str, room: float) -> ImageFont.FreeTypeFont:
        """The largest font in which the label fits, so that it does not cover the next face."""
        fitting = [font for font in self._fonts.values() if font.getlength(label) <= room]
        return fitting[-1] if fitting else self._fonts[LEAST_TEXT]


def _class_names(predictions: Sequence[Prediction]) -> list[str]:
    return list(predictions[0].probabilities) if predictions else []
