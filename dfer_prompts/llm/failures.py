"""One-line messages for servers that cannot be reached or reject a request."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import openai

from .refusals import is_about_the_key, words_of

if TYPE_CHECKING:
    from .endpoint import Endpoint

SHOWN_OF_A_MESSAGE = 200  # characters of a server's message


def connection_error(endpoint: Endpoint, error: openai.APIConnectionError) -> str:
    """One line: the server that did not answer, and the reason given by the operating system."""
    url, via = endpoint.base_url, endpoint.via
    if isinstance(error, openai.APITimeoutError):
        return f"{url} did not answer in time{via}"
    if (tls := next((each for each in _below(error) if isinstance(each, ssl.SSLError)), None)) is not None:
        return f"no TLS connection to {url} ({_tls_words(tls)}){via}"
    if not is_nobody_there(error):
        return f"{url} closed the connection ({_system_words(error)}){via}"
    return f"no server at {url} ({_system_words(error)}){via}"


def is_nobody_there(error: openai.APIConnectionError) -> bool:
    """Whether no connection was made (refused, no such host, no route), rather than one closed early."""
    if isinstance(error, openai.APITimeoutError):
        return False
    broke_off = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
    return any(isinstance(each, OSError) and not isinstance(each, broke_off) for each in _below(error))


def access_refused(endpoint: Endpoint, error: openai.APIStatusError) -> str:
    """One line for 401 and 403: a missing or wrong key, or the server's reason.

    For a wrong key the server's message is left out, because it may quote a part of the key.
    """
    body = body_of(endpoint, error)
    if not is_about_the_key(error.status_code, body, key_sent=endpoint.api_key is not None):
        return status_error(endpoint, error)
    if endpoint.withheld:
        return f"{endpoint.base_url} requires a key, but only {endpoint.named_by} names it, so none is sent"
    if endpoint.api_key is None:
        return f"{endpoint.base_url} requires a key: set OPENAI_API_KEY"
    return f"{endpoint.base_url} rejects the key in OPENAI_API_KEY"


def status_error(endpoint: Endpoint, error: openai.APIStatusError) -> str:
    """One line for any status: its number and the server's message."""
    words = server_words(endpoint, error)
    return f"{endpoint.base_url} answers {error.status_code}{f': {words}' if words else ''}{endpoint.via}"


def body_of(endpoint: Endpoint, error: openai.APIError) -> Any:
    """The body of an error without the key, parsed if it is JSON."""
    if isinstance(error, openai.APIStatusError):
        return endpoint.body(error.response.text)
    return endpoint.redact(error.body)


def server_words(endpoint: Endpoint, error: openai.APIError) -> str:
    """The server's error message as one line, without the key; for an HTML page its title."""
    body = body_of(endpoint, error)
    return shortened(words_of(body) or (json.dumps(body) if body and isinstance(body, dict | list) else ""))


def shortened(text: str) -> str:
    """The text as one line of limited length, without control characters."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= SHOWN_OF_A_MESSAGE else line[: SHOWN_OF_A_MESSAGE - 3] + "..."


def _tls_words(error: ssl.SSLError) -> str:
    """Why there is no TLS connection; the errno of such an error is not the operating system's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message}; set the certificates to trust in SSL_CERT_FILE"
    return str(error.reason or "TLS failed").replace("_", " ").lower()


def _system_words(error: BaseException) -> str:
    """The message of the operating system or a proxy, from the cause of the HTTP library's exception."""
    words = ""
    for below in _below(error):
        if isinstance(below, OSError) and below.strerror:
            number = below.errno or 0  # negative for a failed name lookup; asyncio's message hides the cause
            words = os.strerror(number) if number > 0 else below.strerror
        elif type(below).__name__ == "ProxyError":  # of a library that differs between versions
            words = words or f"the proxy answers {shortened(str(below))}"
    return words or "no reason given"


def _below(error: BaseException) -> Iterator[BaseException]:
    """An exception and its causes; of an exception group the first."""
    below: BaseException | None = error
    while below is not None:
        yield below
        causes = below.exceptions if isinstance(below, BaseExceptionGroup) else (None,)
        below = causes[0] or below.__cause__ or below.__context__
