"""Error bodies of servers, and one-line messages for servers that reject a request or cannot be reached.

OpenAI sends `{"error": {"message", "param", "code"}}`, FastAPI `{"detail": [{"loc", "msg"}]}`, Mistral the
same inside `message`, Gemini a list of OpenAI's form, a router the message of the server behind it as text in
`metadata.raw`, and a proxy an HTML page.
"""

from __future__ import annotations

import html
import json
import os
import re
import ssl
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from .endpoint import Endpoint

MOST_DEPTH = 8
MOST_ITEMS = 3  # shown of a list of errors
_WORDS = (
    "message",
    "msg",
    "detail",
    "details",
    "errors",
    "error_message",
    "error_msg",
    "description",
    "title",
)
_HEADINGS = re.compile(r"<(?:title|h1)\b[^<>]*>([^<]*)", re.IGNORECASE)
_READ_OF_A_PAGE = 4000  # characters
MOST_CHARACTERS = 2000  # of a message that are read and searched
SHOWN_OF_A_MESSAGE = 200  # characters of a server's message

_KEY_CODES = ("invalid_api_key", "invalid_authentication", "missing_api_key", "no_api_key")
_KEY_WORDS = re.compile(
    r"\b(?:invalid|incorrect|wrong|bad|missing|malformed|expired|revoked|unknown|no|without|not|"
    r"provided?|requires?d?|needs?|send|set)\b"
    r"(?:\W+\w+){0,4}?\W+(?:api[ _-]?key|key|token|credentials?|authorization(?: header)?)\b"
    r"|\bapi[ _-]?key\b\W+(?:\w+\W+){0,3}?"
    r"(?:invalid|incorrect|wrong|missing|malformed|expired|revoked|required|not\W+valid)\b",
    re.IGNORECASE,
)
_NO_REASON = re.compile(  # messages without information beyond the status
    r"\W*(?:(?:an html page|error|http|401)\W*)*"
    r"(?:unauthori[sz]ed|not authenticated|authentication (?:failed|required|error)|"
    r"authorization required)?\W*",
    re.IGNORECASE,
)
_OTHER_REASONS = re.compile(
    r"countr|region|territor|organi[sz]ation|\baccount|deactivat|disabled|suspend|billing|quota|moderat|flagged|"
    r"permission|access|polic(?:y|ies)|proxy|blocked|\bmodel\b",
    re.IGNORECASE,
)
# Servers name images or multimodal models, or reject a list of parts in place of a text.
_ABOUT_IMAGES = re.compile(
    r"\bimages?\b|image_url|multi-?modal|\bvision\b|content\b.*\b(?:string|str|text)\b",
    re.IGNORECASE | re.DOTALL,
)
_IMAGE_REFUSALS = (400, 404, 415, 422, 500, 501)
ABOUT_THE_QUESTION = re.compile(r"moderat|flagged|content polic", re.IGNORECASE)


def words_of(body: Any) -> str:
    """The server's message in an error body of any form; empty if there is none."""
    return _words(body, 0)[:MOST_CHARACTERS]


def _words(body: Any, depth: int) -> str:
    if depth > MOST_DEPTH:
        return ""
    if isinstance(body, str):
        return _page_words(body) if body.lstrip().startswith("<") else body.strip()[:MOST_CHARACTERS]
    if isinstance(body, list):
        return "; ".join(filter(None, (_words(each, depth + 1) for each in body[:MOST_ITEMS])))
    if not isinstance(body, dict):
        return ""
    inner = next((words for key in _WORDS if (words := _words(body.get(key), depth + 1))), "")
    messages = [
        _words(body.get("error"), depth + 1),
        _place(body.get("loc")),
        inner,
        _words(_raw(body), depth + 1),
    ]
    return ": ".join(dict.fromkeys(filter(None, messages)))


def code_of(body: Any) -> str:
    """The first error code in a body, as text; empty if there is none."""
    codes = (each["code"] for each in _objects(body) if isinstance(each.get("code"), str | int))
    return str(next(codes, ""))


def refused_parameters(body: Any, sent: Collection[str], optional: Sequence[str]) -> list[str]:
    """The `optional` parameters that a refusal names, among all that were `sent`.

    If the body has a field for the parameter (`param`, `loc`), it is used, else the message.
    """
    fields = {part for each in _objects(body) for part in _fields(each) if part in sent}
    if fields:
        return [name for name in optional if name in fields]
    words = words_of(body)
    return [name for name in optional if _names(words, name)]


def is_about_the_key(status: int, body: Any, *, key_sent: bool) -> bool:
    """Whether a 401 or 403 means that the key is missing or wrong, not that something else is rejected."""
    words = words_of(body)
    if code_of(body) in _KEY_CODES or (_KEY_WORDS.search(words) and not _OTHER_REASONS.search(words)):
        return True
    if status != 401:
        return False
    return bool(_NO_REASON.fullmatch(words)) or not (key_sent or _OTHER_REASONS.search(words))


def refuses_images(status: int, body: Any) -> bool:
    """Whether an error on a request with images means that the server or its model does not accept them."""
    return status in _IMAGE_REFUSALS and bool(_ABOUT_IMAGES.search(words_of(body)))


def _names(words: str, parameter: str) -> bool:
    spelled = parameter.replace("_", "[ _-]?")
    return bool(re.search(rf"(?<![a-z0-9_]){spelled}(?![a-z0-9_])", words, re.IGNORECASE))


def _page_words(page: str) -> str:
    """The title of an HTML page, else its first heading."""
    found = _HEADINGS.search(page[:_READ_OF_A_PAGE])
    title = " ".join(html.unescape(found[1]).split()) if found else ""
    return f'an HTML page, "{title}"' if title else ""


def _place(loc: Any) -> str:
    """The location of the error in the request, as FastAPI reports it; "body" is the request itself."""
    parts = loc if isinstance(loc, list) else []
    return ".".join(str(each) for each in parts if each != "body" and isinstance(each, str | int))


def _raw(body: dict[str, Any]) -> Any:
    """The error of the server behind a router."""
    metadata = body.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    try:
        return json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return raw


def _fields(body: dict[str, Any]) -> Iterator[str]:
    """The names of request parameters in `param` ("messages[0].content") and `loc` (["body", "seed"])."""
    param, loc = body.get("param"), body.get("loc")
    yield from re.split(r"[.\[\]]", param) if isinstance(param, str) else ()
    yield from (each for each in loc if isinstance(each, str)) if isinstance(loc, list) else ()


def _objects(body: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """All objects in a body, outer ones first."""
    if depth > MOST_DEPTH:
        return
    if isinstance(body, dict):
        yield body
        inner: list[Any] = [*body.values(), _raw(body)]
    else:
        inner = body if isinstance(body, list) else []
    for each in inner:
        yield from _objects(each, depth + 1)


def connection_error(endpoint: Endpoint, error: openai.APIConnectionError) -> str:
    """One line: the server that did not answer, and the reason given by the operating system."""
    url, via = endpoint.base_url, endpoint.via
    if isinstance(error, openai.APITimeoutError):
        return f"{url} did not answer in time{via}"
    if (tls := next((each for each in _below(error) if isinstance(each, ssl.SSLError)), None)) is not None:
        return f"no TLS connection to {url} ({_tls_words(tls)}){via}"
    if not is_unreachable(error):
        return f"{url} closed the connection ({_system_words(error)}){via}"
    return f"no server at {url} ({_system_words(error)}){via}"


def is_unreachable(error: openai.APIConnectionError) -> bool:
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
