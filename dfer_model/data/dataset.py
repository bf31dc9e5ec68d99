"""Packed clips as a torch Dataset: sampling, decoding and augmentation run in workers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dfer_model.data.augmentation import Augmentation, Draw, alike, crop_views, resize
from dfer_model.data.images import Pixels, decode_pixels
from dfer_model.data.packed import PackedClips
from dfer_model.data.resampling import as_numbers
from dfer_model.data.sampling import sample_test, sample_test_segments, sample_train
from dfer_model.errors import InputError

LARGE = 2  # crops larger than this multiple of the image size are resized by the worker that decodes them


class BrokenFrameError(InputError):
    """A frame that cannot be decoded; the message contains clip and frame.

    A DataLoader re-raises a worker's error with the whole traceback as its message; the original message
    follows the error's name in it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text.rpartition("BrokenFrameError: ")[2].strip())


def clip_generator(seed: int, epoch: int, clip_id: str, time: int = 0) -> np.random.Generator:
    """The random generator of a clip in an epoch, for its `time`-th repetition; depends only on these."""
    again = f"/{time}" if time else ""
    digest = hashlib.sha256(f"{seed}/{epoch}/{clip_id}{again}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


class ClipDataset(Dataset[dict[str, Any]]):
    """Clips at `indices` of `clips`, as {"frames": uint8 (frames, 3, S, S), "label": int, "index": int}.

    `index` is the clip's position in `clips`. With `train`, frames are sampled at random and augmented;
    without, they are sampled as in a test and resized. With several test `segments` or `crops`, "frames" is
    (segments * crops, frames, 3, S, S), all crops of a segment before the next. Randomness depends on (seed,
    epoch, clip id), so the order and the number of workers do not matter.
    """

    def __init__(
        self,
        clips: PackedClips,
        indices: Sequence[int] | np.ndarray,
        *,
        frames: int,
        image_size: int,
        train: Augmentation | None = None,
        seed: int = 0,
        segments: int = 1,
        crops: int = 1,
    ) -> None:
        self.clips = clips
        self.indices = [int(index) for index in indices]
        self.frames = frames
        self.image_size = image_size
        self.train = train
        self.seed = seed
        self.segments = segments
        self.crops = crops
        # In shared memory, because persistent workers have their own copies of everything else.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.indices)

    def of_clips(self, indices: Sequence[int]) -> ClipDataset:
        """The clips at other indices, sampled as in a test in the same way."""
        return ClipDataset(
            self.clips,
            indices,
            frames=self.frames,
            image_size=self.image_size,
            segments=self.segments,
            crops=self.crops,
        )

    @property
    def views(self) -> int:
        """The number of views of a clip in a test."""
        return self.segments * self.crops

    @property
    def epoch(self) -> int:
        """The epoch whose random numbers are used; 0 until `set_epoch`."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Use this epoch's random numbers from the next iteration on, also in running workers."""
        self._epoch.fill_(epoch)

    def __getitem__(self, position: int | tuple[int, int]) -> dict[str, Any]:
        """One clip; with a pair (position, repetition), its draw for that repetition in the epoch.

        Raises InputError with clip and frame if a frame cannot be decoded.
        """
        position, time = position if isinstance(position, tuple) else (position, 0)
        index = self.indices[position]
        count = int(self.clips.num_frames[index])
        if self.train is None and self.views > 1:
            samples = sample_test_segments(count, self.frames, self.segments)
            decoded = [self._decoded(index, sample) for sample in samples]
            frames = crop_views(decoded, self.image_size, self.crops)
        elif self.train is None:
            frames = resize(self._decoded(index, sample_test(count, self.frames)), self.image_size)
        else:
            rng = clip_generator(self.seed, self.epoch, self.clips.clip_ids[index], time)
            chosen = self._decoded(index, sample_train(count, self.frames, rng))
            frames = self.train(chosen, self.image_size, rng)
        return {"frames": frames, "label": int(self.clips.labels[index]), "index": index}

    def _decoded(self, index: int, chosen: Sequence[int]) -> list[Tensor] | Tensor:
        """The chosen frames, as (frames, 3, H, W) if of one size; repeated frames are decoded once."""
        distinct = sorted(set(chosen))
        decoded = self._pixels(index, distinct)
        places = [distinct.index(frame) for frame in chosen]
        if isinstance(decoded, list):
            return [torch.from_numpy(decoded[place]).permute(2, 0, 1) for place in places]
        # Channels-last in memory, which torchvision resizes fastest.
        clip = torch.from_numpy(decoded)
        return (clip if len(distinct) == len(chosen) else clip[places]).permute(0, 3, 1, 2)

    def _pixels(self, index: int, distinct: Sequence[int]) -> list[Pixels] | Pixels:
        """The decoded frames in one array (frames, H, W, 3), or as a list if they differ in size."""
        decoded: list[Pixels] = []
        room: Pixels | None = None
        for place, encoded in enumerate(self.clips.encoded_frames(index, distinct)):
            frame = distinct[place]
            try:
                decoded.append(decode_pixels(encoded, None if room is None else room[place]))
            except InputError as error:
                raise BrokenFrameError(
                    f"frame {frame} of clip {self.clips.clip_ids[index]} in {self.clips.path} {error}\n"
                    "Prepare the clips again, with --skip-broken to leave such clips out"
                ) from error
            if room is None:
                room = np.empty((len(distinct), *decoded[0].shape), np.uint8)
        if room is None or any(pixels.shape != room.shape[1:] for pixels in decoded):
            return decoded
        frames = room
        for place, pixels in enumerate(decoded):
            if pixels.base is not frames:
                frames[place] = pixels
        return frames


class DecodedClips(ClipDataset):
    """Training clips that are only decoded; `resampling.squares` resizes them on the device.

    "frames" are uint8 (frames, 3, H, W), cropped so that less is copied; "draw" (6,) is the remaining
    augmentation in the form of `resampling.as_numbers`. Rotation is done by the worker that decodes, and so
    is everything if a crop is so large that copying it would cost more.
    """

    def __getitem__(self, position: int | tuple[int, int]) -> dict[str, Any]:
        """One clip, drawn as by ClipDataset."""
        if self.train is None:
            raise ValueError("test clips are resized by the worker that decodes them")
        position, time = position if isinstance(position, tuple) else (position, 0)
        index = self.indices[position]
        rng = clip_generator(self.seed, self.epoch, self.clips.clip_ids[index], time)
        count = int(self.clips.num_frames[index])
        frames = alike(self._decoded(index, sample_train(count, self.frames, rng)))
        height, width = frames.shape[-2:]
        draw = self.train.draw(height, width, rng)
        if draw.angle:
            frames, draw = draw.coloured_and_turned(frames), replace(draw, factor=1.0, angle=0.0)
        top, left, height, width = draw.crop
        if height * width > (LARGE * self.image_size) ** 2:
            frames, full = draw(frames, self.image_size), (0, 0, self.image_size, self.image_size)
            draw = Draw(1.0, 0.0, full, flip=False)
        else:
            frames = frames[..., top : top + height, left : left + width]
            draw = replace(draw, crop=(0, 0, height, width))
        return {
            "frames": frames,
            "draw": as_numbers(draw),
            "label": int(self.clips.labels[index]),
            "index": index,
        }
