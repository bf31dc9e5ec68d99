"""A video network's pretrained weights: torchvision's by their names, or a file's; nothing is unpickled.

The head of a pretrained network answers for other classes, or for the same ones in an order that no file
tells. It is left out, whatever its size, and a new one is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfer_model.classifiers.clip_weights import read_weights
from dfer_model.errors import InputError, did_you_mean

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
