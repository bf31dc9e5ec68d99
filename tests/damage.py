"""Damage as disks do it: single bits of a file turned over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np


def flipped(path: Path, times: int, seed: int = 0) -> Iterator[int]:
    """Turn over one bit of the file after another, spread over it, and tell each bit; it ends as it began."""
    content = path.read_bytes()
    bits = np.linspace(0, 8 * len(content) - 1, times) + np.random.default_rng(seed).integers(0, 8, times)
    for bit in np.clip(bits.astype(int), 0, 8 * len(content) - 1).tolist():
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        yield bit
    path.write_bytes(content)
