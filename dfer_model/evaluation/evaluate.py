"""Predictions for packed clips: of a trained model, or of CLIP without training (zero-shot)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from dfer_model.config import Settings
from dfer_model.data.class_names import composed
from dfer_model.data.dataset import ClipDataset
from dfer_model.data.joined import JoinedClips
from dfer_model.data.kept_batches import KeptBatches
from dfer_model.data.loaders import pixel_scale
from dfer_model.data.packed import PackedClips
from dfer_model.data.prefetch import HostCopy, prefetched
from dfer_model.data.stream_loaders import batches_of
from dfer_model.devices import choose_device, inference_precision
from dfer_model.errors import InputError, WorkError
from dfer_model.launch import workers_of
from dfer_model.memory import out_of_memory_error
from dfer_model.metrics import Measures, logit_measures
from dfer_model.models.bf16 import ImageTower
from dfer_model.models.clip import Clip, image_tower
from dfer_model.models.dfer_clip import TEMPERATURE
from dfer_model.models.prompt_learner import Ensemble, Members, PromptLearner, TextTower
from dfer_model.progress import Report, silent
from dfer_model.run_config import dataset_parts
from dfer_model.runs import ClassTexts, Predictions, Run

from .trained_model import TrainedModel, load_trained

Indices = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
OUTPUTS_BEHIND = 2  # batches that are queued before outputs are read from a GPU
SMALLER = "Give --device cpu or, for training, --set batch_size=... or --set accumulate=..."


def predict_logits(
    model: TrainedModel,
    clips: PackedClips,
    indices: Indices,
    settings: Settings,
    device: torch.device,
    report: Report = silent,
    kept: KeptBatches | None = None,
) -> Logits:
    """The model's logits (clips, classes) for the clips at `indices`, in that order, sampled as in a test.

    With several `test_segments` or `test_crops`, the mean of their logits. `kept` keeps workers for the next
    call, which has equal clips and settings.
    Raises InputError for a clip that cannot be read, WorkError for logits that are not finite.
    """
    dataset = evaluation_dataset(clips, indices, settings, model.image_size)
    module = _MeanOverViews(model) if dataset.views > 1 else model
    logits = over_clips(module, dataset, settings, device, report, kept).numpy()
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise WorkError(
            f"the model's logits for clip {clips.clip_ids[indices[bad[0]]]} are not finite\n"
            "Its weights are damaged: train again with lower learning rates or --set precision=fp32"
        )
    return np.asarray(logits, dtype=np.float32)


def evaluation_dataset(
    clips: PackedClips, indices: Indices, settings: Settings, image_size: int
) -> ClipDataset:
    """The clips at `indices`, sampled as in a test, with the views of `test_segments` and `test_crops`."""
    return ClipDataset(
        clips,
        indices,
        frames=settings.frames,
        image_size=image_size,
        segments=settings.test_segments,
        crops=settings.test_crops,
    )


class _MeanOverViews(nn.Module):
    """The mean of a model's logits over views: (clips, views, T, 3, S, S) -> (clips, classes)."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.model(frames.flatten(0, 1)).float()  # (clips * views, classes)
        return logits.view(*frames.shape[:2], -1).mean(dim=1)


def over_clips(
    module: nn.Module,
    dataset: ClipDataset,
    settings: Settings,
    device: torch.device,
    report: Report,
    kept: KeptBatches | None = None,
) -> Tensor:
    """`module` on the uint8 frames of every clip, batch by batch, gathered in float32 on the CPU.

    With several views of a clip, or `accumulate`, a batch has fewer clips, so that it takes no more memory.
    `kept` as in `predict_logits`.
    """
    gathered: list[Tensor] = []
    read: list[int] = []
    batch_size = clips_at_once(settings, dataset.views)
    made = batches_of if kept is None else kept.of
    batches = made(dataset, batch_size, workers=workers_of(settings.workers), pin=device.type == "cuda")
    for index, outputs in outputs_of(module, batches, batch_size, settings, device):
        gathered.append(outputs)
        read += index
        report(len(read), len(dataset), "clips")
    return _in_order_of(dataset.indices, read, torch.cat(gathered))


def clips_at_once(settings: Settings, views: int) -> int:
    """The number of clips in a batch of an evaluation, each with `views` views."""
    return max(1, settings.batch_size // (views * settings.accumulate))


def outputs_of(
    module: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    batch_size: int,
    settings: Settings,
    device: torch.device,
) -> Iterator[tuple[list[int], Tensor]]:
    """Of each batch the indices of its clips and the outputs of `module`, in float32 on the CPU.

    On a GPU, outputs are read while later batches are computed, and batches are copied meanwhile. Raises
    OutOfMemory, which names `batch_size`.
    """
    waiting: deque[tuple[list[int], HostCopy]] = deque()
    behind = OUTPUTS_BEHIND if device.type == "cuda" else 0
    module.eval()
    with out_of_memory_error(device, f"a batch of {batch_size} clips did not fit", SMALLER):
        for batch in prefetched(batches, device):
            with torch.inference_mode(), inference_precision(settings.precision, device):
                waiting.append((batch["index"].tolist(), HostCopy(module(batch["frames"]).float())))
            while len(waiting) > behind:
                index, outputs = waiting.popleft()
                yield index, outputs.value()
        for index, outputs in waiting:
            yield index, outputs.value()


def _in_order_of(indices: list[int], read: list[int], outputs: Tensor) -> Tensor:
    """The outputs for the clips `read`, reordered as `wanted`: a stream has its own order."""
    ordered = torch.empty_like(outputs)
    ordered[torch.tensor(indices).argsort(stable=True)] = outputs[torch.tensor(read).argsort(stable=True)]
    return ordered


@dataclass(frozen=True)
class TestClips:
    """The clips of an evaluation, and notes on them."""

    indices: Indices
    which: str  # "the 40 clips of test fold 1 of drawn"
    notes: tuple[str, ...] = ()


def clips_to_test(run: Run, clips: PackedClips, *, every: bool = False) -> TestClips:
    """The clips to test `run` on: its test fold, or all clips with `every` or if there are no folds.

    On another dataset with folds, the fold with the run's fold number; on one of several datasets of the
    run, the fold that its training tested.
    Raises InputError if there is no such fold.
    """
    is_part = clips.fingerprint in {each.fingerprint for each in dataset_parts(run.config)}
    own = is_part or clips.fingerprint == run.config["dataset"]["fingerprint"]
    notes = []
    if not own and clips.name == run.config["dataset"].get("name"):
        notes.append(f"these are not the clips that {run.id} was trained with, although the name is the same")
    if every or (not clips.fold_names() and not own):
        indices, which = np.arange(len(clips)), f"all {len(clips)} clips of {clips.name}"
        if own:
            notes.append(f"{which} include the training clips of {run.id}: this is not a test")
    else:
        folds = clips.fold_names()
        fold = folds[0] if is_part and len(folds) == 1 else run.fold  # as in its training
        indices = clips.test_indices(fold)
        which = f"the {len(indices)} clips of test fold {fold} of {clips.name}"
    return TestClips(indices, which, tuple(notes))


def matched_labels(run: Run, clips: PackedClips, indices: Indices) -> Indices:
    """The labels of clips as positions in the run's class order, matched by class name.

    Raises InputError that names the classes that the run does not have.
    """
    known = {composed(name): label for label, name in enumerate(run.class_names)}
    occurring = np.unique(clips.labels[indices])
    names = [clips.class_names[label] for label in occurring]
    strangers = [name for name in names if composed(name) not in known]
    if strangers:
        raise InputError(
            f"{clips.path} has clips of {', '.join(strangers)}, which {run.id} was not trained on\n"
            f"Its classes are {', '.join(run.class_names)}"
        )
    return np.array([known[composed(clips.class_name_of(index))] for index in indices], dtype=np.int64)


def measures_by_dataset(
    clips: PackedClips, indices: Indices, predictions: Predictions, class_names: Sequence[str]
) -> dict[str, Measures]:
    """The measures on the clips at `indices` of each of several datasets; {} for one dataset.

    `predictions` are of these clips, in this order; `class_names` are those of the logits.
    """
    if not isinstance(clips, JoinedClips):
        return {}
    return {
        name: logit_measures(predictions.labels[mask], predictions.logits[mask], class_names)
        for name, mask in clips.by_dataset(indices).items()
    }


def evaluate_run(
    run: Run,
    clips: PackedClips,
    indices: Indices,
    *,
    device: str | None = None,
    report: Report = silent,
) -> Predictions:
    """The predictions of a finished run for the clips at `indices`, in the run's class order.

    Raises InputError for a run that is not finished, or clips of classes that it does not have.
    """
    labels = matched_labels(run, clips, indices)
    where = choose_device(device, tf32=run.settings.tf32)
    logits = predict_logits(load_trained(run, where), clips, indices, run.settings, where, report)
    return Predictions([clips.clip_ids[index] for index in indices], labels, logits)


class FrameTower(nn.Module):
    """CLIP's image tower on uint8 frames: (..., 3, H, W) -> (..., width)."""

    def __init__(self, clip: Clip, settings: Settings) -> None:
        super().__init__()
        self.tower = image_tower(clip)
        self.image_features = ImageTower(self.tower)
        self.scale = pixel_scale(settings.normalize, clip.mean, clip.std)

    def forward(self, frames: Tensor) -> Tensor:
        """The features, not normalised."""
        features = self.image_features(self.scale(frames.flatten(0, -4)))  # (frames of all clips, width)
        return features.view(*frames.shape[:-3], -1)


def tower_features(
    tower: FrameTower, dataset: ClipDataset, settings: Settings, device: torch.device, report: Report = silent
) -> Tensor:
    """The features of CLIP's image tower for the frames of `dataset`: (clips, T, width), on the CPU.

    With several test segments or crops, (clips, segments * crops, T, width).
    """
    return over_clips(tower, dataset, settings, device, report)


def frame_features(
    clip: Clip,
    clips: PackedClips,
    indices: Indices,
    settings: Settings,
    device: str | None = None,
    report: Report = silent,
) -> Tensor:
    """CLIP's features of the clips at `indices`: (clips, T, width), unit norm, on the CPU."""
    dataset = ClipDataset(clips, indices, frames=settings.frames, image_size=clip.image_size)
    where = choose_device(device, tf32=settings.tf32)
    tower = FrameTower(clip, settings).to(where)
    return F.normalize(tower_features(tower, dataset, settings, where, report), dim=-1)


def zero_shot_logits(
    features: Tensor, clip: Clip, texts: ClassTexts, ensemble: Ensemble = "mean-embedding"
) -> Logits:
    """The zero-shot logits (clips, classes): cos(mean of the frame features, text features) / 0.01.

    `features` are those of `frame_features`, (clips, T, width), unit norm. `ensemble` combines the texts of a
    class with several.
    """
    with torch.inference_mode():
        prompts = PromptLearner(clip, texts.texts, contexts=0, class_names=texts.class_names)
        members = Members(tuple(map(len, texts.texts)), ensemble)
        weights = members.weights(prompts.member_weights(TextTower(clip)))  # (classes or members, width)
        video = F.normalize(features.float().mean(dim=1), dim=-1)  # (clips, width)
        cosines = members.cosines(video @ weights.T)  # (clips, classes)
        return np.asarray((cosines / TEMPERATURE).numpy(), dtype=np.float32)
