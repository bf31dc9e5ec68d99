"""The README's picture of a timeline with evidence: one drawn person who shows three expressions in turn.

The person is in the test fold of the demo's run, so this face is unseen. Predictions are those of
`dfer-prompts predict` for windows of the video, the evidence is that of `dfer-prompts explain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dfer_model.data.packed import PackedClips
from dfer_model.evaluation.explanation import Explainer
from dfer_model.runs import Run
from dfer_model.synthetic.drawn_faces.dataset import person
from dfer_model.synthetic.drawn_faces.face import render
from dfer_model.synthetic.drawn_faces.people import Track, draw_track
from dfer_model.synthetic.drawn_faces.units import CLASS_NAMES
from dfer_model.video.windows import class_colours, moments
from dfer_prompts import load, predict
from dfer_prompts.api.inputs import descriptor_texts

SHOWN = ("happiness", "surprise", "sadness")
SEED, PERSON = 11, 5  # the demo's; the person is of fold 1
FRAMES, RATE = 40, 20  # of each expression, and a second
WINDOW, STRIDE = 1.0, 0.25  # seconds
SIZE = 64  # pixels, as the clips that the run was trained with
ACROSS = 12  # frames shown
LABEL = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
LETTERS, NARROW = 10, 7.0  # points and inches, so that it can be read 400 pixels wide


@dataclass(frozen=True)
class Scene:
    """The video: its frames (T, SIZE, SIZE, 3), and the same larger, to look at."""

    frames: np.ndarray
    large: np.ndarray


def scene() -> Scene:
    """The three expressions, one after the other, at full intensity in the same light."""
    rng = np.random.default_rng(SEED)
    tracks = [_performance(name, rng) for name in SHOWN]
    view = tracks[0].views[0]
    who = person(SEED, PERSON)
    units = np.concatenate([track.units for track in tracks])
    small, large = ([render(who, each, view, size) for each in units] for size in (SIZE, 2 * SIZE))
    return Scene(np.stack(small), np.stack(large))


def _performance(name: str, rng: np.random.Generator) -> Track:
    """A track of the wanted length: evenly taken frames of a random one that is long enough."""
    while len((track := draw_track(name, rng, intensity=1.0)).units) < FRAMES:
        pass
    taken = np.linspace(0, len(track.units) - 1, FRAMES).round().astype(int)
    return Track(track.units[taken], tuple(track.views[each] for each in taken), track.intensity, 0)


def write_video(frames: np.ndarray, path: Path) -> None:
    """The frames as an MP4 of MPEG-4 part 2."""
    with av.open(str(path), mode="w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 8_000_000
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def evidence(run: Run, clips: PackedClips, frames: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Descriptors of the classes shown, and the rise of each (descriptors, T)."""
    names = run.class_names
    listed = dict(zip(names, descriptor_texts(load("v1@4"), names), strict=True))
    explain = Explainer(run, listed, clips)
    places = np.arange(len(frames)).reshape(-1, run.settings.frames)  # each frame once, in its order
    pieces = []
    for piece in places:
        told = explain(torch.from_numpy(frames[piece]).permute(0, 3, 1, 2), [None] * len(piece))
        pieces.append(told.evidence.rise)
    described = told.evidence.descriptors
    rows = [row for name in SHOWN for row, (owner, _) in enumerate(described) if owner == name]
    return [described[row][1] for row in rows], np.concatenate(pieces, axis=1)[rows]


def draw_answers(axes: Axes, run: Run, video: Path) -> None:
    """The probability of each class over time; overlapping windows are averaged."""
    told = moments(predict(run, [video], faces="none", window=WINDOW, stride=STRIDE))
    seconds = np.repeat(told.edges, 2)[1:-1]
    shares = 100 * np.repeat(told.probabilities, 2, axis=0).T
    colours = class_colours(CLASS_NAMES)
    others = [place for place, name in enumerate(run.class_names) if name not in SHOWN]
    stacked = [shares[run.class_names.index(name)] for name in SHOWN] + [shares[others].sum(axis=0)]
    axes.stackplot(seconds, stacked, colors=[*(colours[name] for name in SHOWN), "#d5dade"], linewidth=0)
    for place in range(len(SHOWN)):
        middle = (place + 0.5) * FRAMES / RATE
        said = run.class_names[int(np.argmax(told.at(middle)))]
        axes.text(middle, 42, said, ha="center", fontsize=LETTERS + 1, bbox=LABEL)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 50, 100])
    axes.set_ylabel("probability (%)", fontsize=LETTERS)


def draw_evidence(figure: Figure, axes: Axes, texts: list[str], rise: np.ndarray, ends: float) -> None:
    """The heat map descriptors x time."""
    largest = float(np.abs(rise).max())
    image = axes.imshow(
        rise, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", extent=(0, ends, len(texts), 0),
        interpolation="nearest",
    )  # fmt: skip
    axes.set_yticks(np.arange(len(texts)) + 0.5, texts, fontsize=LETTERS)
    for border in range(len(texts) // len(SHOWN), len(texts), len(texts) // len(SHOWN)):
        axes.axhline(border, color="#333333", linewidth=0.9)
    axes.set_xlabel("seconds", fontsize=LETTERS)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.02)
    bar.set_label("evidence: rise in cosine with the descriptor", fontsize=LETTERS)
    bar.ax.tick_params(labelsize=LETTERS - 1)


def timeline(demo: Path, run: Run) -> Figure:
    """The picture, from the demo's folder and its run of v1@4."""
    seen = scene()
    ends = len(seen.frames) / RATE
    figure = plt.figure(figsize=(NARROW, 6.2), layout="constrained")
    faces, answers, heat = figure.subplots(3, 1, height_ratios=[0.85, 1.2, 4.4], sharex=True)
    chosen = seen.large[np.linspace(0, len(seen.large) - 1, ACROSS).round().astype(int)]
    for place, frame in enumerate(chosen):
        wide = ends / ACROSS
        faces.imshow(frame, extent=(place * wide, (place + 0.97) * wide, 0, 1), aspect="auto")
    for place, name in enumerate(SHOWN):
        faces.text((place + 0.5) * FRAMES / RATE, 1.06, f"drawn: {name}", ha="center", fontsize=LETTERS)
    faces.axis("off")
    with TemporaryDirectory() as folder:
        video = Path(folder) / "drawn.mp4"
        write_video(seen.frames, video)
        draw_answers(answers, run, video)
    texts, rise = evidence(run, PackedClips.open(demo / "clips"), seen.frames)
    draw_evidence(figure, heat, texts, rise, ends)
    for axes in (faces, answers, heat):
        axes.set_xlim(0, ends)
        axes.tick_params(labelsize=LETTERS - 1)
    heat.tick_params(axis="y", labelsize=LETTERS)
    answers.spines[["top", "right"]].set_visible(False)
    return figure
