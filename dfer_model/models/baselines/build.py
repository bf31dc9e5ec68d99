"""Building a video network from settings: architecture, input format, pretrained weights.

These settings apply: `classifier`, `weights`, `frames`, `temporal_depth` (layers of the model over the
frames' features, if the network has one), `lr_image`, `lr_temporal`, `lr_head`, and the training recipe.
`normalize=clip` uses the mean and standard deviation of the network's own pretraining. Settings of CLIP and
its prompts (`clip`, `contexts`, `position`, ...) are ignored; settings that change how an image tower is
trained are rejected.

Pretrained weights are torchvision's, by name, or a file's; nothing is unpickled.
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

from . import networks
from .video_network import EachFrame, LastState, VideoNetwork, Volumes

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Form:
    """The properties of a network."""

    image: Callable[[], Volumes | EachFrame]  # builds it with random weights
    width: int  # width of its features
    image_size: int  # pixels, both sides
    mean: Three  # of pixels in 0..1, per channel, of its pretraining
    std: Three
    head: str = "fc."  # prefix of the head's tensors in a weight file
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
    "c3d": Form(lambda: Volumes(networks.C3D()), networks.C3D_WIDTH, 112, *CENTRED, head="fc8."),
    "p3d": Form(lambda: Volumes(networks.P3D()), networks.P3D_WIDTH, 160, *IMAGENET, dropout=0.5),
    "i3d": Form(
        lambda: Volumes(networks.I3D()), networks.I3D_WIDTH, 224, *CENTRED, head="logits.", dropout=0.5
    ),
}  # fmt: skip
"""The networks by their name in the setting `classifier`. Sizes, means and standard deviations are those of
torchvision's weights, or of the inputs in the P3D and I3D papers; for C3D, whose files subtract a mean
volume, the range is -1..1."""


def network_base(settings: ModelSettings) -> Base:
    """The base of the settings' network; its `build` uses only the number of classes of the texts.

    Loaded weights are the same for every seed; `random` ones are drawn by `build`, from the run's seed.
    Raises InputError for unknown or unfitting weights, and for settings that no network supports.
    """
    _refuse_what_needs_clip(settings)
    name, form = settings.classifier, FORMS[settings.classifier]
    tensors = pretrained(name, settings.weights, form.published, form.head)
    with torch.device("meta"):
        expected = _network(form, settings, 1).state_dict()
    if tensors is not None:
        tensors = fitting(tensors, expected, settings.weights, name)
    body = expected if tensors is None else tensors

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
                f"{setting}={getattr(settings, setting)}: {name} is not a CLIP and does not support it\n"
                f"Leave it off with --set {setting}={off}"
            )
    if FORMS[name].temporal != "mean" and not settings.temporal_depth:
        raise InputError(
            f"temporal_depth=0: {name} needs a temporal model over its frames' features\n"
            "Give it layers with --set temporal_depth=1"
        )


Tensors = dict[str, Tensor]
IMAGE, TEMPORAL = "image.network.", "temporal."


def pretrained(classifier: str, weights: str, published: type[Any] | None, head: str) -> Tensors | None:
    """The tensors of `weights` under the names of a VideoNetwork, without the head; None for `random`.

    `published` is torchvision's enumeration of a network's weights, `head` the prefix of the head's tensors.
    Raises InputError for an unknown name, a file that cannot be read, and weights that are not on this
    machine and cannot be downloaded.
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
    """All tensors but the head's; those of a file that is not a run's are the image network's."""
    if any(name.startswith(IMAGE) for name in tensors):
        return {name: value for name, value in tensors.items() if name.startswith((IMAGE, TEMPORAL))}
    return {IMAGE + name: value for name, value in tensors.items() if not name.startswith(head)}


def _download(classifier: str, weights: str, entry: Any) -> Tensors:
    """torchvision's file from torch's cache, or downloaded and checked against the hash in its name."""
    try:
        tensors: Tensors = entry.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (OSError, RuntimeError) as error:  # no network, full disk; a hash that differs
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


def fitting(tensors: Tensors, expected: Mapping[str, Tensor], weights: str, classifier: str) -> Tensors:
    """`tensors`, checked to contain the whole image network and nothing else but the temporal model.

    `wanted` is the state of the network. BatchNorm's number of batches, which old files lack, is set to 0.
    Raises InputError with the first mismatch.
    """
    complete = dict(tensors)
    for name, value in expected.items():
        if name.endswith(".num_batches_tracked"):
            complete.setdefault(name, torch.tensor(0))
        if name.startswith(IMAGE) and name not in complete:
            raise _misfit(weights, classifier, f"it has no {name.removeprefix(IMAGE)}")
        if name in complete and complete[name].shape != value.shape:
            shapes = f"{tuple(complete[name].shape)} in the file and {tuple(value.shape)} in {classifier}"
            raise _misfit(weights, classifier, f"{name.removeprefix(IMAGE)} is {shapes}")
    for name in complete:
        if name not in expected:
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
