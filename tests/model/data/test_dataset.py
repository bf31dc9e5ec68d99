"""Datasets: one augmentation per clip, independence of workers, errors that name the frame."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dfer_model.config import Settings
from dfer_model.data.augmentation import ASPECT, Augmentation, Draw, draw_crop, resize
from dfer_model.data.dataset import ClipDataset, clip_generator
from dfer_model.data.images import decode_pixels
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.errors import InputError


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def gradient(height: int = 40, width: int = 60, level: int = 0) -> np.ndarray:
    """Red is the row, green the column, blue the frame, so that pixels identify a crop."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, height)[:, None]
    pixels[..., 1] = np.linspace(0, 255, width)
    pixels[..., 2] = level
    return pixels


@pytest.fixture
def clips(tmp_path: Path) -> PackedClips:
    rows = [
        {
            "clip_id": f"{number}",
            "class_name": "ab"[number % 2],
            "fold": number % 2,
            "source": "",
            "frames": [encoded(gradient(level=10 * frame)) for frame in range(3 + 2 * number)],
        }
        for number in range(5)
    ]
    return write_packed(rows, "ab", tmp_path / "packed", {})


def test_test_frames_are_the_sampled_ones_resized(clips: PackedClips) -> None:
    dataset = ClipDataset(clips, [3, 0], frames=4, image_size=20)
    item = dataset[0]  # clip 3: 9 frames, t = 2.25: 1.125, 3.375, 5.6, 7.9
    assert item["frames"].shape == (4, 3, 20, 20)
    assert item["frames"].dtype == torch.uint8
    assert item["frames"][:, 2].float().mean((1, 2)).tolist() == [10, 30, 50, 70]
    assert (item["label"], item["index"]) == (1, 3)
    short = dataset[1]["frames"]  # clip 0: 3 frames, the last repeated
    assert short[:, 2, 0, 0].tolist() == [0, 10, 20, 20]


def test_all_frames_of_a_clip_get_the_same_crop_and_flip(clips: PackedClips) -> None:
    dataset = ClipDataset(clips, range(5), frames=8, image_size=16, train=Augmentation(0, 4.0), seed=3)
    crops = set()
    for epoch in range(6):
        dataset.set_epoch(epoch)
        frames = dataset[4]["frames"]
        assert torch.equal(frames[:, :2], frames[:1, :2].expand(8, -1, -1, -1))
        crops.add(tuple(frames[0, :2, 8, 8].tolist()))
    assert len(crops) == 6


def test_brightness_is_one_factor_for_the_whole_clip() -> None:
    grey = torch.full((3, 24, 24), 100, dtype=torch.uint8)
    means = []
    for seed in range(40):
        clip = Augmentation(brightness_jitter=0.5)([grey] * 3, 8, np.random.default_rng(seed))
        assert clip.unique().numel() == 1
        means.append(int(clip[0, 0, 0, 0]))
    assert 50 <= min(means) < 62
    assert 138 < max(means) <= 150


@pytest.mark.parametrize("angle", [-3.7, 1.3, 4.0])
def test_nearest_rotation_is_that_of_pillow(angle: float) -> None:
    """The released code rotates with `Image.rotate`, which takes the nearest pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (120, 100, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).rotate(angle))
    clip = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    full = (0, 0, 120, 100)
    turned = Draw(1.0, angle, full, flip=False, interpolation="nearest").coloured_and_turned(clip)
    same = (turned[0].permute(1, 2, 0).numpy() == expected).all(axis=-1)
    assert same.mean() > 0.995  # pixels halfway between two others may be rounded differently
    blended = Draw(1.0, angle, full, flip=False).coloured_and_turned(clip)
    assert (blended[0].permute(1, 2, 0).numpy() == expected).all(axis=-1).mean() < 0.5


def test_training_clips_are_rotated_by_the_interpolation_of_the_settings() -> None:
    levels = torch.randint(0, 2, (3, 60, 60), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    settings = Settings(rotation=10.0, rotation_interpolation="nearest")
    for seed in range(5):
        draw = Augmentation.of(settings).draw(60, 60, np.random.default_rng(seed))
        turned = draw.coloured_and_turned(200 * levels[None])
        assert draw.angle
        assert set(turned.unique().tolist()) == {0, 200}


def test_rotation_stays_within_its_degrees() -> None:
    """A vertical edge through the middle: its slope across the crop is the angle's tangent."""
    edge = torch.zeros(3, 101, 101, dtype=torch.uint8)
    edge[:, :, 51:] = 200
    angles = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        turned = Augmentation(rotation=4.0)([edge], 101, rng)[0, 0].float()
        rng = np.random.default_rng(seed)
        rng.uniform(), rng.uniform(), rng.random()
        top, left, height, width = draw_crop(101, 101, rng)
        if top > 30 or left > 25 or left + width < 76 or height < 50:
            continue
        rows = (turned[20:80] > 100).float().sum(1) * width / 101
        slope = float(rows[-1] - rows[0]) / (59 * height / 101)
        angles.append(abs(np.degrees(np.arctan(slope))))
    assert len(angles) > 3
    assert max(angles) < 5.5
    assert max(angles) > 1.5


def test_crops_are_within_area_and_aspect() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        top, left, height, width = draw_crop(120, 160, rng)
        assert 0 <= top <= 120 - height
        assert 0 <= left <= 160 - width
        assert 0.07 < height * width / (120 * 160) <= 1.01
        assert ASPECT[0] - 0.05 < width / height < ASPECT[1] + 0.05
    assert draw_crop(1, 1, rng) == (0, 0, 1, 1)
    assert draw_crop(10, 1000, rng) == (0, 493, 10, 13)  # never fits: the middle, 10 high, 4/3 wide


def test_flip_happens_half_of_the_time() -> None:
    ramp = torch.arange(32, dtype=torch.uint8).mul(8).expand(3, 32, 32)
    flipped = 0
    for seed in range(200):
        clip = Augmentation()([ramp], 8, np.random.default_rng(seed))
        flipped += int(clip[0, 0, 0, 0] > clip[0, 0, 0, -1])
    assert 75 < flipped < 125


def test_switching_jitter_on_leaves_the_crop_as_it_was() -> None:
    frame = torch.from_numpy(gradient() // 2).permute(2, 0, 1)
    plain, jittered = (
        Augmentation(brightness_jitter=jitter)([frame], 12, np.random.default_rng(9)).float()
        for jitter in (0.0, 0.3)
    )
    ratio = jittered[:, :2].sum((2, 3)) / plain[:, :2].sum((2, 3))
    assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio), atol=0.02)


def test_frames_of_different_sizes() -> None:
    frames = [torch.full((3, 20, 30), 50, dtype=torch.uint8), torch.full((3, 40, 25), 90, dtype=torch.uint8)]
    clip = resize(frames, 12)
    assert clip.shape == (2, 3, 12, 12)
    assert clip[:, 0, 5, 5].tolist() == [50, 90]
    assert Augmentation()(frames, 12, np.random.default_rng(0)).shape == (2, 3, 12, 12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"brightness_jitter": -0.1},
        {"brightness_jitter": 1.5},
        {"rotation": 200.0},
        {"interpolation": "cubic"},
    ],
)
def test_augmentation_out_of_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Augmentation(**wrong)


def batches(dataset: ClipDataset, workers: int, epochs: int) -> list[torch.Tensor]:
    loader = DataLoader(dataset, batch_size=2, num_workers=workers, persistent_workers=workers > 0)
    seen = []
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        seen += [batch["frames"] for batch in loader]
    return seen


def test_workers_have_no_effect(clips: PackedClips) -> None:
    def dataset() -> ClipDataset:
        return ClipDataset(
            clips,
            range(5),
            frames=4,
            image_size=16,
            train=Augmentation(brightness_jitter=0.5, rotation=4),
            seed=1,
        )

    alone, together = batches(dataset(), 0, 2), batches(dataset(), 2, 2)
    assert len(alone) == 6
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert not torch.equal(alone[0], alone[3])  # the second epoch draws anew, in running workers too


def test_the_order_of_clips_has_no_effect(clips: PackedClips) -> None:
    kwargs = {"frames": 4, "image_size": 16, "train": Augmentation(), "seed": 1}
    every, some = ClipDataset(clips, range(5), **kwargs), ClipDataset(clips, [4, 2], **kwargs)
    assert torch.equal(some[0]["frames"], every[4]["frames"])
    other_seed = ClipDataset(clips, [4], **(kwargs | {"seed": 2}))
    assert not torch.equal(other_seed[0]["frames"], every[4]["frames"])


def test_the_generator_depends_on_all_three() -> None:
    first = clip_generator(1, 2, "a").random()
    assert clip_generator(1, 2, "a").random() == first
    assert (
        len({clip_generator(*key).random() for key in ((1, 2, "a"), (2, 2, "a"), (1, 1, "a"), (1, 2, "b"))})
        == 4
    )


def test_decodes_grey_palette_and_jpeg_as_rgb() -> None:
    grey = np.full((5, 7), 90, np.uint8)
    assert decode_pixels(encoded(grey)).shape == (5, 7, 3)
    assert decode_pixels(encoded(gradient(), "JPEG")).shape == (40, 60, 3)
    assert decode_pixels(encoded(gradient()))[39, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (b"", "is empty"),
        (b"not an image", "neither JPEG nor PNG"),
        (encoded(gradient(), "GIF"), "neither JPEG nor PNG"),
        (encoded(gradient(), "JPEG")[:400], "damaged or cut off"),
        (encoded(gradient())[:-60], "damaged or cut off"),
        (encoded(np.full((4, 4), 40000, np.uint16)), "more than 8 bits"),
    ],
)
def test_broken_frames(broken: bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        decode_pixels(broken)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_frame_names_clip_and_frame(tmp_path: Path, workers: int) -> None:
    frames = [encoded(gradient()), encoded(gradient())[:70], encoded(gradient())]
    row = {"clip_id": "Action/Sad/0010", "class_name": "a", "fold": 0, "source": "", "frames": frames}
    clips = write_packed([row], ["a"], tmp_path / "packed", {})
    loader = DataLoader(ClipDataset(clips, [0], frames=3, image_size=8), num_workers=workers)
    with pytest.raises(InputError) as caught:
        next(iter(loader))
    assert str(caught.value).startswith(
        f"frame 1 of clip Action/Sad/0010 in {clips.path} is damaged or cut off\n"
    )
    assert "Traceback" not in str(caught.value)
