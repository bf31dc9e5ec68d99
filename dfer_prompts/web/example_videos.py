"""The files of the example clips, which several visitors share and no prediction deletes."""

from __future__ import annotations

import secrets
from pathlib import Path
from threading import Lock

from gradio.processing_utils import hash_file

from ..api.example_clips import write_example_clip


class ExampleVideos:
    """Example clips in `files`, the folder of uploads, each drawn when it is first shown."""

    def __init__(self, files: Path) -> None:
        self._files, self._lock = files.resolve(), Lock()
        self._paths: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """The file of the example `name`. Raises InputError for an unknown name.

        It is where Gradio would copy it to (a folder named by its content), so that there is no copy.
        """
        with self._lock:
            found = self._paths.get(name)
            if found is None or not found.is_file():  # Gradio deletes old files
                drawn = write_example_clip(name, self._files / f"{secrets.token_hex(16)}.webm")
                found = self._files / hash_file(drawn) / f"{name}.webm"
                found.parent.mkdir(exist_ok=True)
                drawn.replace(found)
                self._paths[name] = found
            return found

    def __contains__(self, path: Path) -> bool:
        return path in self._paths.values()
