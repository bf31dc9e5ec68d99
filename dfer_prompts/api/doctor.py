"""The checks of `doctor`: the machine and the workspace."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import DferError, InputError
from ..workspace import Workspace

if TYPE_CHECKING:
    from dfer_model.machine import Finding

ANSWER_S = 3.0  # timeout for a server to list its models
NO_MODEL = (
    "Set OPENAI_API_KEY, or start a local server (`ollama serve`) and give base_url in dfer.yaml; "
    "generate --source facs needs none"
)
YUNET = "YuNet finds more faces: predict --faces yunet downloads it once, or set face_model in dfer.yaml"
LITTLE = 5 * 2**30  # bytes; a training of ViT-B/32 stores two or three files of 0.6 GB each


def look(workspace: Workspace) -> Iterator[Finding]:
    """The findings of all checks in order; nothing is downloaded, written or paid for."""
    from dfer_model.machine import guarded, machine_findings

    yield from machine_findings()
    yield from workspace_findings(workspace)
    settings = settings_finding(workspace)
    yield settings
    if settings.state != "wrong":
        yield from guarded("language model", lambda: [endpoint_finding(workspace)])
        yield from guarded("faces", lambda: [face_finding(workspace)])
        yield from guarded("dataset", lambda: dataset_findings(workspace))
    yield slurm_finding()


def workspace_findings(workspace: Workspace) -> Iterator[Finding]:
    """Whether its folder is writable, and the free disk space."""
    from dfer_model.machine import GIB, Finding

    root = workspace.root
    try:
        with tempfile.TemporaryFile(dir=root):
            pass
        yield Finding("workspace", "ok", str(root))
    except OSError as error:
        says = f"{root} cannot be written to: {error.strerror}"
        yield Finding("workspace", "wrong", says, "Give a writable folder: --workspace DIR", needed=True)
    free = shutil.disk_usage(root).free
    says = f"{free / GIB:.0f} GiB free"
    if free < LITTLE:
        advice = f"Free disk space: a training of ViT-B/32 may need {LITTLE / GIB:.0f} GiB"
        yield Finding("disk", "wrong", says, advice)
    else:
        yield Finding("disk", "ok", says)


def settings_finding(workspace: Workspace) -> Finding:
    """Whether `dfer.yaml` exists and is valid."""
    from dfer_model.machine import Finding

    try:
        given = sorted(workspace.defaults.model_fields_set)
    except InputError as error:
        says, _, advice = str(error).partition("\n")
        return Finding("dfer.yaml", "wrong", says, advice or "Correct it there", needed=True)
    if not (workspace.root / "dfer.yaml").is_file():
        return Finding("dfer.yaml", "ok", "none; it is needed only for your own defaults")
    return Finding("dfer.yaml", "ok", f"sets {', '.join(given)}" if given else "sets nothing")


def endpoint_finding(workspace: Workspace) -> Finding:
    """Whether a language model is configured and its server responds.

    A key is never shown, and never sent to an address that only `dfer.yaml` names.
    """
    from dfer_model.machine import Finding

    subject, defaults = "language model", workspace.defaults
    if not any([os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY"), defaults.base_url]):
        return Finding(subject, "missing", "none is configured", NO_MODEL)
    from ..llm.endpoint import choice_of, listed_models, resolve_server, unknown_model, url_to_confirm

    configured = defaults.model or ""
    try:
        server = resolve_server(workspace, probing=True)
        models = listed_models(server, retries=0, timeout=ANSWER_S)
        if configured and models and configured not in models:
            raise unknown_model(replace(server, model=configured), models)
    except DferError as error:
        says, _, advice = str(error).partition("\n")
        return Finding(subject, "wrong", says, advice)
    key = "with a key" if server.api_key else "without a key"
    if server.withheld and url_to_confirm(workspace):
        key += ", which generate sends only after you have confirmed the address"
    has = f"it has {choice_of(models, configured)}" if models else "it lists no models: give one with --model"
    return Finding(subject, "ok", f"{server.base_url} answers {key}; {has}")


def face_finding(workspace: Workspace) -> Finding:
    """The detector of `--faces auto`, and whether its file can be read."""
    from dfer_model.machine import Finding
    from dfer_model.video.detect import YuNet, cache_folder, choose_detector

    try:
        detector, _ = choose_detector("auto", workspace.face_model)
    except DferError as error:
        mend = (
            "Correct face_model in dfer.yaml, or leave it out" if workspace.face_model else "Remove the file"
        )
        return Finding("faces", "wrong", str(error).partition("\n")[0], f"{mend}. {YUNET}")
    if isinstance(detector, YuNet):
        origin = "set in dfer.yaml" if workspace.face_model else "downloaded before"
        return Finding("faces", "ok", f"--faces auto uses YuNet: {detector.model}, {origin}")
    says = f"no file of YuNet in {cache_folder()}: --faces auto uses Haar, which finds frontal faces only"
    return Finding("faces", "missing", says, YUNET)


def dataset_findings(workspace: Workspace) -> Iterator[Finding]:
    """Each dataset of `dfer.yaml`, and whether its folder can be opened. URLs are not accessed."""
    from dfer_model.machine import Finding

    from .inputs import is_url, open_packed

    for name, place in workspace.defaults.datasets.items():
        subject = f"dataset {name}"
        if is_url(place):
            yield Finding(subject, "ok", f"{place}, which was not accessed")
            continue
        try:
            clips = open_packed(workspace.dataset(name))
        except (DferError, OSError) as error:
            says, _, advice = str(error).partition("\n")
            yield Finding(subject, "wrong", says, advice or "Pack it: dfer-prompts data prepare --help")
        else:
            says = f"{len(clips.clip_ids)} clips of {len(clips.class_names)} classes in {clips.path}"
            yield Finding(subject, "ok", says)


def slurm_finding() -> Finding:
    """Whether Slurm is available."""
    from dfer_model.machine import Finding

    found = shutil.which("sbatch")
    if found:
        return Finding("Slurm", "ok", found)
    return Finding("Slurm", "missing", "no sbatch on this machine", "Only --engine slurm needs it")
