"""Crop, resize and flip of a whole batch on its device, with the very pixels that torchvision gives on a CPU.

Antialiased bilinear resampling is separable: a picture times a matrix of weights across, times another down.
torchvision resamples uint8 with whole-number weights on a CPU and rounds after each of the two; so does this.
The sums stay below 2^24, so that float32 adds them without error, in whatever order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils.data import default_collate

from dfer_model.data.augmentation import Draw

AT_ONCE = 8  # clips that are resampled together, which bounds the memory of their float32 copies
LARGEST_WEIGHT = 2**15  # whole-number weights stay below it
EXACT_REDUCTION = 4  # up to which float32 holds the sums


def as_numbers(draw: Draw) -> Tensor:
    """A draw without a turn as float64 (6,): factor, top, left, height, width, flip."""
    return torch.tensor([draw.factor, *draw.crop, draw.flip], dtype=torch.float64)


def one_behind_another(clips: Sequence[Tensor]) -> dict[str, Tensor]:
    """Uint8 clips (frames, 3, H, W) of any sizes as {"frames" (bytes,), "sizes" (clips, 3)}, without a gap.

    The bytes are as they were decoded, the colours of a pixel together; a size is frames, height, width.
    """
    joined = torch.cat([clip.permute(0, 2, 3, 1).flatten() for clip in clips])
    sizes = torch.tensor([[clip.shape[0], *clip.shape[2:]] for clip in clips])
    frames: Tensor = default_collate([joined])[0]  # in a worker, in the memory that it shares
    return {"frames": frames, "sizes": sizes}


def padded(frames: Tensor, sizes: Tensor) -> Tensor:
    """What `one_behind_another` joined, as uint8 (clips, frames, 3, H, W) on the device of `frames`.

    Zeros stand below and right of the smaller clips. `sizes` are on the host, which so waits for nothing.
    """
    length, height, width = sizes.amax(0).tolist()
    batch = frames.new_zeros(len(sizes), length, height, width, 3)
    parts = torch.split(frames, (3 * sizes.prod(1)).tolist())
    for place, part, (own, tall, wide) in zip(batch, parts, sizes.tolist(), strict=True):
        place[:own, :tall, :wide] = part.view(own, tall, wide, 3)
    return batch.permute(0, 1, 4, 2, 3)


def weights(start: Tensor, length: Tensor, image_size: int, room: int) -> tuple[Tensor, Tensor]:
    """Whole-number weights (clips, image_size, room) and the bits (clips,) that they are scaled by.

    They resample `length` pixels from `start` on, both (clips,), of `room` to `image_size`: a triangle as
    wide as an output pixel, at least as an input one, scaled by the largest power of two that keeps every
    weight below 2^15 (as torch's upsampling of uint8).
    """
    start, length = start.view(-1, 1, 1), length.view(-1, 1, 1)
    scale = length / image_size
    middle = (torch.arange(image_size, device=start.device, dtype=torch.float64).view(-1, 1) + 0.5) * scale
    place = torch.arange(room, device=start.device, dtype=torch.float64) - start  # (clips, 1, room)
    triangle = (1 - ((place + 0.5 - middle) / scale.clamp(min=1)).abs()).clamp(min=0)
    triangle = triangle * ((place >= 0) & (place < length))
    triangle = triangle / triangle.sum(-1, keepdim=True)  # (clips, image_size, room)
    powers = _power_of_two(torch.arange(1, 23, device=start.device))
    fits = (0.5 + triangle.amax((1, 2))[:, None] * powers).floor() < LARGEST_WEIGHT
    bits = fits.sum(1)
    return (triangle * _power_of_two(bits).view(-1, 1, 1) + 0.5).floor(), bits


def resample(frames: Tensor, draws: Tensor, image_size: int) -> Tensor:
    """Uint8 (clips, frames, 3, H, W), changed as `draws` (clips, 6) say, to image_size a side."""
    clips, length, colours, height, width = frames.shape
    top, left, crop_height, crop_width, flip = draws[:, 1:].unbind(1)
    factor = draws[:, 0].to(torch.float32).view(-1, 1, 1)
    exact = max(height, width) <= EXACT_REDUCTION * image_size
    number = torch.float32 if exact else torch.float64
    across, across_bits = weights(left, crop_width, image_size, width)
    across = torch.where(flip.bool().view(-1, 1, 1), across.flip(1), across)
    down, down_bits = weights(top, crop_height, image_size, height)
    with _whole_float32():
        # Brightness as torchvision's: in float32, bounded, the fraction dropped.
        bright = (frames.reshape(clips, -1, width) * factor).clamp(0, 255).floor()
        rows = bright.to(number) @ across.to(number).mT
        rows = _rounded(rows, across_bits.view(-1, 1, 1)).view(clips, -1, height, image_size)
        squares = _rounded(down.to(number)[:, None] @ rows, down_bits.view(-1, 1, 1, 1))
    return squares.to(torch.uint8).view(clips, length, colours, image_size, image_size)


def _power_of_two(bits: Tensor) -> Tensor:
    """Exact on every device, which a GPU's pow need not be."""
    return torch.bitwise_left_shift(torch.ones_like(bits), bits)


def _rounded(sums: Tensor, bits: Tensor) -> Tensor:
    unit = _power_of_two(bits).to(sums.dtype)
    return ((sums + unit / 2) / unit).floor().clamp(0, 255)


@contextmanager
def _whole_float32() -> Iterator[None]:
    """Matrix products without TF32 or autocast, which keep fewer bits than the sums have."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def squares(frames: Tensor, draws: Tensor, image_size: int) -> Tensor:
    """What ClipDataset would have made of the clips that DecodedClips gave: uint8, image_size a side.

    `frames` are uint8 (clips, frames, 3, H, W), `padded`, and `draws` (clips, 6), on one device.
    """
    return torch.cat(
        [
            resample(some, drawn, image_size)
            for some, drawn in zip(torch.split(frames, AT_ONCE), torch.split(draws, AT_ONCE), strict=True)
        ]
    )


def finished(batch: Mapping[str, Tensor], image_size: int) -> Mapping[str, Tensor]:
    """A batch as those of ClipDataset, on its device; one of DecodedClips is made so."""
    if "draw" not in batch:
        return batch
    frames = padded(batch["frames"], batch["sizes"])
    return {**batch, "frames": squares(frames, batch["draw"], image_size)}
