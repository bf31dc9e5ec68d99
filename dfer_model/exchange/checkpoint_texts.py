"""The parts of a released DFER-CLIP checkpoint, and its class texts, decoded from its token embeddings.

The imported model uses the embeddings of the file in any case. The texts determine the position of each
class's EOS and are displayed to the user.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dfer_model.models.clip import Clip

from ..errors import InputError
from ..runs import ClassTexts

Ids = list[list[int]]


def texts_in(
    parts: Parts, clip: Clip, class_names: Sequence[str], given: ClassTexts | None, path: Path
) -> tuple[ClassTexts, list[str]]:
    """The class texts of the checkpoint, and notes for the user.

    They are `given` if the file agrees, else those of the file. If the embeddings cannot be decoded, they are
    `given` if EOS can be where these texts end. Raises InputError if the texts cannot be determined.
    """
    ids = _ids_in(parts, clip)
    if ids is not None:
        if given is not None and _ids_of(given, clip) == [[each] for each in ids]:
            return given, []
        own = _as_texts(ids, clip)
        if own is not None:
            return _named(own, class_names, path), _differences(ids, clip, class_names, given, path)
    if given is None:
        raise InputError(
            f"the texts of {path} cannot be decoded: its token table is missing or different\n"
            "Give the set it was trained with: --descriptions v1"
        )
    if not _can_end_with(given, parts, clip):
        raise InputError(
            f"{path} was not trained with the texts of {given.name}: they end at other positions\n"
            "Give the set it was trained with: --descriptions V"
        )
    note = f"the texts are those of {given.name}; {path.name} has no token table to check them"
    return given, [note]


def _ids_in(parts: Parts, clip: Clip) -> Ids | None:
    """The token ids of each class's text by the file's token table; None if an embedding is not in the table.

    The tolerance allows for half precision, because the embeddings are copies of table rows.
    """
    table = parts.token_table
    if table is None:
        return None
    rows, places = torch.unique(parts.texts.flatten(0, 1), dim=0, return_inverse=True)
    nearest = torch.cdist(rows, table).argmin(dim=1)
    if not torch.allclose(rows, table[nearest], rtol=1e-3, atol=1e-5):
        return None
    tokens: Ids = nearest[places].view(parts.texts.shape[:2]).tolist()
    end = clip.tokenizer.eot_token_id
    if not all(end in row for row in tokens):
        return None
    return [row[: row.index(end)] for row in tokens]


def _ids_of(texts: ClassTexts, clip: Clip) -> list[Ids]:
    return [[clip.tokenizer.encode(text) for text in members] for members in texts.texts]


def _as_texts(ids: Ids, clip: Clip) -> list[str] | None:
    """Texts with these tokens, with natural spacing if that gives the same tokens; None if there are none."""
    texts = []
    for row in ids:
        try:
            plain = " ".join(clip.tokenizer.decode(row).split())
        except KeyError:  # not a token id
            return None
        tidy = re.sub(r" ?([-/']) ?", r"\1", re.sub(r" ([.,;:!?)])", r"\1", plain))
        fitting = [text for text in (tidy, plain) if clip.tokenizer.encode(text) == row]
        if not fitting:
            return None
        texts.append(fitting[0])
    return texts


def _named(texts: Sequence[str], class_names: Sequence[str], path: Path) -> ClassTexts:
    sha256 = hashlib.sha256(json.dumps([list(class_names), list(texts)]).encode()).hexdigest()
    return ClassTexts(path.stem, sha256, tuple(class_names), tuple((text,) for text in texts))


def _differences(
    ids: Ids, clip: Clip, class_names: Sequence[str], given: ClassTexts | None, path: Path
) -> list[str]:
    if given is None:
        return []
    differing = [
        name
        for name, own, others in zip(class_names, ids, _ids_of(given, clip), strict=True)
        if [own] != others
    ]
    names = ", ".join(differing[:3]) + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")
    return [f"{path.name} has other texts than {given.name} for {names}: those of the file are used"]


def _can_end_with(given: ClassTexts, parts: Parts, clip: Clip) -> bool:
    """Whether each class has one text, with equal embeddings of EOS at its end and of padding after it."""
    ids = _ids_of(given, clip)
    if any(len(members) != 1 for members in ids):
        return False
    ends = torch.tensor([len(members[0]) for members in ids])
    if int(ends.max()) + 1 >= parts.texts.shape[1]:
        return False
    rows = torch.arange(len(ends))
    end, after = parts.texts[rows, ends], parts.texts[rows, ends + 1]  # (C, W)
    return _equal_rows(end) and _equal_rows(after) and not torch.equal(end[0], after[0])


def _equal_rows(rows: Tensor) -> bool:
    return bool((rows == rows[0]).all())


_LAYER = re.compile(r"temporal_net\.temporal_transformer\.layers\.(\d+)\.(.+)\.(weight|bias)")
_IN_LAYER = {
    "0.fn.norm": "attention_norm",
    "0.fn.fn.to_qkv": "attention.qkv",
    "0.fn.fn.to_out.0": "attention.out",
    "1.fn.norm": "mlp_norm",
    "1.fn.fn.net.0": "mlp.0",
    "1.fn.fn.net.3": "mlp.2",
}


class Parts(NamedTuple):
    """The content of a checkpoint: C classes, M contexts each, text width W."""

    clip: dict[str, Tensor]  # image and text tower under OpenAI's names
    temporal: dict[str, Tensor]  # under the names of TemporalModel; empty without one
    contexts: Tensor  # (C, M, W), or (M, W) when unified
    start: Tensor  # (C, 1, W), embeddings of SOS
    texts: Tensor  # (C, context length - 1 - M, W), embeddings of text, EOS and padding
    token_table: Tensor | None  # (vocabulary, W)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.texts)

    @property
    def temporal_depth(self) -> int:
        """The layers of the temporal model, 0 without one."""
        return len({key.split(".")[1] for key in self.temporal if key.startswith("layers.")})


def parts_of(tensors: Mapping[str, Tensor], path: Path) -> Parts:
    """`tensors` sorted into parts. Raises InputError for a missing or unknown key or a wrong shape."""
    clip: dict[str, Tensor] = {}
    temporal: dict[str, Tensor] = {}
    prompts: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        part, _, rest = key.partition(".")
        if part == "image_encoder":
            clip[f"visual.{rest}"] = tensor
        elif part == "text_encoder":
            clip[rest] = tensor
        elif part == "prompt_learner" and rest in ("ctx", "token_prefix", "token_suffix"):
            prompts[rest] = tensor
        elif part == "temporal_net":
            temporal[_temporal_name(key, path)] = tensor
        elif part != "clip_model_":
            raise InputError(f"{path} is not a DFER-CLIP checkpoint: unknown key {key[:120]}")
    for name in ("ctx", "token_prefix", "token_suffix"):
        if name not in prompts:
            raise InputError(
                f"{path} is not a complete DFER-CLIP checkpoint: prompt_learner.{name} is missing"
            )
    table = tensors.get("clip_model_.token_embedding.weight")
    contexts, start, texts = prompts["ctx"], prompts["token_prefix"], prompts["token_suffix"]
    found = Parts(clip, _unbatched(temporal, path), contexts, start, texts, table)
    _check_shapes(found, path)
    return found


def _temporal_name(key: str, path: Path) -> str:
    names = {"temporal_net.cls_token": "class_token", "temporal_net.pos_embedding": "positions"}
    if key in names:
        return names[key]
    matched = _LAYER.fullmatch(key)
    if matched is None or matched[2] not in _IN_LAYER:
        raise InputError(f"the temporal model of {path} is not that of DFER-CLIP: unknown key {key[:120]}")
    return f"layers.{matched[1]}.{_IN_LAYER[matched[2]]}.{matched[3]}"


def _unbatched(temporal: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors with class token and positions without the leading dimensions of size 1."""
    if not temporal:
        return {}
    for name, original in (("class_token", "cls_token"), ("positions", "pos_embedding")):
        if name not in temporal:
            raise InputError(
                f"{path} is not a complete DFER-CLIP checkpoint: temporal_net.{original} is missing"
            )
        if temporal[name].ndim != 3 or temporal[name].shape[0] != 1:
            raise InputError(f"{path}: temporal_net.{original} is {tuple(temporal[name].shape)}")
    if not any(name.startswith("layers.") for name in temporal):
        raise InputError(f"{path} is not a complete DFER-CLIP checkpoint: its temporal model has no layers")
    return {**temporal, "class_token": temporal["class_token"][0, 0], "positions": temporal["positions"][0]}


def _check_shapes(parts: Parts, path: Path) -> None:
    contexts, start, texts = parts.contexts, parts.start, parts.texts
    fits = (
        contexts.ndim in (2, 3)
        and start.ndim == texts.ndim == 3
        and start.shape == (len(texts), 1, contexts.shape[-1])
        and texts.shape[2] == contexts.shape[-1]
        and (contexts.ndim == 2 or len(contexts) == len(texts))
    )
    table = parts.token_table
    if not fits or (table is not None and (table.ndim != 2 or table.shape[1] != contexts.shape[-1])):
        shapes = ", ".join(str(tuple(each.shape)) for each in (contexts, start, texts))
        raise InputError(f"{path}: prompt_learner's ctx, token_prefix and token_suffix do not fit: {shapes}")
