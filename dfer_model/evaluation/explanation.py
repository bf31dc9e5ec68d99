"""Explanation of a run's prediction: similarity of descriptors to frames over time, and temporal attention.

The similarities are evidence, not a decomposition of the model's logits. Frame features are those of the
run's image tower; each descriptor is encoded alone by the text tower of the CLIP that the run was initialised
from, without the contexts and the rest of its sentence that are part of the run's class weights; the temporal
model is not part of the similarities. Its attention over the frames is reported separately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dfer_model.data.augmentation import resize
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.packed import PackedClips
from dfer_model.data.stream_loaders import batches_of
from dfer_model.devices import choose_device, inference_precision
from dfer_model.errors import InputError
from dfer_model.io import replacing
from dfer_model.models.clip import Clip, clip_identity, load_clip
from dfer_model.models.dfer_clip import VideoClassifier
from dfer_model.models.prompt_learner import PromptLearner, TextTower
from dfer_model.runs import Run

from .classify import class_probabilities
from .trained_model import TrainedModel, load_trained

REFERENCE_CLIPS = 64
REFERENCE = "frame_mean.safetensors"
WHAT_IT_IS = (
    "Similarity of each descriptor alone to the frames, computed with the image tower of the model. It is "
    "evidence, not a decomposition of the prediction."
)


@dataclass(frozen=True)
class Reference:
    """The mean (width,) of unit frame features, and which frames it is of."""

    mean: Tensor
    frames_are: str


@dataclass(frozen=True)
class Explanation:
    """A prediction for T frames with its evidence, the frames in temporal order."""

    probabilities: dict[str, float]  # class name -> 0..1 in the run's class order; the sum is 1
    evidence: Evidence
    seconds: tuple[float | None, ...]  # times of the frames; None if unknown
    order: tuple[int, ...]  # their indices in the given frames
    attention: tuple[float, ...] | None  # of the class token on each frame; None without a temporal model
    attention_on_itself: float | None  # the rest: on the class token itself
    reference: str  # what is subtracted from the similarities

    @property
    def expression(self) -> str:
        """The class name with the highest probability."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {
            "what_it_is": WHAT_IT_IS,
            "expression": self.expression,
            "probabilities": self.probabilities,
            "seconds": list(self.seconds),
            "attention": None if self.attention is None else list(self.attention),
            "attention_on_itself": self.attention_on_itself,
            "above": self.reference,
            "descriptors": [
                {"class_name": name, "descriptor": text, "rise": [round(float(each), 5) for each in row]}
                for (name, text), row in zip(self.evidence.descriptors, self.evidence.rise, strict=True)
            ],
        }


class Explainer:
    """Explains predictions of one finished run; model, descriptors and reference are read once.

    `descriptors` are those of each class. `clips` are the run's packed clips, from which the reference is
    computed once and stored with the run; without both, each explanation uses the mean of its own frames.
    `weights` are those of the run's CLIP if they are not where its settings say; `model` is the run's if it
    is loaded already.

    Raises InputError as `text_clip` does, for a damaged run, and for a descriptor that does not fit.
    """

    def __init__(
        self,
        run: Run,
        descriptors: Mapping[str, Sequence[str]],
        clips: PackedClips | None = None,
        *,
        weights: str | None = None,
        model: TrainedModel | None = None,
        device: str | None = None,
    ) -> None:
        self.run, self.device = run, choose_device(device, tf32=run.settings.tf32)
        clip = text_clip(run, weights)
        self.descriptors = read_descriptors(descriptors, clip)
        self.model = model or load_trained(run, self.device)
        self.reference = _reference(run, self.model, clips, self.device)

    def __call__(self, frames: Sequence[Tensor], seconds: Sequence[float | None]) -> Explanation:
        """Explain the prediction for uint8 frames (3, H, W), as many as the run's settings sample of a clip.

        Several samples (`test_segments`) are given one after the other; the attention is their mean, and the
        result has all frames in temporal order. Raises InputError for another number of frames.
        """
        settings = self.run.settings
        needed = settings.frames * settings.test_segments
        if len(frames) != needed or len(seconds) != needed:
            raise InputError(f"{self.run.id} takes {needed} frames; {len(frames)} are given")
        samples = [frames[start : start + settings.frames] for start in range(0, needed, settings.frames)]
        probabilities = class_probabilities(self.model, samples, settings, self.device, "these frames")
        unit, shares = self._features_and_attention(samples)
        order = sorted(range(needed), key=lambda place: seconds[place] or 0.0)
        unit = unit[order]
        reference = self.reference or Reference(unit.mean(dim=0), "the frames of this video on average")
        return Explanation(
            probabilities=dict(zip(self.run.class_names, probabilities, strict=True)),
            evidence=self.descriptors.evidence(unit, reference.mean),
            seconds=tuple(seconds[place] for place in order),
            order=tuple(order),
            attention=None if shares is None else tuple(shares[:, 1:].flatten()[order].tolist()),
            attention_on_itself=None if shares is None else float(shares[:, 0].sum()),
            reference=reference.frames_are,
        )

    def _features_and_attention(self, samples: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor | None]:
        """Unit features (frames, width) of all samples' frames, and the attention on them.

        The attention is (samples, 1 + T), on the class token and on each frame, with sum 1; None without a
        temporal model.
        """
        square = torch.stack([resize(each, self.model.image_size) for each in samples]).to(self.device)
        classifier = _visual(self.model)
        with torch.inference_mode(), inference_precision(self.run.settings.precision, self.device):
            features = classifier.frame_features(self.model.scale(square))  # (samples, T, width)
            shares = None if classifier.temporal is None else classifier.temporal.attention(features)
        unit = F.normalize(features.float().cpu(), dim=-1).flatten(0, 1)
        return unit, None if shares is None else shares.float().cpu() / len(samples)


def text_clip(run: Run, weights: str | None = None) -> Clip:
    """The CLIP that a run was initialised from; its text tower, which runs do not store, encodes descriptors.

    `weights` replace those of the run's settings. Raises InputError for a run without a CLIP, and if its CLIP
    is not available or has other weights.
    """
    settings = run.settings
    if not settings.uses_clip:
        raise InputError(
            f"a {settings.classifier} classifier has no text tower, so its features cannot be compared with "
            "texts\nExplain a run based on CLIP: --strategy dfer-clip, coop, cocoop or fine-tuning"
        )
    if "imported" in run.config:
        raise InputError(
            f"{run.id} was imported without the text tower of its CLIP, which is needed to encode "
            "descriptors\nExplain a run that was trained here"
        )
    needed = (
        f"{run.id} stores no text tower; that of its {settings.clip} is needed to encode descriptors\n"
        "Give its weights: --weights FILE"
    )
    try:
        clip = load_clip(settings.clip, weights or settings.weights)
    except InputError as error:
        raise InputError(f"{str(error).splitlines()[0]}\n{needed}") from error
    if clip_identity(clip) != run.config["clip"]["sha256"]:
        raise InputError(f"not the weights of {settings.clip} that the run was initialised from\n{needed}")
    return clip


def _visual(model: TrainedModel) -> VideoClassifier:
    """The run's model; every classifier based on CLIP is a VideoClassifier."""
    return cast(VideoClassifier, model.model)


def _reference(
    run: Run, model: TrainedModel, clips: PackedClips | None, device: torch.device
) -> Reference | None:
    """The run's stored reference, else one computed from its training clips and stored; None without both."""
    path = run.folder / REFERENCE
    if path.is_file():
        try:
            with safe_open(path, framework="pt") as stored:
                return Reference(stored.get_tensor("mean"), (stored.metadata() or {})["frames_are"])
        except (SafetensorError, OSError, KeyError) as error:
            raise InputError(f"{path} is damaged: {error}\nRemove it; it will be computed again") from error
    if clips is None or clips.fingerprint != run.config["dataset"]["fingerprint"]:
        return None
    indices = _spread(clips.train_indices(run.fold))
    mean = _mean_feature(run, model, clips, indices, device)
    reference = Reference(mean, f"the frames of {len(indices)} clips of the training folds on average")
    with replacing(path) as temporary:
        temporary.write_bytes(save({"mean": mean}, metadata={"frames_are": reference.frames_are}))
    return reference


def _spread(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """At most `REFERENCE_CLIPS` of them, evenly spaced."""
    count = min(len(indices), REFERENCE_CLIPS)
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(np.int64)]


def _mean_feature(
    run: Run, model: TrainedModel, clips: PackedClips, indices: npt.NDArray[np.int64], device: torch.device
) -> Tensor:
    """The mean (width,) of unit frame features of these clips, frames sampled as in a test."""
    settings = run.settings
    dataset = ClipDataset(clips, indices, frames=settings.frames, image_size=model.image_size)
    means = []
    with torch.inference_mode(), inference_precision(settings.precision, device):
        for batch in batches_of(dataset, settings.batch_size, workers=0):
            features = _visual(model).frame_features(model.scale(batch["frames"].to(device))).float()
            means.append(F.normalize(features, dim=-1).mean(dim=1).cpu())  # (clips, width)
    return torch.cat(means).mean(dim=0)


@dataclass(frozen=True)
class Evidence:
    """`rise[d, t]`: the cosine of frame t and descriptor d minus that of the mean frame."""

    descriptors: tuple[tuple[str, str], ...]  # (class name, descriptor)
    rise: npt.NDArray[np.float32]  # (descriptors, T)

    def strongest(self, count: int) -> list[tuple[str, str, int, float]]:
        """The descriptors with the largest rise: (class, descriptor, position of its best frame, rise)."""
        peaks = self.rise.max(axis=1)
        order = np.argsort(-peaks, kind="stable")[:count]
        return [(*self.descriptors[d], int(self.rise[d].argmax()), float(peaks[d])) for d in order]

    def best_frames(self, class_name: str, count: int) -> list[int]:
        """Positions of the frames with the largest mean rise of a class's descriptors."""
        mine = [row for row, (name, _) in enumerate(self.descriptors) if name == class_name]
        return sorted(np.argsort(-self.rise[mine].mean(axis=0), kind="stable")[:count].tolist())


@dataclass(frozen=True)
class ReadDescriptors:
    """Descriptors encoded by a text tower, each alone and without contexts."""

    pairs: tuple[tuple[str, str], ...]  # (class name, descriptor)
    words: Tensor  # (descriptors, width), unit norm

    def evidence(self, frames: Tensor, mean: Tensor) -> Evidence:
        """Evidence in one clip: `frames` (T, width) are its frame features, unit norm.

        `mean` (width,) is the mean feature of reference frames.
        """
        with torch.inference_mode():
            rise = self.words @ frames.T - (self.words @ mean)[:, None]  # (descriptors, T)
        return Evidence(self.pairs, rise.numpy())


def read_descriptors(descriptors: Mapping[str, Sequence[str]], clip: Clip) -> ReadDescriptors:
    """The descriptors of each class by `clip`'s text tower. Raises InputError for one that does not fit."""
    pairs = tuple((name, text) for name, texts in descriptors.items() for text in texts)
    names, texts = zip(*pairs, strict=True)
    with torch.inference_mode():
        learner = PromptLearner(clip, [[text] for text in texts], contexts=0, class_names=names)
        return ReadDescriptors(pairs, F.normalize(learner.class_weights(TextTower(clip)), dim=-1))


def descriptor_evidence(
    frames: Tensor, reference: Tensor, descriptors: Mapping[str, Sequence[str]], clip: Clip
) -> Evidence:
    """Evidence for each descriptor of each class in one clip.

    `frames` (T, width) are the clip's frame features, `reference` (N, width) those of other clips, both of
    unit norm; each descriptor is encoded alone by `clip`'s text tower, without contexts.
    """
    return read_descriptors(descriptors, clip).evidence(frames, reference.mean(dim=0))
