"""`dfer-prompts` in processes that can be killed, many at once, forked from one that has imported everything.

    with forks() as processes:
        process = processes.start(folder, "generate", "--classes", "dfew")
        process.kill()
        process.wait()

Run as a program, this is that process: it takes its orders as JSON lines on standard input.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY = "ready\n"


@dataclass(frozen=True)
class Forked:
    """One run of the command line, in a process of its own."""

    forks: Forks
    pid: int
    said: Path

    def kill(self) -> None:
        """SIGKILL. A process that has ended keeps its number until it is waited for: nothing else is hit."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """The exit status, or the signal as a negative number."""
        status: int = self.forks.order(wait=self.pid)
        return status

    def text(self) -> str:
        """What it has written on standard output and standard error."""
        return self.said.read_text(encoding="utf-8")


class Forks:
    """The process from which the others come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._count = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(
        self, folder: Path, *arguments: str, file_limit: int | None = None, **environment: str
    ) -> Forked:
        """Run `dfer-prompts ARGUMENTS` in a folder, writing what it says beside the folder.

        `file_limit` is the size in bytes past which it can write no file; `environment` is added to its own.
        """
        self._count += 1
        said = folder.with_name(f"{folder.name}.said{self.pid}-{self._count}")
        pid = self.order(
            folder=str(folder),
            arguments=arguments,
            said=str(said),
            file_limit=file_limit,
            environment=environment,
        )
        return Forked(self, pid, said)

    def order(self, **order: Any) -> int:
        """Send an order, and return the number that answers it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def forks(*before: str, modules: Sequence[str] = ()) -> Iterator[Forks]:
    """The process, run by the command `before` if one is given, until the block ends.

    It imports the `modules` once for all.
    """
    command = [*before, sys.executable, __file__, *modules]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == READY, "it did not start"  # the command `before` is done by then
        yield Forks(process)
        process.stdin.close()


def _child(
    folder: str, arguments: Sequence[str], said: str, file_limit: int | None, environment: dict[str, str]
) -> None:
    from dfer_prompts.cli import main

    handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    os.environ |= environment
    os.chdir(folder)
    sys.argv = ["dfer-prompts", *arguments]
    try:
        main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    else:
        status = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _serve_orders() -> None:
    import openai.resources.chat  # noqa: F401
    import rich.table  # noqa: F401

    import dfer_prompts.cli.llm_progress
    import dfer_prompts.generation.generate  # noqa: F401

    for module in sys.argv[1:]:
        importlib.import_module(module)
    print(READY, end="", flush=True)  # noqa: T201
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if not answer:
                try:
                    _child(**order)
                finally:  # a traceback is said, and the child takes no orders
                    traceback.print_exc()
                    sys.stderr.flush()
                    os._exit(70)
        print(answer, flush=True)  # noqa: T201


if __name__ == "__main__":
    _serve_orders()
