"""What the server lets in and what it lets the page do, before Gradio sees a request.

Gradio answers on many more routes than the page uses (it fetches addresses for who asks, records a browser,
links to files); what is not listed here is not there. The browser is told to load nothing from elsewhere.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FILE, UPLOAD = "/gradio_api/file=", "/gradio_api/upload"
MOST_WORDS = 4 * 2**20  # bytes of a request that is no upload
AROUND_FILE = 2**16  # bytes of a form beside the file that it sends
_READ = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/logout|/(assets|static)/.*"
    rf"|/gradio_api/(heartbeat/\w+|queue/data|upload_progress)|{FILE}.*"
)
_WRITTEN = re.compile(rf"/login|/gradio_api/(queue/join|cancel|reset)|{UPLOAD}")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
}
# Gradio compiles its templates in the browser, hence 'unsafe-eval'; handlers in text of others never run.
_POLICY = (
    "default-src 'self'; script-src 'self' blob: 'unsafe-eval' 'nonce-{nonce}'; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self' about:; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Refusal(Exception):
    """A request that goes no further: its HTTP status and a sentence."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


class Guard:
    """An ASGI application around Gradio's.

    `hosts` are the names by which a browser may call the server, None for any; `files` is the one folder
    whose files it may read; `most_bytes` bounds an upload. A page of another site can neither ask nor read.
    """

    def __init__(
        self, app: Application, *, hosts: Collection[str] | None, files: Path, most_bytes: int
    ) -> None:
        self._app, self._hosts, self._files, self._most = app, hosts, files.resolve(), most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused, and pass on the rest."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page opens no other connection
            await send({"type": "websocket.close"})
            return
        try:
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            self._check(scope, headers)
            if scope["method"] == "POST" and scope["path"] != UPLOAD:
                receive = await _read(receive)
        except Refusal as refusal:
            await _answer(send, refusal)
            return
        if scope["path"] == "/":  # plain, for it is changed on its way out
            scope["headers"] = [each for each in scope["headers"] if each[0] != b"accept-encoding"]
        await self._app(scope, receive, _Outgoing(send, scope["path"] == "/"))

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raises Refusal."""
        path, method = scope["path"], scope["method"]
        host = headers.get("host", "")
        if self._hosts is not None and urlsplit(f"//{host}").hostname not in self._hosts:
            raise Refusal(421, f"this server is not {host}")
        if not _is_own(headers, host, is_visit=method == "GET" and path == "/"):
            raise Refusal(403, "this was asked by a page of another site")
        routes = {"GET": _READ, "HEAD": _READ, "POST": _WRITTEN}.get(method)
        if routes is None or not routes.fullmatch(path):
            raise Refusal(404, "there is nothing here")
        if path.startswith(FILE) and not self._may_read(path.removeprefix(FILE)):
            raise Refusal(403, "this file is not for reading")
        if method == "POST":
            self._check_size(path, headers)

    def _check_size(self, path: str, headers: dict[str, str]) -> None:
        size = headers.get("content-length", "")
        if not size.isdecimal():
            raise Refusal(411, "say how long it is")
        if int(size) > (self._most + AROUND_FILE if path == UPLOAD else MOST_WORDS):
            raise Refusal(413, "it is larger than this server takes")

    def _may_read(self, path: str) -> bool:
        try:
            found = Path(path).resolve()
        except (OSError, ValueError):
            return False
        return Path(path).is_absolute() and found.is_relative_to(self._files) and found.is_file()


def _is_own(headers: dict[str, str], host: str, *, is_visit: bool) -> bool:
    """Whether the request comes from this page, from no page, or is a person's who follows a link to it."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return False
    is_visit = is_visit and headers.get("sec-fetch-mode", "navigate") == "navigate"
    return is_visit or headers.get("sec-fetch-site", "none") in ("same-origin", "none")


async def _read(receive: Receive) -> Receive:
    """The body read, and a `receive` that gives it again.

    Raises Refusal where it is no JSON or form, or where it names an address for Gradio to fetch.
    """
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            raise Refusal(400, "this is no JSON") from None
        if _names_an_address(told):
            raise Refusal(403, "this server fetches nothing from elsewhere")
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again


def _names_an_address(told: Any) -> bool:
    """Whether there is a file in it that lies on another server."""
    waiting = [told]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            path = each.get("path")
            if isinstance(path, str) and re.match(r"\s*[a-z][a-z0-9+.-]+:", path, re.IGNORECASE):
                return True
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return False


class _Outgoing:
    """`send` with the headers that bind the browser, and in the page itself a nonce for its own scripts."""

    def __init__(self, send: Send, is_page: bool) -> None:
        self._send, self._is_page = send, is_page
        self._nonce = secrets.token_urlsafe(16)
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            policy = _POLICY.format(nonce=self._nonce)
            headers = {**_HEADERS, "content-security-policy": policy}
            own = [(key.encode(), value.encode()) for key, value in headers.items()]
            self._start = {**message, "headers": [*message.get("headers", ()), *own]}
            if not self._is_page:
                await self._send(self._start)
        elif self._is_page:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_page()
        else:
            await self._send(message)

    async def _send_page(self) -> None:
        body = self._body.replace(b"<script", f'<script nonce="{self._nonce}"'.encode())
        headers = [each for each in self._start["headers"] if each[0].lower() != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        await self._send({**self._start, "headers": [*headers, length]})
        await self._send({"type": "http.response.body", "body": body})


async def _answer(send: Send, refusal: Refusal) -> None:
    body = f"{refusal}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
