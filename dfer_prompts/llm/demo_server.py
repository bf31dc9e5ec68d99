"""Start and stop the server of the demo language model, which `--model demo` selects.

The server is another process, so that descriptions load neither the model nor what it needs.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import WorkError

if TYPE_CHECKING:
    from .endpoint import Endpoint

_PROGRAM = "dfer_model.synthetic.demo_lm.server"
_START_S = 60.0


@contextmanager
def reachable(endpoint: Endpoint) -> Iterator[Endpoint]:
    """The endpoint with an address to connect to: the demo model's server runs until the block ends.

    Other endpoints are returned unchanged. Raises WorkError if the server does not start.
    """
    if not endpoint.is_demo:
        yield endpoint
        return
    # Modules are found where this process finds them.
    code = f"import sys; sys.path[:] = {sys.path!r}; from {_PROGRAM} import main; main(['--until-eof'])"
    command = [sys.executable, "-P", "-c", code]
    with subprocess.Popen(  # noqa: S603 - this interpreter with a constant program
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches only this process, which ends the server
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        slow = threading.Timer(_START_S, process.kill)
        slow.start()
        try:
            address = process.stdout.readline().strip()
            slow.cancel()
            if not address:
                process.kill()
                last = process.stderr.read().strip().rpartition("\n")[2]
                raise WorkError(f"the demo language model did not start{': ' if last else ''}{last}")
            yield replace(endpoint, address=address)
        finally:
            slow.cancel()
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
