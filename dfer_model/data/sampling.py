"""Sampling the frames of a clip, TSN-style as in DFER-CLIP's code."""

from __future__ import annotations

import numpy as np

from dfer_model.errors import InputError


def _whole_clip(n: int, frames: int) -> list[int]:
    """All frames of a short clip, the last one repeated until there are `frames`."""
    return [min(index, n - 1) for index in range(frames)]


def _check(n: int, frames: int) -> None:
    if n < 1 or frames < 1:
        raise InputError(f"cannot sample {frames} frames from a clip of {n}: both must be at least 1")


def sample_train(n: int, frames: int, rng: np.random.Generator) -> list[int]:
    """The 0-based, ascending indices of `frames` frames out of `n`, one at random from each equal segment.

    With n >= frames: i*s + r_i with s = n // frames and r_i uniform in [0, s); the n % frames frames at the
    end are never drawn, as in the released code. With fewer: all frames, the last one repeated.
    Raises InputError if n or frames is below 1.
    """
    _check(n, frames)
    if n < frames:
        return _whole_clip(n, frames)
    segment = n // frames
    return [int(i * segment + offset) for i, offset in enumerate(rng.integers(0, segment, size=frames))]


def sample_test(n: int, frames: int, place: float = 0.5) -> list[int]:
    """The 0-based, ascending indices of `frames` frames out of `n`, the middle of each equal segment.

    With n > frames: int(t/2 + t*i) with t = n / frames, or at `place` in 0..1 of each segment instead of its
    middle. Otherwise all frames, the last one repeated. Raises InputError if n or frames is below 1.
    """
    _check(n, frames)
    if n <= frames:
        return _whole_clip(n, frames)
    tick = n / frames
    return [int(tick * place + tick * i) for i in range(frames)]


def sample_test_segments(n: int, frames: int, segments: int) -> list[list[int]]:
    """`segments` samples of a test clip: the k-th takes each frame at (k + 1/2) / segments of its segment.

    With one segment equal to `sample_test`. Raises as `sample_test`.
    """
    return [sample_test(n, frames, (number + 0.5) / segments) for number in range(segments)]
