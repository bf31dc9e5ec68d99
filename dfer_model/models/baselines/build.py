"""From settings to a video network: its form, the frames it takes, and its weights.

Of the settings these have a meaning: `classifier`, `weights`, `frames`, `temporal_depth` (layers of the
model over the frames' features, of a network that has one), `lr_image`, `lr_temporal` and `lr_head`, and all
that belongs to the recipe. `normalize=clip` uses the mean and standard deviation of the network's own
training in place of CLIP's. What belongs to CLIP and its prompts (`clip`, `contexts`, `position` and their
like) has none; what would change how an image tower learns is refused.

A video network's pretrained weights: torchvision's by their names, or a file's; nothing is unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18
from torchvision.models.video import R2Plus1D_18_Weights, R3D_18_Weights, r2plus1d_18, r3d_18

from dfer_model.config import ModelSettings
from dfer_model.errors import InputError, did_you_mean
from dfer_model.models.classifier import Base, Texts
from dfer_model.models.clip_weights import read_weights
from dfer_model.models.temporal import TemporalModel

from . import c3d, i3d, p3d
from .video_network import EachFrame, LastState, VideoNetwork, Volumes

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Form:
    """What makes one of the networks what it is."""

    image: Callable[[], Volumes | EachFrame]  # with random weights
    width: int  # of its features
    image_size: int  # pixels, both sides
    mean: Three  # of pixels in 0..1, per channel, as its weights were trained
    std: Three
    head: str = "fc."  # how a weight file calls the head's tensors
    published: type[Any] | None = None  # torchvision's enumeration of its weights
    temporal: Literal["mean", "lstm", "transformer"] = "mean"
    dropout: float = 0.0  # before the head


def _headless(network: nn.Module) -> nn.Module:
    """A ResNet of torchvision without its head `fc`."""
    network.fc = nn.Identity()
    return network


KINETICS: tuple[Three, Three] = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
IMAGENET: tuple[Three, Three] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CENTRED: tuple[Three, Three] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

FORMS: Mapping[str, Form] = {
    "r3d-18": Form(lambda: Volumes(_headless(r3d_18())), 512, 112, *KINETICS, published=R3D_18_Weights),
    "r2plus1d-18": Form(
        lambda: Volumes(_headless(r2plus1d_18())), 512, 112, *KINETICS, published=R2Plus1D_18_Weights
    ),
    "resnet18-lstm": Form(
        lambda: EachFrame(_headless(resnet18())),
        512, 224, *IMAGENET, published=ResNet18_Weights, temporal="lstm",
    ),
    "resnet18-vit": Form(
        lambda: EachFrame(_headless(resnet18())),
        512, 224, *IMAGENET, published=ResNet18_Weights, temporal="transformer",
    ),
    "c3d": Form(lambda: Volumes(c3d.C3D()), c3d.WIDTH, 112, *CENTRED, head="fc8."),
    "p3d": Form(lambda: Volumes(p3d.P3D()), p3d.WIDTH, 160, *IMAGENET, dropout=0.5),
    "i3d": Form(lambda: Volumes(i3d.I3D()), i3d.WIDTH, 224, *CENTRED, head="logits.", dropout=0.5),
}  # fmt: skip
"""The networks by the name of their setting `classifier`. Sizes, means and deviations are those of
torchvision's weights, of the P3D and I3D papers' inputs, and for C3D, whose files subtract a mean volume,
-1..1."""


def network_base(settings: ModelSettings) -> Base:
    """What the settings' network is built on; `build` asks no more of the texts than how many classes.

    Weights that are read are the same for every seed; `random` ones are drawn by `build`, and so by the run's
    seed. Raises InputError for unknown or unfitting weights, and for settings that no network obeys.
    """
    _refuse_what_needs_clip(settings)
    name, form = settings.classifier, FORMS[settings.classifier]
    tensors = pretrained(name, settings.weights, form.published, form.head)
    with torch.device("meta"):
        wanted = _network(form, settings, 1).state_dict()
    if tensors is not None:
        tensors = fitting(tensors, wanted, settings.weights, name)
    body = wanted if tensors is None else tensors

    def build(_: Texts, class_names: Sequence[str]) -> VideoNetwork:
        network = _network(form, settings, len(class_names))
        network.load_state_dict(tensors or {}, strict=False)
        return network

    sha256 = identity(list(body.items()), values=tensors is not None)
    return Base(sha256, form.image_size, form.mean, form.std, build)


def _network(form: Form, settings: ModelSettings, classes: int) -> VideoNetwork:
    return VideoNetwork(
        form.image(),
        _temporal(form, settings),
        form.width,
        classes,
        dropout=form.dropout,
        trains_image=settings.lr_image > 0,
    )


def _temporal(form: Form, settings: ModelSettings) -> nn.Module | None:
    if form.temporal == "lstm":
        return LastState(form.width, settings.temporal_depth)
    if form.temporal == "transformer":
        return TemporalModel(form.width, settings.frames, settings.temporal_depth)
    return None


def _refuse_what_needs_clip(settings: ModelSettings) -> None:
    name = settings.classifier
    for setting, off in {"lora_rank": 0, "gradient_checkpointing": False}.items():
        if getattr(settings, setting) != off:
            raise InputError(
                f"{setting}={getattr(settings, setting)}: {name} is no CLIP and has no part for it\n"
                f"Leave it off with --set {setting}={off}"
            )
    if FORMS[name].temporal != "mean" and not settings.temporal_depth:
        raise InputError(
            f"temporal_depth=0: {name} needs a model over its frames' features\n"
            "Give it layers with --set temporal_depth=1"
        )


Tensors = dict[str, Tensor]
IMAGE, TEMPORAL = "image.network.", "temporal."


def pretrained(classifier: str, weights: str, published: type[Any] | None, head: str) -> Tensors | None:
    """The tensors that `weights` names, as a VideoNetwork calls them, without a head; None for `random`.

    `published` is torchvision's enumeration of a network's weights, `head` how the names of the head's
    tensors begin. Raises InputError for a name that is unknown, a file that cannot be read, and weights that
    are neither here nor to be had.
    """
    if weights == "random":
        return None
    if published is not None and weights in published.__members__:
        tensors = _download(classifier, weights, published[weights])
    elif Path(weights).is_file():
        tensors = read_weights(Path(weights)).tensors
    else:
        raise _unknown(classifier, weights, published)
    return _body(tensors, head)


def _body(tensors: Mapping[str, Tensor], head: str) -> Tensors:
    """All but the head: of a run's weights as they are, of another file's as the image network."""
    if any(name.startswith(IMAGE) for name in tensors):
        return {name: value for name, value in tensors.items() if name.startswith((IMAGE, TEMPORAL))}
    return {IMAGE + name: value for name, value in tensors.items() if not name.startswith(head)}


def _download(classifier: str, weights: str, entry: Any) -> Tensors:
    """torchvision's file from torch's cache, or else fetched and checked against the hash in its name."""
    try:
        tensors: Tensors = entry.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (OSError, RuntimeError) as error:  # no network, no room; a hash that differs
        reason = str(error).partition("\n")[0][:160] or type(error).__name__
        raise InputError(
            f"the weights {weights} of {classifier} are not on this machine and cannot be downloaded: "
            f"{reason}\n"
            f"Bring {entry.url.rpartition('/')[2]} from a machine with a network and give it: --weights FILE "
            "(--weights random trains from scratch)"
        ) from None
    return tensors


def _unknown(classifier: str, weights: str, published: type[Any] | None) -> InputError:
    if Path(weights).suffix or "/" in weights:
        return InputError(f"no weight file {weights}")
    known = ["random", *(published.__members__ if published is not None else ())]
    hint = did_you_mean(weights, known)
    return InputError(
        f"no weights {weights!r} of {classifier}{hint}\nThere are: {', '.join(known)}, or name a file"
    )


def fitting(tensors: Tensors, wanted: Mapping[str, Tensor], weights: str, classifier: str) -> Tensors:
    """`tensors` where all of the image network is there and nothing else but the temporal model.

    `wanted` is the state of the network; how many batches BatchNorm has seen, which old files do not say, is
    taken as 0. Raises InputError that names the first misfit.
    """
    complete = dict(tensors)
    for name, value in wanted.items():
        if name.endswith(".num_batches_tracked"):
            complete.setdefault(name, torch.tensor(0))
        if name.startswith(IMAGE) and name not in complete:
            raise _misfit(weights, classifier, f"it has no {name.removeprefix(IMAGE)}")
        if name in complete and complete[name].shape != value.shape:
            shapes = f"{tuple(complete[name].shape)} in the file and {tuple(value.shape)} in {classifier}"
            raise _misfit(weights, classifier, f"{name.removeprefix(IMAGE)} is {shapes}")
    for name in complete:
        if name not in wanted:
            raise _misfit(weights, classifier, f"{classifier} has no {name.removeprefix(IMAGE)[:120]}")
    return complete


def _misfit(weights: str, classifier: str, reason: str) -> InputError:
    return InputError(f"{weights} does not fit {classifier}: {reason}")


def identity(parts: Sequence[tuple[str, Tensor]], values: bool) -> str:
    """sha256 over names and shapes, with `values` over numbers too: equal for equal weights of any file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(parts, key=lambda part: part[0]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if values:
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
