"""Import of a released DFER-CLIP checkpoint as a finished run with the same outputs as the released code.

The contexts and whether they are unified, the depth of the temporal model, and the number of frames follow
from the shapes. The other settings are those of the preset `paper`: pixels in 0..1, not normalised.

`torch.save` wrote the checkpoints; no code in them is executed. Besides the state dict, the released files
contain an object of a class of the training script, with numpy arrays, which `tensor_file` skips.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor

from dfer_model.models.clip import Clip, clip_identity, load_clip
from dfer_model.models.clip_weights import fit, in_open_clip_names
from dfer_model.models.dfer_clip import DferClip
from dfer_model.models.prompt_learner import Position, PromptLearner
from dfer_model.models.state_names import unwrapped
from dfer_model.models.tensor_file import check_sizes, in_float32, is_safetensors, read_tensor_file
from dfer_model.training.run_writer import versions, write_json

from ..checkpoints import save_weights
from ..config import PRESETS, Settings, with_values
from ..errors import InputError
from ..io import write_atomically
from ..reports.run_card import imported_card
from ..runs import FORMAT_VERSION, NOT_DEFINING, ClassTexts, Run
from .checkpoint_texts import Parts, parts_of, texts_in


class Checkpoint(NamedTuple):
    """The tensors of a file, floating ones in float32, and the epoch it states, if any."""

    tensors: dict[str, Tensor]
    epoch: int | None


def read_checkpoint(path: Path) -> Checkpoint:
    """The state dict in `path`, at the top level or under `state_dict` or another usual key.

    Raises InputError, with the path, if it cannot be read, would execute code, or has no state dict.
    """
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    if is_safetensors(path):
        raise InputError(
            f"{path} cannot be read as a checkpoint: it is a safetensors file, not one of torch.save"
        )
    content = read_tensor_file(path, torchscript=False)
    state = unwrapped(content, path)
    for key, value in state.items():
        if type(value) not in (Tensor, torch.nn.Parameter):
            raise InputError(f"{path} has no state dict: {key[:80]!r} is not a tensor")
    check_sizes(state, path)
    epoch = content.get("epoch") if isinstance(content, Mapping) else None
    return Checkpoint(in_float32(state), epoch if type(epoch) is int else None)


SELECTION = "imported"
CLIP = "ViT-B-32-quickgelu"


def import_run(
    path: Path,
    runs: Path,
    class_names: Sequence[str],
    *,
    texts: ClassTexts | None = None,
    position: Position = "end",
    clip: str = CLIP,
    fold: int = 1,
) -> Run:
    """The checkpoint at `path` as a finished run under `runs`; an existing import is reused.

    `class_names` are in the checkpoint's order, `texts` those it is assumed to have been trained with,
    `position` that of its descriptions, `clip` open_clip's name of its CLIP, `fold` its test fold. Raises
    InputError for a file that is not such a checkpoint or does not fit these.
    """
    checkpoint = read_checkpoint(path)
    parts = parts_of(checkpoint.tensors, path)
    if parts.classes != len(class_names):
        raise InputError(
            f"{path} has {parts.classes} classes; the class set has {len(class_names)}\n"
            "Give the class set it was trained for: --classes dfew, ferv39k or mafw"
        )
    base = _clip_in(parts, clip, path)
    own, notes = texts_in(parts, base, class_names, texts, path)
    settings = _settings(parts, clip, position)
    model = _model(parts, base, own, settings, path)
    with torch.no_grad():
        class_weights = model.class_weights()
    if not bool(torch.isfinite(class_weights).all()):
        raise InputError(f"{path} gives class weights that are not finite: its tensors are damaged")
    config = _config(path, settings, own, base, fold)
    name = re.sub(r"[^A-Za-z0-9._@-]+", "-", path.stem).strip("-.")[:40] or "checkpoint"
    folder = runs / f"{name}-imported-fold{fold}-{config['definition'][:8]}"
    if not (folder / "result.json").is_file():
        save_weights(folder / "model.safetensors", model, class_weights)
        _write(folder, config, own, checkpoint.epoch, notes)
    return Run.open(folder)


def _clip_in(parts: Parts, name: str, path: Path) -> Clip:
    """The CLIP `name` with the checkpoint's towers and, if it has one, its token table."""
    clip = load_clip(name, "random")
    if not clip.config.get("quick_gelu"):
        raise InputError(f"{name} uses GELU, but DFER-CLIP's towers use QuickGELU\nUse --clip {CLIP}")
    if (parts.contexts.shape[-1], 1 + parts.texts.shape[1] + parts.contexts.shape[-2]) != (
        clip.text_width,
        clip.context_length,
    ):
        raise InputError(f"the prompts in {path} do not fit the text tower of {name}\n{_OTHER_CLIP}")
    tensors = in_open_clip_names(clip.model, dict(parts.clip))
    # The released code uses neither of these of its copy of CLIP; the prompts have their own embeddings.
    unread = {key: value for key, value in clip.model.state_dict().items() if key.endswith("logit_scale")}
    table = {
        key: value if parts.token_table is None else parts.token_table
        for key, value in clip.model.state_dict().items()
        if key.endswith("token_embedding.weight")
    }
    try:
        fit(clip.model, unread | table | tensors, str(path), name)
    except InputError as error:
        raise InputError(f"{error}\n{_OTHER_CLIP}") from None
    return clip


_OTHER_CLIP = "If it was trained from another CLIP, give its name: --clip ViT-B-16-quickgelu"


def _settings(parts: Parts, clip: str, position: Position) -> Settings:
    inferred: dict[str, object] = {
        "clip": clip,
        "weights": SELECTION,
        "contexts": parts.contexts.shape[-2],
        "context_kind": "unified" if parts.contexts.ndim == 2 else "class-specific",
        "position": position,
        "temporal_depth": parts.temporal_depth,
    }
    if parts.temporal:
        inferred["frames"] = len(parts.temporal["positions"]) - 1
    return with_values(PRESETS["paper"], inferred)


def _model(parts: Parts, clip: Clip, texts: ClassTexts, settings: Settings, path: Path) -> DferClip:
    model = DferClip(clip, texts.texts, settings, class_names=texts.class_names).eval()
    if model.temporal is not None:
        fit(model.temporal, parts.temporal, str(path), "DFER-CLIP's temporal model")
    learner = model.prompt_learner
    with torch.no_grad():
        learner.contexts.copy_(parts.contexts)
        learner.embeddings.copy_(_embeddings(parts, learner))
    return model


def _embeddings(parts: Parts, learner: PromptLearner) -> Tensor:
    """The file's embeddings of SOS, text and EOS at their positions around the contexts: (C, length, W)."""
    embeddings = learner.embeddings.clone()
    for row, end in enumerate(learner.ends.tolist()):
        held = set(learner.context_at[row, :, 0].tolist())
        free = [place for place in range(end + 1) if place not in held]
        embeddings[row, free] = torch.cat([parts.start[row], parts.texts[row, : len(free) - 1]])
    return embeddings


def _config(path: Path, settings: Settings, texts: ClassTexts, clip: Clip, fold: int) -> dict[str, Any]:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    chosen = settings.model_dump(mode="json")
    shaping = {key: value for key, value in chosen.items() if key not in NOT_DEFINING} | {"workers": 0}
    defining = [FORMAT_VERSION, sha256, shaping, texts.class_names, texts.texts, fold]
    return {
        "format_version": FORMAT_VERSION,
        "definition": hashlib.sha256(json.dumps(defining, sort_keys=True).encode()).hexdigest(),
        "imported": {"file": path.name, "sha256": sha256},
        "dataset": {"name": "", "path": "", "fingerprint": ""},  # the training clips are unknown
        "texts": {"name": texts.name, "sha256": texts.sha256},
        "fold": fold,
        "seed": 0,
        "clip": {
            "sha256": clip_identity(clip),
            "image_size": clip.image_size,
            "mean": list(clip.mean),
            "std": list(clip.std),
        },
        "settings": chosen,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }


def _write(
    folder: Path, config: dict[str, Any], texts: ClassTexts, epoch: int | None, notes: list[str]
) -> None:
    """Write the run except its weights; result.json, which marks it as finished, is written last."""
    by_class = dict(zip(texts.class_names, texts.texts, strict=True))
    write_json(folder / "classes.json", texts.class_names)
    write_json(folder / "texts.json", {"name": texts.name, "sha256": texts.sha256, "texts": by_class})
    write_atomically(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    result = {
        "selected": SELECTION,
        "measures": {},
        "epochs": {SELECTION: epoch},
        "notes": notes,
        "versions": versions(),
    }
    run = Run.open(folder)
    write_atomically(folder / "README.md", imported_card(run, result))
    run.finish(result)
