"""Training augmentation, the same for all frames of a clip, and resizing for evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from dfer_model.config import Settings
from dfer_model.errors import InputError

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
FLIP_PROBABILITY = 0.5
CROP_TRIES = 10


def resize(frames: Sequence[Tensor] | Tensor, image_size: int) -> Tensor:
    """Resize uint8 frames (3, H, W), of any sizes, to a uint8 clip (frames, 3, image_size, image_size).

    Bilinear and antialiased, ignoring the aspect ratio, as in DFER-CLIP's evaluation.
    """
    if isinstance(frames, Tensor) or len({frame.shape for frame in frames}) == 1:
        return _resized(_stacked(frames), image_size, image_size)
    return torch.stack([_resized(frame, image_size, image_size) for frame in frames])


def crop_views(samples: Sequence[Sequence[Tensor] | Tensor], image_size: int, crops: int) -> Tensor:
    """Every crop of every sample of a test clip: uint8 (samples * crops, frames, 3, image_size, image_size).

    One crop is the whole frame, as by `resize`. Three are left, centre and right of the frame, five its
    corners and centre, each with 7/8 of the frame's sides: frames are resized to 8/7 of `image_size`,
    ignoring the aspect ratio, and then cropped.
    """
    if crops == 1:
        return torch.stack([resize(frames, image_size) for frames in samples])
    room = round(image_size * 8 / 7) - image_size
    middle = room // 2
    corners = {
        3: [(middle, 0), (middle, middle), (middle, room)],
        5: [(0, 0), (0, room), (middle, middle), (room, 0), (room, room)],
    }[crops]
    views = []
    for frames in samples:
        large = resize(frames, image_size + room)
        views += [large[..., top : top + image_size, left : left + image_size] for top, left in corners]
    return torch.stack(views)


def _stacked(frames: Sequence[Tensor] | Tensor) -> Tensor:
    return frames if isinstance(frames, Tensor) else torch.stack(list(frames))


def alike(frames: Sequence[Tensor] | Tensor) -> Tensor:
    """Uint8 frames (3, H, W) as a clip (frames, 3, H, W), resized to the size of the first if needed."""
    if isinstance(frames, Tensor):
        return frames
    height, width = frames[0].shape[-2:]
    return torch.stack(
        [frame if frame.shape[-2:] == (height, width) else _resized(frame, height, width) for frame in frames]
    )


def _resized(frames: Tensor, height: int, width: int) -> Tensor:
    resized: Tensor = transforms.resize(
        frames, [height, width], interpolation=InterpolationMode.BILINEAR, antialias=True
    )
    return resized


@dataclass(frozen=True)
class Draw:
    """The augmentation of all frames of one clip, in this order.

    Brightness times `factor`, rotation by `angle` degrees, the crop (top, left, height, width), a flip. The
    pixels of a rotated frame are interpolated by `interpolation`, `bilinear` or `nearest`.
    """

    factor: float
    angle: float
    crop: tuple[int, int, int, int]
    flip: bool
    interpolation: str = "bilinear"

    def __call__(self, clip: Tensor, image_size: int) -> Tensor:
        """A uint8 clip (frames, 3, H, W) as one of (frames, 3, image_size, image_size)."""
        clip = self.coloured_and_turned(clip)
        clip = transforms.resized_crop(
            clip,
            *self.crop,
            [image_size, image_size],
            interpolation=InterpolationMode.BILINEAR,
            antialias=True,
        )
        augmented: Tensor = transforms.horizontal_flip(clip) if self.flip else clip
        return augmented

    def coloured_and_turned(self, clip: Tensor) -> Tensor:
        """The clip after brightness and rotation, before the crop."""
        if self.factor != 1:
            clip = transforms.adjust_brightness(clip, self.factor)
        if self.angle:
            clip = transforms.rotate(clip, self.angle, interpolation=InterpolationMode(self.interpolation))
        return clip


@dataclass(frozen=True)
class Augmentation:
    """One random draw per clip: brightness, rotation, resized crop, flip, in that order.

    `brightness_jitter` j multiplies by a factor in [1-j, 1+j] (0..1); `rotation` r rotates by an angle in
    [-r, r] degrees (0..180), `bilinear` or `nearest` by `interpolation`, black outside. Raises InputError for
    values outside these bounds.
    """

    brightness_jitter: float = 0.0
    rotation: float = 0.0
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if not 0 <= self.brightness_jitter <= 1:
            raise InputError(f"brightness_jitter must lie in 0..1, not {self.brightness_jitter}")
        if not 0 <= self.rotation <= 180:
            raise InputError(f"rotation must lie in 0..180 degrees, not {self.rotation}")
        if self.interpolation not in ("bilinear", "nearest"):
            raise InputError(f"interpolation must be bilinear or nearest, not {self.interpolation}")

    @classmethod
    def of(cls, settings: Settings) -> Augmentation:
        """The augmentation that a run's settings describe."""
        return cls(settings.brightness_jitter, settings.rotation, settings.rotation_interpolation)

    def __call__(
        self, frames: Sequence[Tensor] | Tensor, image_size: int, rng: np.random.Generator
    ) -> Tensor:
        """Augment uint8 frames (3, H, W) to a uint8 clip (frames, 3, image_size, image_size).

        Frames of other sizes are first resized to the size of the first, so that one crop fits all.
        """
        clip = alike(frames)
        height, width = clip.shape[-2:]
        return self.draw(height, width, rng)(clip, image_size)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Draw:
        """The random draw for a clip whose frames have this size in pixels."""
        # All numbers are always drawn, so that turning jitter on does not change the crops.
        factor = 1 + rng.uniform(-1, 1) * self.brightness_jitter
        angle = rng.uniform(-1, 1) * self.rotation
        flip = bool(rng.random() < FLIP_PROBABILITY)
        return Draw(factor, angle, draw_crop(height, width, rng), flip, self.interpolation)


def draw_crop(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A crop (top, left, height, width) in pixels with area 0.08..1 and aspect 3/4..4/3 of the image.

    Area uniform, aspect log-uniform, ten tries, then the largest centred crop with an allowed aspect
    (Szegedy et al. 2015, as torchvision's RandomResizedCrop).
    """
    for _ in range(CROP_TRIES):
        area = height * width * rng.uniform(*AREA)
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = int(rng.integers(0, height - crop_height + 1))
            left = int(rng.integers(0, width - crop_width + 1))
            return top, left, crop_height, crop_width
    crop_width = max(1, min(width, round(height * ASPECT[1])))
    crop_height = max(1, min(height, round(width / ASPECT[0])))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width
