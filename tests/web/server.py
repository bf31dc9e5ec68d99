"""A server of its own process for a test, which tells whom it called, and the workspace that it shows."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dfer_prompts import DescriptionStore, Workspace, edited

from ..stored_comparisons import store

# Text that would do something wherever it is taken for markup, a template or a link; of one class each.
HOSTILE = (
    "<script>window.stolen = 1</script> lips",
    "<img src=x onerror='window.stolen = 2'> eyes",
    "[a frown](http://elsewhere.example/) ![x](http://elsewhere.example/x.png) **bold**",
    "${window.stolen = 3} {{constructor.constructor('window.stolen = 4')()}} brows",
)
# Python reads it when it starts: every address that is looked up or called is a line in a file.
WATCHED = """
import os, sys
def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        with open(os.environ["CALLED"], "a") as file:
            print(event, args[1] if event == "socket.connect" else args[0], file=file)
sys.addaudithook(note)
"""


@dataclass(frozen=True)
class Server:
    """`url` ends in a slash; `files` is the folder that has its temporary folder in it."""

    url: str
    process: subprocess.Popen[str]
    workspace: Path
    files: Path
    called_file: Path

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].strip("/"))

    def called(self) -> set[str]:
        """What was looked up or called that is not this computer."""
        lines = self.called_file.read_text().splitlines() if self.called_file.exists() else []
        here = ("'127.0.0.1'", "'::1'", " 127.0.0.1", " localhost", " ::1", " None", "socket.connect /")
        return {line for line in lines if not any(each in line for each in here)}

    def stop(self) -> tuple[int, str]:
        """Ctrl-C: the exit status, and what was said on standard error."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def fill(folder: Path) -> Path:
    """A workspace with a version of hostile text, a stored comparison, and secrets beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    versions = DescriptionStore(Workspace(folder))
    v1 = versions.load("v1").top(2)
    texts = zip(v1.class_names, (*HOSTILE, *("a mouth",) * len(v1.class_names)), strict=False)
    lines = [json.dumps({name: [text, f"{name} eyes"]})[1:-1] for name, text in texts]
    versions.save(edited(v1, "\n".join(lines)), "hostile")
    store(folder, ["v1@2", "v1@4"], ["control:scrambled"])
    (folder / ".env").write_text("SECRET=1\n")
    return folder


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(workspace: Path, *options: str, **environment: str) -> Iterator[Server]:
    """`dfer-prompts serve` on a free port of loopback, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "watch").mkdir()
        (here / "watch" / "sitecustomize.py").write_text(WATCHED)
        (here / "files").mkdir()
        path = os.pathsep.join([str(here / "watch"), *filter(None, [os.environ.get("PYTHONPATH")])])
        told = {"PYTHONPATH": path, "CALLED": str(here / "called"), "TMPDIR": str(here / "files")}
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "dfer_prompts", "serve", "--port", str(port), *options],
            cwd=workspace,
            env={**os.environ, **told, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            server = Server(f"http://127.0.0.1:{port}/", process, workspace, here / "files", here / "called")
            _wait(server)
            yield server
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


def _wait(server: Server) -> None:
    for _ in range(600):
        if server.process.poll() is not None:
            raise AssertionError(server.process.stderr.read() if server.process.stderr else "")
        try:
            with urllib.request.urlopen(server.url, timeout=30):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not answer")
