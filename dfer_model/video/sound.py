"""Copying the audio of a video into its overlay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer

from dfer_model.data.video import open_container
from dfer_model.errors import InputError

IN_MP4 = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")  # copied; others are converted to AAC
LATE_SECONDS = 10.0  # a longer silent start is removed from the copy


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
