"""The work that `scaling.py` measures: for each, what it grows with, and how it is prepared in one size.

Every `prepare` takes (size, folder) and returns what is timed, a call without arguments. Folders are shared
by the work of one axis and size, each of whose parts is made once.
"""

from __future__ import annotations

import io
import itertools
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from PIL import Image
from typer.testing import CliRunner

from dfer_model.comparison.grid import Grid, train_all
from dfer_model.comparison.results import Answers, Measured, compare
from dfer_model.comparison.screening.screener import Screening, screen
from dfer_model.config import Settings, preset
from dfer_model.data.augmentation import Augmentation
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.packed import PackedClips
from dfer_model.data.packing import prepare
from dfer_model.data.summary import info
from dfer_model.models.strategies import load_base
from dfer_model.runs import ClassTexts, RunSpec
from dfer_model.synthetic.drawn_faces.dataset import draw_dataset
from dfer_prompts import DescriptionSet, DescriptionStore, Descriptor, Manifest, Workspace, load_class_set
from dfer_prompts.cli.app import app

Work = Callable[[], object]
WORDS = ["raised", "lowered", "open", "closed", "wide", "tense", "brows", "eyes", "lips", "cheeks", "chin"]
FRAMES, CLIPS_FOLDS = 4, 5


@dataclass(frozen=True)
class Task:
    """Something that is done, and what it grows with."""

    axis: str  # what is more of
    name: str
    sizes: tuple[int, ...]
    prepare: Callable[[int, Path], Work]


def frame_folders(folder: Path, clips: int, frames: int) -> Path:
    """Clips of seven classes as folders of JPEG frames of 32 pixels; every frame is the same file."""
    root = folder / "frames"
    if root.is_dir():
        return root
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", quality=60)
    for number in range(clips):
        clip = root / f"class{number % 7}" / f"clip{number:05d}"
        clip.mkdir(parents=True)
        for frame in range(frames):
            (clip / f"{frame}.jpg").write_bytes(stream.getvalue())
    return root


def packing(clips: int, frames: int, folder: Path) -> Work:
    """`data prepare` in one process."""
    root, numbers = frame_folders(folder, clips, frames), itertools.count()
    return lambda: prepare("folder", root, folder / f"packed{next(numbers)}", folds=CLIPS_FOLDS, jobs=1)


def packed(clips: int, frames: int, folder: Path) -> Path:
    """Those clips, packed."""
    if not (folder / "packed0").is_dir():
        packing(clips, frames, folder)()
    return folder / "packed0"


def opening(clips: int, folder: Path) -> Work:
    """`data info`: opening, counting, the fingerprint."""
    place = packed(clips, FRAMES, folder)
    return lambda: info(PackedClips.open(place))


def reading(clips: int, frames: int, folder: Path) -> Work:
    """An epoch of augmented clips, 4 frames of each, in this process."""
    opened = PackedClips.open(packed(clips, frames, folder))
    dataset = ClipDataset(
        opened, np.arange(len(opened)), frames=FRAMES, image_size=32, train=Augmentation(), seed=1
    )
    return lambda: [dataset[position]["label"] for position in range(len(dataset))]


def judging(clips: int, sets: int) -> Work:
    """The figures, pairs and verdicts of a comparison of `sets`, one of them a control, three seeds."""
    rng = np.random.default_rng(0)
    names = [f"v{number}" for number in range(1, sets + 1)]
    answers = Answers(
        rng.integers(0, 7, clips),
        rng.integers(1, CLIPS_FOLDS + 1, clips),
        {name: rng.random((3, clips)) < 0.6 for name in names},
    )
    measured = [Measured("trained", (answers,))]
    return lambda: compare(measured, names[-1:], range(1, CLIPS_FOLDS + 1), (1, 2, 3), "last")


def texts(classes: int, members: int, name: str = "v1") -> ClassTexts:
    """Sentences of twelve known words each, for each member of each class."""
    drawn = random.Random(name)
    sentences = [
        tuple(" ".join(drawn.choices(WORDS, k=12)) + "." for _ in range(members)) for _ in range(classes)
    ]
    return ClassTexts(name, name, tuple(f"class{number}" for number in range(classes)), tuple(sentences))


def demo_settings(**changed: Any) -> Settings:
    """The demo CLIP's preset."""
    return preset("demo", "drawn").model_copy(update={"workers": 0, "frames": FRAMES, **changed})


def step(classes: int, members: int) -> Work:
    """Forward and backward pass of four clips through the demo CLIP."""
    torch.manual_seed(0)
    base = load_base(demo_settings())
    given = texts(classes, members)
    model = base.build(given.texts, given.class_names)
    frames = torch.rand(4, FRAMES, 3, base.image_size, base.image_size)
    labels = torch.arange(4) % classes
    return lambda: F.cross_entropy(model(frames), labels).backward()


def screening(sets: int, folder: Path) -> Work:
    """One epoch of screening `sets` on kept features: their training and answers."""
    clips = draw_dataset(folder / "drawn", clips=70)
    named = tuple(texts(len(clips.class_names), 1, f"v{number}") for number in range(1, sets + 1))
    given = tuple(ClassTexts(each.name, each.sha256, clips.class_names, each.texts) for each in named)
    settings = demo_settings(epochs=1, milestones=())
    learn, judge = clips.train_indices(1), clips.test_indices(1)
    rounds = itertools.count(1)

    def work(seeds: Iterable[int] | None = None) -> object:
        # Another seed each time: what was screened once is found again.
        asked = Screening(settings, given, tuple(seeds or [next(rounds)]), learn, judge, views=1)
        return screen(asked, clips, folder / "kept", device="cpu")

    work(seeds=[999])  # keeps the features
    return work


def finding(runs: int, folder: Path) -> Work:
    """A comparison that was made before: every run of its grid is found again."""
    settings = demo_settings()
    seeds = tuple(range(1, runs // 16 + 1))
    grid = Grid(settings, tuple(texts(7, 1, f"v{number}") for number in range(1, 17)), (1,), seeds)
    clips = draw_dataset(folder / "drawn", clips=55)
    specs = [
        RunSpec(settings, given, clips.path, clips.fingerprint, fold, seed)
        for given, fold, seed in itertools.product(grid.texts, grid.folds, grid.seeds)
    ]
    for spec in specs:
        place = folder / "runs" / spec.id
        place.mkdir(parents=True)
        given = {"name": spec.texts.name, "sha256": spec.texts.sha256}
        by_class = dict(zip(spec.texts.class_names, spec.texts.texts, strict=True))
        config = {"fold": spec.fold, "seed": spec.seed, "dataset": {"fingerprint": clips.fingerprint}}
        (place / "config.yaml").write_text(json.dumps(config))
        (place / "classes.json").write_text(json.dumps(spec.texts.class_names))
        (place / "texts.json").write_text(json.dumps({**given, "texts": by_class}))
        (place / "result.json").write_text("{}")
    return lambda: train_all(specs, clips, folder / "runs", lambda *_: None, device="cpu")


def store(versions: int, folder: Path) -> tuple[DescriptionStore, DescriptionSet]:
    """A store of so many versions of seven classes, and a draft."""
    classes = load_class_set("dfew")
    member = tuple(Descriptor(f"raised part {rank}", rank, 5, 5) for rank in range(1, 7))
    manifest = Manifest(class_set=classes.as_manifest(), source="paper")
    draft = DescriptionSet("", classes.names, dict.fromkeys(classes.names, (member,)), manifest)
    kept = DescriptionStore(Workspace(folder))
    if not (folder / "descriptions").is_dir():
        for number in range(versions):
            kept.save(draft, f"w{number}")
    return kept, draft


def command(versions: int, folder: Path, *words: str) -> Work:
    """A command of `descriptions` on a store of so many versions."""
    store(versions, folder)
    line = ["--workspace", str(folder), "descriptions", *words]
    return lambda: CliRunner().invoke(app, line, catch_exceptions=False)


def saving(versions: int, folder: Path) -> Work:
    """One version more."""
    kept, draft = store(versions, folder)
    return lambda: kept.save(draft, kept.next_name())


CLIPS = (625, 1250, 2500, 5000, 10000, 20000)
LENGTHS = (16, 64, 256, 1024)
CLASSES = (7, 11, 43, 200)
MEMBERS = (1, 2, 4, 8, 16, 32)
SETS = (1, 4, 16, 64)
VERSIONS = (125, 250, 500, 1000, 2000)
TASKS = (
    Task("clips", "data prepare", CLIPS, lambda size, folder: packing(size, FRAMES, folder)),
    Task("clips", "data info", CLIPS, opening),
    Task("clips", "reading an epoch", CLIPS, lambda size, folder: reading(size, FRAMES, folder)),
    Task("clips", "verdicts on two sets", CLIPS, lambda size, _: judging(size, 2)),
    Task("frames per clip", "data prepare", LENGTHS, lambda size, folder: packing(40, size, folder)),
    Task("frames per clip", "reading an epoch", LENGTHS, lambda size, folder: reading(40, size, folder)),
    Task("classes", "a training step", CLASSES, lambda size, _: step(size, 1)),
    Task("members per class", "a training step", MEMBERS, lambda size, _: step(7, size)),
    Task("description sets", "screening an epoch", SETS, screening),
    Task("description sets", "verdicts on 550 clips", SETS, lambda size, _: judging(550, max(2, size))),
    Task("runs", "finding them again", (64, 128, 256, 512, 1024), finding),
    Task("versions", "descriptions list", VERSIONS, lambda size, folder: command(size, folder, "list")),
    Task("versions", "descriptions log", VERSIONS, lambda size, folder: command(size, folder, "log")),
    Task("versions", "saving one more", VERSIONS, saving),
)
