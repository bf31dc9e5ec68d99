"""A server in a process of its own that logs outgoing connections, and its workspace."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dfer_prompts import DescriptionStore, Workspace, edited

from ..prompts.forks import Forked, Forks, forks
from ..stored_comparisons import store

# Text that is harmful if it is taken for markup, a template or a link; one per class.
HOSTILE = (
    "<script>window.stolen = 1</script> lips",
    "<img src=x onerror='window.stolen = 2'> eyes",
    "[a frown](http://elsewhere.example/) ![x](http://elsewhere.example/x.png) **bold**",
    "${window.stolen = 3} {{constructor.constructor('window.stolen = 4')()}} brows",
)
# Python imports it at start: it writes a line per looked-up or connected address into the file CALLED.
SITECUSTOMIZE = """
import os, sys
def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo") and "CALLED" in os.environ:
        with open(os.environ["CALLED"], "a") as file:
            print(event, args[1] if event == "socket.connect" else args[0], file=file)
sys.addaudithook(note)
"""


@dataclass(frozen=True)
class Server:
    """A running server. `url` ends in a slash; `files` holds its temporary folder."""

    url: str
    process: Forked
    workspace: Path
    files: Path
    called_file: Path

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].strip("/"))

    def called(self) -> set[str]:
        """Addresses of other computers that were looked up or connected."""
        lines = self.called_file.read_text().splitlines() if self.called_file.exists() else []
        here = ("'127.0.0.1'", "'::1'", " 127.0.0.1", " localhost", " ::1", " None", "socket.connect /")
        return {line for line in lines if not any(each in line for each in here)}

    def stop(self) -> tuple[int, str]:
        """Send Ctrl-C; returns the exit status and the output."""
        os.kill(self.process.pid, signal.SIGINT)
        return self.process.wait(), self.process.text()


def fill(folder: Path) -> Path:
    """A workspace with a version of hostile text, a stored comparison and a secret file."""
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
def server_processes() -> Iterator[Forks]:
    """A process that has imported the page and torch, and starts servers until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(SITECUSTOMIZE)
        path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        modules = ["dfer_prompts.web.server", "dfer_prompts.api.video_view", "dfer_model.video.timeline"]
        with forks("env", f"PYTHONPATH={path}", modules=modules) as started:
            yield started


@contextmanager
def serving(workspace: Path, *options: str, processes: Forks | None = None) -> Iterator[Server]:
    """`dfer-prompts serve` on a free port of loopback, until the block ends."""
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if processes is None:
            processes = stack.enter_context(server_processes())
        (here / "files").mkdir()
        port = free_port()
        environment = {"CALLED": str(here / "called"), "TMPDIR": str(here / "files")}
        process = processes.start(workspace, "serve", "--port", str(port), *options, **environment)
        try:
            server = Server(f"http://127.0.0.1:{port}/", process, workspace, here / "files", here / "called")
            _wait(server)
            yield server
        finally:
            process.end()


def _wait(server: Server) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(server.url, timeout=30):
                return
        except OSError:
            if "Error" in server.process.text():
                break
            time.sleep(0.1)
    raise AssertionError(f"the server did not answer\n{server.process.text()}")
