"""Crop, resize and flip of a whole batch on its device, with the same pixels as torchvision on a CPU.

Antialiased bilinear resampling is separable: a matrix of weights for columns and one for rows. On a CPU,
torchvision resamples uint8 with integer weights and rounds after each of the two; so does this module. The
sums stay below 2^24, so float32 adds them exactly, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dfer_model.data.augmentation import Draw
from dfer_model.data.shared_memory import batch_buffer
from dfer_model.devices import whole_float32

AT_ONCE = 8  # clips resampled together; bounds the memory of their float32 copies
LARGEST_WEIGHT = 2**15  # upper bound of integer weights
EXACT_REDUCTION = 4  # largest reduction for which float32 sums are exact


def as_numbers(draw: Draw) -> Tensor:
    """A draw without rotation as float64 (6,): factor, top, left, height, width, flip."""
    return torch.tensor([draw.factor, *draw.crop, draw.flip], dtype=torch.float64)


def one_behind_another(clips: Sequence[Tensor]) -> dict[str, Tensor]:
    """Uint8 clips (frames, 3, H, W) of any sizes, concatenated: {"frames" (bytes,), "sizes" (clips, 3)}.

    The bytes are channels-last, as decoded; a size is frames, height, width. Each clip is copied once, in a
    worker into shared memory.
    """
    frames = batch_buffer(sum(clip.numel() for clip in clips))
    for clip, place in zip(clips, torch.split(frames, [clip.numel() for clip in clips]), strict=True):
        whole = clip.permute(0, 2, 3, 1)
        place.view(whole.shape).copy_(whole)
    sizes = torch.tensor([[clip.shape[0], *clip.shape[2:]] for clip in clips])
    return {"frames": frames, "sizes": sizes}


def padded(frames: Tensor, sizes: Tensor) -> Tensor:
    """The result of `one_behind_another` as uint8 (clips, frames, 3, H, W) on the device of `frames`.

    Smaller clips are padded with zeros below and right. `sizes` are on the host to avoid waiting.
    """
    length, height, width = sizes.amax(0).tolist()
    batch = frames.new_zeros(len(sizes), length, height, width, 3)
    parts = torch.split(frames, (3 * sizes.prod(1)).tolist())
    for place, part, (own, tall, wide) in zip(batch, parts, sizes.tolist(), strict=True):
        place[:own, :tall, :wide] = part.view(own, tall, wide, 3)
    return batch.permute(0, 1, 4, 2, 3)


def weights(start: Tensor, length: Tensor, image_size: int, room: int) -> tuple[Tensor, Tensor]:
    """Integer weights (clips, image_size, room), and the exponents (clips,) of their power-of-two scale.

    They resample `length` of `room` pixels from `start`, both (clips,), to `image_size`: a triangle filter as
    wide as an output pixel, or an input pixel if larger, scaled by the largest power of two that keeps every
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


def resample(frames: Tensor, draws: Tensor, image_size: int, *, brightness: bool = True) -> Tensor:
    """Apply `draws` (clips, 6) to uint8 (clips, frames, 3, H, W); both sides become image_size.

    The pixels are whole numbers in 0..255, not yet truncated to uint8. Without `brightness` all factors are 1
    and are not applied.
    """
    clips, length, colours, height, width = frames.shape
    top, left, crop_height, crop_width, flip = draws[:, 1:].unbind(1)
    exact = max(height, width) <= EXACT_REDUCTION * image_size
    number = torch.float32 if exact else torch.float64
    across, across_bits = weights(left, crop_width, image_size, width)
    across = torch.where(flip.bool().view(-1, 1, 1), across.flip(1), across)
    down, down_bits = weights(top, crop_height, image_size, height)
    lines = frames.reshape(clips, -1, width)
    if brightness:
        # As in torchvision: in float32, clamped, the fraction truncated.
        factor = draws[:, 0].to(torch.float32).view(-1, 1, 1)
        lines = (lines * factor).clamp_(0, 255).floor_()
    with whole_float32():  # TF32 and bfloat16 have too few bits for the sums
        rows = lines.to(number) @ across.to(number).mT
        rows = _shifted(rows, across_bits.view(-1, 1, 1)).floor_().view(clips, -1, height, image_size)
        squares = _shifted(down.to(number)[:, None] @ rows, down_bits.view(-1, 1, 1, 1))
    return squares.view(clips, length, colours, image_size, image_size)


def _power_of_two(bits: Tensor) -> Tensor:
    """2^bits, exact on every device; a GPU's pow may not be."""
    return torch.bitwise_left_shift(torch.ones_like(bits), bits)


def _shifted(sums: Tensor, bits: Tensor) -> Tensor:
    """`sums` / 2^bits + 1/2, clamped to 0..255, in place; its floor is the rounded quotient.

    A product with a power of two is exact, so this rounds as (sums + 2^bits / 2) / 2^bits.
    """
    unit = _power_of_two(bits).to(sums.dtype).reciprocal_()
    return torch.addcmul(unit.new_full((), 0.5), sums, unit, out=sums).clamp_(0, 255)


def squares(frames: Tensor, draws: Tensor, image_size: int, *, brightness: bool = True) -> Tensor:
    """The clips of DecodedClips as ClipDataset would return them: uint8, image_size per side.

    `frames` are uint8 (clips, frames, 3, H, W), `padded`, and `draws` (clips, 6), on one device. They are
    resampled AT_ONCE by AT_ONCE. `brightness` as in `resample`.
    """
    whole = frames.new_empty((*frames.shape[:3], image_size, image_size))
    parts = (torch.split(each, AT_ONCE) for each in (whole, frames, draws))
    for place, some, drawn in zip(*parts, strict=True):
        place.copy_(resample(some, drawn, image_size, brightness=brightness))  # truncates to uint8
    return whole


def finished(
    batch: Mapping[str, Tensor], image_size: int, *, brightness: bool = True
) -> Mapping[str, Tensor]:
    """A batch in the form of ClipDataset, on its device; batches of DecodedClips are resized.

    `brightness` says whether the augmentation changes it.
    """
    if "draw" not in batch:
        return batch
    frames = padded(batch["frames"], batch["sizes"])
    return {**batch, "frames": squares(frames, batch["draw"], image_size, brightness=brightness)}
