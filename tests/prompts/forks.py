"""`dfer-prompts` in processes that can be killed, forked from one process that has imported everything.

    with forks() as processes:
        process = processes.start(folder, "generate", "--classes", "dfew")
        process.kill()
        process.wait()

Run as a program, this file is that process. It reads orders as JSON lines from standard input.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY = "ready\n"


@dataclass
class Forked:
    """One run of the command line, in its own process."""

    forks: Forks
    pid: int
    output: Path
    ended: bool = False

    def kill(self) -> None:
        """Send SIGKILL. The process keeps its id until `wait`, so no other process can be hit."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """The exit status, or the signal as a negative number."""
        self.ended = True
        return self.forks.order(wait=self.pid)

    def end(self) -> None:
        """Kill the process unless it was waited for."""
        if not self.ended:
            self.kill()
            self.wait()

    def text(self) -> str:
        """What it has written on standard output and standard error."""
        return self.output.read_text(encoding="utf-8")


class Forks:
    """The process from which the others are forked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._count = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(
        self, folder: Path, *arguments: str, file_limit: int | None = None, **environment: str
    ) -> Forked:
        """Run `dfer-prompts ARGUMENTS` in a folder; its output goes to a file beside the folder.

        `file_limit` is the largest file in bytes that it can write; `environment` adds variables.
        """
        self._count += 1
        output = folder.with_name(f"{folder.name}.output{self.pid}-{self._count}")
        output.touch()
        pid = self.order(
            folder=str(folder),
            arguments=arguments,
            output=str(output),
            file_limit=file_limit,
            environment=environment,
        )
        return Forked(self, pid, output)

    def run(self, *command: str) -> int:
        """Run another program, and return its exit status."""
        return self.order(run=command)

    def order(self, **order: Any) -> int:
        """Send an order, and return the number that answers it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def forks(*before: str, modules: Sequence[str] = ()) -> Iterator[Forks]:
    """Start the process, with the command `before` in front of it, and stop it when the block ends.

    It imports the `modules` once for all runs.
    """
    command = [*before, sys.executable, __file__, *modules]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == READY, "it did not start"  # the command `before` is done by then
        yield Forks(process)
        process.stdin.close()


def _child(
    folder: str, arguments: Sequence[str], output: str, file_limit: int | None, environment: dict[str, str]
) -> None:
    from dfer_prompts.cli import main

    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    os.environ |= environment
    tempfile.tempdir = None  # the environment may name another folder than that of the parent
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
    from dfer_prompts.cli.app import command_tree

    for module in sys.argv[1:]:
        importlib.import_module(module)
    command_tree()
    print(READY, end="", flush=True)  # noqa: T201
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        elif "run" in order:
            answer = subprocess.run(order["run"], stdout=sys.stderr, check=False).returncode
        else:
            answer = os.fork()
            if not answer:
                try:
                    _child(**order)
                finally:  # print the traceback, and do not read orders in the child
                    traceback.print_exc()
                    sys.stderr.flush()
                    os._exit(70)
        print(answer, flush=True)  # noqa: T201


if __name__ == "__main__":
    _serve_orders()
