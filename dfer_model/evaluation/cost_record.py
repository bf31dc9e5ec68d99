"""Parameters, FLOPs and latency of a model, as they are stored with its run. Imports no torch.

`result.json` has the figures that training computed; `cost.json`, which takes precedence, has the measured
latency.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dfer_model.errors import InputError
from dfer_model.io import read_json, write_atomically

FILE = "cost.json"
KEY = "cost"  # of result.json


@dataclass(frozen=True)
class Latency:
    """The time of a forward pass for one clip, whose frames are already decoded and on the device."""

    median_ms: float
    passes: int  # after warm-up
    device: str
    threads: int  # of the CPU that torch computes on
    precision: str


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    `parameters` are those of the model in training, with the text tower. `flops_per_clip` counts one test
    clip with all its views: `views` times `frames` frames of `image_size` x `image_size` pixels.
    `texts_included` says whether it includes the text tower, which only Co-CoOp runs for each clip.
    """

    parameters: int
    trained_parameters: int
    flops_per_clip: int  # 2 per multiply-add
    frames: int
    image_size: int
    views: int
    texts_included: bool
    latency: Latency | None = None

    def as_dict(self) -> dict[str, Any]:
        """The cost as plain values, for JSON."""
        return asdict(self)


_COST = TypeAdapter(Cost)


def read_cost(folder: Path) -> Cost | None:
    """The cost stored in a run's folder; None if there is none. Raises InputError for a damaged file."""
    for path, key in ((folder / FILE, None), (folder / "result.json", KEY)):
        if not path.is_file():
            continue
        try:
            content = read_json(path)
            found = content if key is None else content.get(key)
            if found is not None:
                return _COST.validate_python(found)
        except (ValueError, AttributeError, ValidationError) as error:
            raise InputError(
                f"{path} is damaged: {' '.join(str(error).split())}\nDelete cost.json, or train the run again"
            ) from error
    return None


def write_cost(folder: Path, cost: Cost) -> None:
    """Write `cost` as cost.json into a run's folder."""
    write_atomically(folder / FILE, json.dumps(cost.as_dict(), ensure_ascii=False, indent=2) + "\n")


def together(costs: Sequence[Cost]) -> Cost:
    """The cost of several models that are run one after the other, as in an ensemble.

    The latency is the sum of the medians, if all were measured in the same way.
    """
    first = costs[0]
    latencies = [each.latency for each in costs]
    known = [each for each in latencies if each is not None]
    alike = {(each.device, each.threads, each.precision) for each in known}
    latency = None
    if len(known) == len(costs) and len(alike) == 1:
        passes = min(each.passes for each in known)
        latency = replace(known[0], median_ms=sum(each.median_ms for each in known), passes=passes)
    return replace(
        first,
        parameters=sum(each.parameters for each in costs),
        trained_parameters=sum(each.trained_parameters for each in costs),
        flops_per_clip=sum(each.flops_per_clip for each in costs),
        texts_included=any(each.texts_included for each in costs),
        latency=latency,
    )
