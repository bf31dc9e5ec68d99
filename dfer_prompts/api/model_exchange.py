"""Exchange of models: export of a run as one file, import of released checkpoints, the HuggingFace hub."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ..classes import load_class_set
from ..errors import InputError, system_errors, unknown
from ..llm.redaction import redact_environment
from ..versions.hub import HubFile, Pushed, check_repo
from ..versions.hub_requests import hub_requests
from ..versions.store import DescriptionStore
from ..workspace import Workspace
from .evaluate import finished_run
from .inputs import class_texts

if TYPE_CHECKING:
    from dfer_model.exchange.model_file import PretrainedModel
    from dfer_model.runs import Run


Format = Literal["onnx", "safetensors"]


@dataclass(frozen=True)
class Exported:
    """A run's model as files; `files` gives their sizes in bytes, the file to load first.

    `difference` is the largest absolute one between the logits of ONNX and PyTorch, on random frames.
    """

    run: str
    format: str
    path: Path
    files: dict[str, int]
    difference: float | None


@system_errors()
def export_model(
    run: Run | Path | str,
    format: Format = "onnx",  # noqa: A002 - the word of the command line
    out: Path | None = None,
    *,
    workspace: Workspace | None = None,
) -> Exported:
    """Write a finished run as one file, by default RUN.onnx or RUN.safetensors in the workspace.

    `run` is a run, its folder, its id or the beginning of one. An ONNX file takes uint8 frames (clips, T, 3,
    S, S) and returns `logits` and `probabilities`; class names and preprocessing are in its metadata, and it
    is kept only if its logits equal PyTorch's within 1e-4. A safetensors file is read by `from_pretrained`.
    Raises InputError if the run is not finished, WorkError if it cannot be exported.
    """
    place = workspace or Workspace.find()
    if format not in get_args(Format):
        raise unknown("format", format, get_args(Format))
    path = None if out is None else Path(out)
    if path is not None and path.suffix != f".{format}":
        raise InputError(f"--out {path}: the file's name must end in .{format}")
    found = finished_run(run, place)
    path = path or place.root / f"{found.id}.{format}"
    difference = None
    if format == "onnx":
        from dfer_model.exchange.onnx_export import export_onnx

        difference = export_onnx(found, path)
    else:
        from dfer_model.exchange.model_file import export_safetensors

        export_safetensors(found, path)
    written = [path, path.with_name(f"{path.name}.data")]
    files = {each.name: each.stat().st_size for each in written if each.is_file()}
    return Exported(found.id, format, path, files, difference)


@system_errors()
def import_checkpoint(
    file: Path | str,
    classes: str,
    *,
    descriptions: str | None = None,
    position: Literal["end", "middle", "front"] = "end",
    clip: str | None = None,
    fold: int = 1,
    workspace: Workspace | None = None,
) -> Run:
    """Import a released DFER-CLIP checkpoint as a finished run; a second import reuses it.

    `classes` is its class set, in DFER-CLIP's order; `descriptions` the set it was trained with, checked
    against the texts in the file, which take precedence; `position` is the place of the description among the
    contexts; `clip` is open_clip's name of its CLIP, by default ViT-B-32-quickgelu; `fold` is its test fold.
    Raises InputError for a file that is not such a checkpoint or does not fit.
    """
    from dfer_model.exchange.released_checkpoint import CLIP, import_run

    workspace = workspace or Workspace.find()
    names = load_class_set(classes).names
    texts = None
    if descriptions is not None:
        texts = class_texts(DescriptionStore(workspace).load(descriptions), names)
    return import_run(
        Path(file), workspace.runs, names, texts=texts, position=position, clip=clip or CLIP, fold=fold
    )


CARD, CONFIG, WEIGHTS = "README.md", "config.yaml", "model.safetensors"
RESULT = "result.json"
AS_THEY_ARE = ("classes.json", "texts.json", "metrics.jsonl", "confusion.png")
HUB = "hf://"
LARGEST = 16 * 2**30  # bytes of weights; CLIP's largest towers have a tenth of it
_SOURCE = re.compile(r"([^/@\s]+/[^/@\s]+)(?:@([A-Za-z0-9][A-Za-z0-9._/-]{0,199}))?")


def model_files(run: Run | Path | str, repo: str, *, workspace: Workspace | None = None) -> list[HubFile]:
    """The files that `push_model` would upload. Raises like it for the run."""
    check_repo(repo, "model")
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as temporary:
        return _listed(_written(finished_run(run, workspace or Workspace.find()), repo, Path(temporary)))


@system_errors()
def push_model(
    run: Run | Path | str, repo: str, *, private: bool = False, workspace: Workspace | None = None
) -> Pushed:
    """Upload a finished run with its card to the model `repo` ("user/name") in one commit, created if needed.

    `run` is a run, its folder, its id or the beginning of one. Raises InputError if the run is not finished,
    if a file contains a key of the environment, or if `private` is given and the model is public, and
    WorkError with the hub's message.
    """
    check_repo(repo, "model")
    found = finished_run(run, workspace or Workspace.find())
    with tempfile.TemporaryDirectory(prefix="dfer-prompts-") as temporary:
        paths = _written(found, repo, Path(temporary))
        stopped = "Check on the hub whether the commit arrived; the command can be repeated"
        with hub_requests(repo, stopped, "model") as api:
            from huggingface_hub import CommitOperationAdd

            url = str(api.create_repo(repo, private=private or None, exist_ok=True))
            before = api.model_info(repo)
            if private and not before.private:
                raise InputError(
                    f"{repo} exists and is public\nMake it private on the hub, or use another name"
                )
            commit = api.create_commit(
                repo,
                [CommitOperationAdd(path.name, path) for path in paths],
                commit_message=f"Run {found.id}",
                parent_commit=before.sha,
            )
            revision = str(commit.oid)
        return Pushed(repo, url, revision, _listed(paths))


@system_errors()
def from_pretrained(
    source: Path | str, *, device: str = "auto", workspace: Workspace | None = None
) -> PretrainedModel:
    """The model in `source`: a run's folder or id, a file of `export_model`, or "user/name[@revision]".

    The name of a model on the hub may begin with "hf://". Such a model is one safetensors file, stored in
    huggingface_hub's cache. Nothing in it is executed.
    Raises InputError if there is no such model or it is damaged, WorkError with the hub's message.
    """
    from dfer_model.exchange.model_file import load_pretrained
    from dfer_model.runs import find_run

    place, name = Path(source), str(source)
    if place.exists():
        return load_pretrained(place, device)
    if found := _SOURCE.fullmatch(name.removeprefix(HUB)):
        return load_pretrained(_downloaded(found[1], found[2]), device)
    if name.startswith(HUB):
        raise InputError(f"{name} is not a model on the hub\nGive hf://user/name or hf://user/name@revision")
    run = find_run((workspace or Workspace.find()).runs, str(source))
    return load_pretrained(run.folder, device)


def _written(run: Run, repo: str, folder: Path) -> list[Path]:
    """The files to upload, written to `folder`, the card first."""
    import yaml

    from dfer_model.evaluation.calibration import FILE as CALIBRATION
    from dfer_model.evaluation.calibration import read_calibration
    from dfer_model.exchange.model_file import export_safetensors, hub_card, portable
    from dfer_model.runs import Run

    card, config = folder / CARD, folder / CONFIG
    card.write_text(hub_card(run, repo), encoding="utf-8")
    shown = yaml.safe_dump(portable(run).config, sort_keys=False, allow_unicode=True)
    config.write_text(shown, encoding="utf-8")
    copied = [name for name in AS_THEY_ARE if (run.folder / name).is_file()]
    for name in copied:
        shutil.copyfile(run.folder / name, folder / name)
    shutil.copyfile(run.folder / RESULT, folder / RESULT)
    texts = [name for name in (*copied, RESULT) if not name.endswith(".png")]
    for path in (card, config, *(folder / name for name in texts)):
        text = path.read_text(encoding="utf-8", errors="replace")
        if redact_environment(text) != text:
            raise InputError(
                f"{path.name} of {run.id} contains a key that is set in the environment; nothing was uploaded"
            )
    export_safetensors(run, folder / WEIGHTS)
    # Its digests are of the uploaded files, which differ from those of the run.
    Run.open(folder).finish(run.result)
    files = [card, config, *(folder / name for name in (*copied, RESULT))]
    if calibrated := read_calibration(run):
        files.append(folder / CALIBRATION)
        files[-1].write_text(replace(calibrated, clip_ids=()).as_json(), encoding="utf-8")
    return [*files, folder / WEIGHTS]


def _listed(paths: Sequence[Path]) -> list[HubFile]:
    listed = []
    for path in paths:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        listed.append(HubFile(path.name, path.stat().st_size, sha256))
    return listed


def _downloaded(repo: str, revision: str | None) -> Path:
    """The model's file in the cache, downloaded after its size was checked."""
    check_repo(repo, "model")
    with hub_requests(repo, "Nothing was loaded", "model") as api:
        commit = str(api.model_info(repo, revision=revision).sha)
        found = api.get_paths_info(repo, [WEIGHTS], revision=commit)
        size = getattr(found[0], "size", None) if found else None
        if size is None:
            raise InputError(f"{repo} holds no model of dfer-prompts: it has no file {WEIGHTS}")
        if size > LARGEST:
            raise InputError(f"{repo}: {WEIGHTS} has {size / 2**30:.0f} GiB; the maximum is {LARGEST >> 30}")
        return Path(api.hf_hub_download(repo, WEIGHTS, revision=commit))
