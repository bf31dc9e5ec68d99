"""Finding the position where a Matroska or WebM file is damaged.

FFmpeg silently skips what it cannot read in such a file. The elements of an undamaged file are contiguous, so
their headers show where bytes are missing or overwritten.
"""

from __future__ import annotations

import mmap
from pathlib import Path

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_VOID, _CRC = 0xEC, 0xBF
# SeekHead, Info, Tracks, Chapters, Cluster, Cues, Attachments, Tags.
_IN_SEGMENT = frozenset(
    (0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1043A770, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1254C367)
) | {_VOID, _CRC}
# Timestamp, SilentTracks, Position, PrevSize, SimpleBlock, BlockGroup, EncryptedBlock.
_IN_CLUSTER = frozenset((0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, _VOID, _CRC))


class _Damaged(Exception):
    """An invalid element at this offset."""


class _CutOff(Exception):
    """The file ends within an element."""


def find_damage(path: Path) -> int | None:
    """The offset in bytes of the first damage, None if there is none.

    It is the file size if whole elements are missing. None for a file that is not Matroska, and for one that
    only ends early, which its duration shows.
    """
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _walk(data)
        except _Damaged as found:
            return int(found.args[0])
        except _CutOff:
            return None


def _walk(data: mmap.mmap) -> int | None:
    if data[:4] != _EBML.to_bytes(4, "big"):
        return None
    _, _, end = _element(data, 0)
    if end is None:
        return None
    kind, start, segment_end = _element(data, end)
    if kind != _SEGMENT:
        return None
    at, stop = start, len(data) if segment_end is None else min(segment_end, len(data))
    while at < stop:
        kind, inside, end = _element(data, at)
        if kind not in _IN_SEGMENT or (segment_end is not None and end is not None and end > segment_end):
            raise _Damaged(at)
        at = _cluster(data, inside, end) if kind == _CLUSTER else end or len(data)
    return len(data) if segment_end is not None and at < segment_end else None


def _cluster(data: mmap.mmap, at: int, end: int | None) -> int:
    """The end of a cluster with elements from `at`; without a size, where another kind of element starts."""
    stop = len(data) if end is None else end
    while at < stop:
        kind, _, after = _element(data, at)
        if end is None and kind in _IN_SEGMENT and kind not in _IN_CLUSTER:
            return at
        if kind not in _IN_CLUSTER or after is None or after > stop:
            raise _Damaged(at) if end is not None or kind not in _IN_CLUSTER else _CutOff
        at = after
    return at


def _element(data: mmap.mmap, at: int) -> tuple[int, int, int | None]:
    """The id of the element at an offset, and start and end of its content (end None if unknown)."""
    if at >= len(data):
        raise _CutOff
    id_length = 9 - data[at].bit_length()
    if id_length > 4:
        raise _Damaged(at)
    if at + id_length >= len(data):
        raise _CutOff
    kind = int.from_bytes(data[at : at + id_length], "big")
    size_at = at + id_length
    size_length = 9 - data[size_at].bit_length()
    if size_length > 8:
        raise _Damaged(at)
    start = size_at + size_length
    if start > len(data):
        raise _CutOff
    unknown = (1 << 7 * size_length) - 1
    size = int.from_bytes(data[size_at:start], "big") & unknown
    if size == unknown:
        return kind, start, None
    if start + size > len(data) and kind not in (_SEGMENT, _CLUSTER):
        raise _CutOff if kind in _IN_SEGMENT | _IN_CLUSTER else _Damaged(at)
    return kind, start, start + size
