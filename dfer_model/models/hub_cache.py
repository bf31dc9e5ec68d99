"""Files of pretrained CLIPs on the HuggingFace hub and in its local cache, without open_clip or torch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub


def on_the_hub(record: Mapping[str, Any], usual_names: Sequence[str]) -> tuple[str, list[str]]:
    """The repository of a pretrained tag ("" if it has none) and the possible names of its file.

    `record` is open_clip's entry for the tag, `usual_names` open_clip's names for weight files.
    """
    repository, _, file_name = record.get("hf_hub", "").rpartition("/")
    return repository, [file_name] if file_name else list(usual_names)


def cached(record: Mapping[str, Any], usual_names: Sequence[str]) -> Path | None:
    """The file of a pretrained tag in the cache, None if it is not there. Sends no request."""
    repository, candidates = on_the_hub(record, usual_names)
    for candidate in candidates if repository else ():
        path = huggingface_hub.try_to_load_from_cache(repository, candidate)
        if isinstance(path, str):
            return Path(path)
    return None


def reach(repository: str, file_name: str) -> None:
    """Send one request to the hub. Raises if there is no response; an HTTP error is a response."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    url = huggingface_hub.hf_hub_url(repository, file_name)
    with contextlib.suppress(huggingface_hub.errors.HfHubHTTPError):
        huggingface_hub.get_hf_file_metadata(url, timeout=10)
