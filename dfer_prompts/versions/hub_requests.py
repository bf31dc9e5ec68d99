"""Requests to the HuggingFace hub, with its errors as one-sentence messages.

The address is `HF_ENDPOINT`, else the public hub; the token is the one that huggingface_hub finds
(`HF_TOKEN`, or `hf auth login`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from .. import __version__
from ..errors import DferError, InputError, Interrupted, WorkError
from ..llm.network import certificates, environment_proxies, proxy_for
from ..llm.redaction import redact_environment

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PUBLIC = "https://huggingface.co"
_TOKEN = "Set HF_TOKEN to your token, or log in: hf auth login"  # noqa: S105 - a message, not a token
_CONNECTION_ERRORS = (ConnectionError, TimeoutError)


@contextmanager
def hub_requests(what: str, when_stopped: str, kind: str = "dataset") -> Iterator[HfApi]:
    """The hub's client; its errors inside the block become one message about `what`, without the token.

    `kind` is dataset or model. The hub is that of HF_ENDPOINT, else the public one: no file of a workspace
    can name another hub, which would receive the token.

    Raises InputError if the repository or revision does not exist, or if a proxy or the certificates of the
    environment cannot be used; WorkError if the hub or the connection fails; Interrupted on Ctrl-C; errors of
    the operating system are passed on.
    """
    certificates()
    for proxy in environment_proxies().values():  # the hub's client builds all proxies
        proxy.check()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    # huggingface_hub reads the variable only when it is imported.
    endpoint = (os.environ.get("HF_ENDPOINT") or PUBLIC).rstrip("/")
    # Its base class is the HTTP library's, which differs between versions of huggingface_hub.
    failures: tuple[type[Exception], ...] = (
        OSError,
        *cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__),
    )
    try:
        with _without_bars():
            yield HfApi(endpoint=endpoint, library_name="dfer-prompts", library_version=__version__)
    except DferError:
        raise
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped: {when_stopped}") from None
    except failures as error:
        if getattr(error, "errno", None) is not None and not isinstance(error, _CONNECTION_ERRORS):
            raise  # of a file
        raise _as_error(error, what, endpoint, kind) from None
    except (LookupError, TypeError, ValueError, AssertionError) as error:
        raise WorkError(f"{endpoint} gave an unexpected answer about {what}: {_one_line(error)}") from None


def _as_error(error: Exception, what: str, endpoint: str, kind: str) -> DferError:
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{what}: the {kind} has no such revision")
    if status == 404 and not isinstance(error, EntryNotFoundError):
        return InputError(f"there is no {kind} {what} at {endpoint}, or it is private\n{_TOKEN}")
    if status is None:
        return WorkError(_connection_message(error, endpoint))
    reason = getattr(error, "server_message", None)
    answered = f"{endpoint} answered {status} about {what}" + (f": {_one_line(reason)}" if reason else "")
    return WorkError(_reasons(what, endpoint, kind).get(status, answered))


def _connection_message(error: Exception, endpoint: str) -> str:
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so the hub is not used"
    proxy = proxy_for(endpoint)
    via = f", through the proxy {proxy}" if proxy else ""
    message = f"{endpoint} cannot be reached, or closed the connection: {_one_line(error)}{via}"
    return f"{message}\nTry again; HF_ENDPOINT sets another hub"


def _reasons(what: str, endpoint: str, kind: str) -> dict[int, str]:
    changed = f"{what} was changed during the operation\nThe same command can be run again"
    return {
        401: f"{endpoint} requires a token for {what}, or there is no such {kind}\n{_TOKEN}",
        403: f"the token has no permission for {what}, or its owner has to grant access\n{_TOKEN}",
        404: changed,
        409: changed,
        412: changed,
        429: f"{endpoint} received too many requests; run the same command again later",
    }


def _one_line(text: object) -> str:
    line = " ".join(str(text).split()) or type(text).__name__
    return redact_environment("".join(filter(str.isprintable, line)))[:200]


@contextmanager
def _without_bars() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
