"""Crop, resize and flip of a whole batch equal those of single clips, pixel by pixel."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image
from torch.profiler import ProfilerActivity, profile
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from dfer_model.data.augmentation import Augmentation, Draw
from dfer_model.data.dataset import ClipDataset, DecodedClips
from dfer_model.data.loaders import Batches, Shuffled, pixel_scale
from dfer_model.data.packed import PackedClips
from dfer_model.data.packed_writer import write_packed
from dfer_model.data.resampling import AT_ONCE, as_numbers, finished, one_behind_another, squares

from .. import tiny

SIZES = [(40, 60), (64, 48), (97, 131), (33, 20)]


def noise(height: int, width: int, seed: int, form: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


@pytest.fixture
def clips(tmp_path: Path) -> PackedClips:
    rows = [
        {
            "clip_id": f"{number}",
            "class_name": "ab"[number % 2],
            "fold": 1,
            "source": "",
            "frames": [noise(*SIZES[number % 4], 10 * number + frame) for frame in range(3 + number)],
        }
        for number in range(9)
    ]
    return write_packed(rows, "ab", tmp_path / "packed", {})


@pytest.mark.parametrize("image_size", [8, 32, 112])
@pytest.mark.parametrize("train", [Augmentation(), Augmentation(0.5), Augmentation(0.5, 10.0)])
def test_a_resampled_batch_equals_its_clips_resampled_separately(
    clips: PackedClips, train: Augmentation, image_size: int
) -> None:
    kwargs = {"frames": 4, "image_size": image_size, "train": train, "seed": 1}
    plain, decoded = ClipDataset(clips, range(9), **kwargs), DecodedClips(clips, range(9), **kwargs)
    for epoch in range(3):
        plain.set_epoch(epoch)
        decoded.set_epoch(epoch)
        one = next(iter(Batches(plain, 9, workers=0, sampler=Shuffled(plain, 1))))
        other = next(iter(Batches(decoded, 9, workers=0, sampler=Shuffled(decoded, 1))))
        for brightness in {True, train.brightness_jitter > 0}:
            resized = finished(other, image_size, brightness=brightness)["frames"]
            assert torch.equal(resized, one["frames"])
        assert finished(one, image_size) is one
        assert torch.equal(one["label"], other["label"])
        assert torch.equal(one["index"], other["index"])


def test_workers_send_concatenated_clips_in_shared_memory(clips: PackedClips) -> None:
    given = {"frames": 4, "image_size": 32, "train": Augmentation(), "seed": 1}
    dataset = DecodedClips(clips, range(9), **given)
    (sent,) = Batches(dataset, 9, workers=1, sampler=Shuffled(dataset, 1))
    shuffled = [dataset[position] for position in Shuffled(dataset, 1)]
    # The plain way: a copy of each clip, of all of them, and one into shared memory.
    joined = torch.cat([clip["frames"].permute(0, 2, 3, 1).flatten() for clip in shuffled])
    assert sent["frames"].is_shared()
    assert torch.equal(sent["frames"], joined)
    assert sent["sizes"].tolist() == [[4, *clip["frames"].shape[2:]] for clip in shuffled]


def test_collation_copies_each_byte_once(clips: PackedClips) -> None:
    dataset = DecodedClips(clips, range(9), frames=4, image_size=32, train=Augmentation(), seed=1)
    crops = [dataset[position]["frames"] for position in range(9)]
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        one_behind_another(crops)
    events = profiled.key_averages(group_by_input_shape=True)
    assert not [each.key for each in events if each.key in ("aten::cat", "aten::stack", "aten::clone")]
    copied = [(each.count, each.input_shapes[0]) for each in events if each.key == "aten::copy_"]
    assert sum(count * math.prod(shape) for count, shape in copied) == sum(crop.numel() for crop in crops)


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
@pytest.mark.parametrize("size", [(50, 70), (300, 500)])  # the larger needs sums beyond 2^24
def test_the_pixels_are_torchvisions(size: tuple[int, int], device: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")  # TF32, which the sums must not have
    torch.manual_seed(0)
    clip = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    crop = (3, 5, size[0] - 7, size[1] - 6)
    expected = transforms.resized_crop(
        clip, *crop, [24, 24], interpolation=InterpolationMode.BILINEAR, antialias=True
    )
    try:
        for flip in (False, True):
            drawn = as_numbers(Draw(1.0, 0.0, crop, flip))[None]
            found = squares(clip[None].to(device), drawn.to(device), 24)[0].cpu()
            assert torch.equal(found, expected.flip(-1) if flip else expected)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
@pytest.mark.parametrize("normalize", ["clip", "none"])
def test_pixels_in_bfloat16_are_the_rounded_ones_or_neighbours(normalize: str, device: str) -> None:
    scale = pixel_scale(normalize, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    every = torch.arange(256, dtype=torch.uint8).view(16, 16).expand(3, 16, 16)
    frames = torch.stack([every.roll(shift) for shift in range(2 * AT_ONCE + 1)])[:, None]  # three parts
    expected = scale(frames).bfloat16()
    found = scale(frames.to(device), torch.bfloat16).cpu()
    assert found.dtype == torch.bfloat16
    # Neighbouring bfloat16 numbers of one sign are neighbouring integers in their bits.
    assert (found.view(torch.int16).int() - expected.view(torch.int16).int()).abs().max() <= 1
    assert (found == expected).float().mean() > 0.99


def test_large_crops_are_sent_as_squares(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [tiny.png((90, 60, 30), rng, size=300) for _ in range(3)]
    row = {"clip_id": "a", "class_name": "a", "fold": 1, "source": "", "frames": frames}
    clips = write_packed([row], "a", tmp_path / "packed", {})
    given = {"frames": 4, "image_size": 32, "train": Augmentation(0.3), "seed": 1}
    sent = DecodedClips(clips, [0], **given)[0]
    assert sent["frames"].shape == (4, 3, 32, 32)
    batch = {**one_behind_another([sent["frames"]]), "draw": sent["draw"][None]}
    assert torch.equal(finished(batch, 32)["frames"][0], ClipDataset(clips, [0], **given)[0]["frames"])


def test_autocast_does_not_change_the_pixels() -> None:
    torch.manual_seed(0)
    clip = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    drawn = as_numbers(Draw(1.2, 0.0, (1, 2, 37, 31), True))[None]
    expected = squares(clip[None], drawn, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(squares(clip[None], drawn, 24), expected)


def test_test_clips_are_resampled(clips: PackedClips) -> None:
    with pytest.raises(ValueError, match="resized by the worker that decodes them"):
        DecodedClips(clips, [0], frames=4, image_size=8)[0]
