"""What a person is told when a server is not reached, or refuses a request: one line each."""

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

SHOWN_OF_A_MESSAGE = 200  # characters of a server's own words


def connection_error(endpoint: Endpoint, error: openai.APIConnectionError) -> str:
    """One line: who did not answer, and why as far as the operating system tells."""
    url, via = endpoint.base_url, endpoint.via
    if isinstance(error, openai.APITimeoutError):
        return f"{url} did not answer in time{via}"
    if (tls := next((each for each in _below(error) if isinstance(each, ssl.SSLError)), None)) is not None:
        return f"no TLS connection to {url} ({_tls_words(tls)}){via}"
    if not is_nobody_there(error):
        return f"{url} broke off the connection ({_system_words(error)}){via}"
    return f"nothing answers at {url} ({_system_words(error)}){via}"


def is_nobody_there(error: openai.APIConnectionError) -> bool:
    """Whether there was no connection at all (refused, no such host, no route), not one that broke off."""
    if isinstance(error, openai.APITimeoutError):
        return False
    broke_off = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
    return any(isinstance(each, OSError) and not isinstance(each, broke_off) for each in _below(error))


def access_refused(endpoint: Endpoint, error: openai.APIStatusError) -> str:
    """One line for 401 and 403: a missing or wrong key, or what else the server gives as its reason.

    Of a wrong key the server's own words are left out: they may quote a part of it.
    """
    body = body_of(endpoint, error)
    if not is_about_the_key(error.status_code, body, key_sent=endpoint.api_key is not None):
        return status_error(endpoint, error)
    if endpoint.withheld:
        return f"{endpoint.base_url} wants a key, and only {endpoint.named_by} names it: none is sent here"
    if endpoint.api_key is None:
        return f"{endpoint.base_url} wants a key: set OPENAI_API_KEY"
    return f"{endpoint.base_url} does not accept the key in OPENAI_API_KEY"


def status_error(endpoint: Endpoint, error: openai.APIStatusError) -> str:
    """One line for any status: its number and the server's own words."""
    words = server_words(endpoint, error)
    return f"{endpoint.base_url} answers {error.status_code}{f': {words}' if words else ''}{endpoint.via}"


def body_of(endpoint: Endpoint, error: openai.APIError) -> Any:
    """The body of an error, parsed where it is JSON, without the key."""
    if isinstance(error, openai.APIStatusError):
        return endpoint.body(error.response.text)
    return endpoint.redact(error.body)


def server_words(endpoint: Endpoint, error: openai.APIError) -> str:
    """The server's own words in an error as one line, without the key; of a page its title."""
    body = body_of(endpoint, error)
    return shortened(words_of(body) or (json.dumps(body) if body and isinstance(body, dict | list) else ""))


def shortened(text: str) -> str:
    """The text as one line without control characters, and not more of it than a person reads."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= SHOWN_OF_A_MESSAGE else line[: SHOWN_OF_A_MESSAGE - 3] + "..."


def _tls_words(error: ssl.SSLError) -> str:
    """Why there is no TLS connection; the number of such an error is not the operating system's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message}; SSL_CERT_FILE names the certificates to trust"
    return str(error.reason or "TLS failed").replace("_", " ").lower()


def _system_words(error: BaseException) -> str:
    """What the operating system or a proxy said, from below the exceptions of the HTTP library."""
    words = ""
    for below in _below(error):
        if isinstance(below, OSError) and below.strerror:
            number = below.errno or 0  # negative for a failed name lookup; asyncio's own words hide the cause
            words = os.strerror(number) if number > 0 else below.strerror
        elif type(below).__name__ == "ProxyError":  # of a library that is another from version to version
            words = words or f"the proxy answers {shortened(str(below))}"
    return words or "no reason given"


def _below(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that caused it; of several at once the first."""
    below: BaseException | None = error
    while below is not None:
        yield below
        causes = below.exceptions if isinstance(below, BaseExceptionGroup) else (None,)
        below = causes[0] or below.__cause__ or below.__context__
