"""Request filter in front of Gradio: allowed routes, origins, sizes and files, and security headers.

Gradio has many more routes than the page uses (it fetches URLs, records the browser, links to files); routes
that are not listed here return 404. The browser may not load anything from other servers. Failed logins are
delayed and logged, and blocked for a while after too many.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from math import ceil
from pathlib import Path
from urllib.parse import urlsplit

from .connections import Application, Body, Message, Receive, Refusal, Scope, Send, log, read_form, read_json

DELAY_S = 1.0  # delay of the answer to a wrong password
MOST_OF_ADDRESS, ADDRESS_S = 10, 600.0  # failed logins of one address within ten minutes
MOST_OF_ALL, ALL_S = 100, 3600.0  # of all addresses within an hour


class Logins:
    """Counts the recent failed logins of each address and of all addresses."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may log in again; 0 if it may now."""
        now, network = self._clock(), _network(address)
        while self._wrong and self._wrong[0][0] <= now - ALL_S:
            self._wrong.popleft()
        own = [at for at, of in self._wrong if of == network and at > now - ADDRESS_S]
        waits = [0.0]
        if len(own) >= MOST_OF_ADDRESS:
            waits.append(own[-MOST_OF_ADDRESS] + ADDRESS_S - now)
        if len(self._wrong) >= MOST_OF_ALL:
            waits.append(self._wrong[-MOST_OF_ALL][0] + ALL_S - now)
        return max(waits)

    def begin(self, address: str) -> tuple[float, str]:
        """Count an attempt as failed before it is checked, so that parallel attempts are counted."""
        attempt = (self._clock(), _network(address))
        self._wrong.append(attempt)
        return attempt

    def right(self, attempt: tuple[float, str]) -> None:
        """Remove a successful attempt from the count."""
        if attempt in self._wrong:
            self._wrong.remove(attempt)

    def log_wrong(self, address: str) -> None:
        """Log a failed login without the user name, which may be a mistyped password."""
        wait = self.wait_s(address)
        bound = f"; blocked for {wait:.0f} s" if wait else ""
        log(f"wrong password from {address}{bound}")


def _network(address: str) -> str:
    """The address, or the /64 network of an IPv6 address, which belongs to one client."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))


LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FILE, UPLOAD, LOGIN = "/gradio_api/file=", "/gradio_api/upload", "/login"
MOST_WORDS = 4 * 2**20  # maximum bytes of a request that is not an upload
AROUND_FILE = 2**16  # bytes of an upload form beside the file
MOST_UPLOADS = 5  # of the maximum size, on the disk at the same time
_READ = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/logout|/(assets|static)/.*"
    rf"|/gradio_api/(heartbeat/\w+|queue/data|upload_progress)|{FILE}.*"
)
_WRITTEN = re.compile(rf"{LOGIN}|/gradio_api/(queue/join|cancel|reset)|{UPLOAD}")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
}
# Gradio compiles its templates in the browser, hence 'unsafe-eval'; inline event handlers never run.
_POLICY = (
    "default-src 'self'; script-src 'self' blob: 'unsafe-eval' 'nonce-{nonce}'; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self' about:; form-action 'self'; "
    "frame-ancestors 'none'"
)


# Gradio writes the names and arguments of all functions into the page, even before the login.
_LOGIN_PAGE = re.compile(rb'[{,]\s*"auth_required":\s*true')
_ENDPOINTS = re.compile(rb"(window\.gradio_api_info\s*=\s*).*?(;?</script>)", re.DOTALL)


class Guard:
    """An ASGI application around Gradio's.

    `hosts` are the accepted host names, None for any; `files` is the only folder whose files can be
    downloaded; `most_bytes` limits an upload, and `MOST_UPLOADS` times as much all uploads on the disk.
    Requests from pages of other sites are rejected.
    """

    def __init__(
        self, app: Application, *, hosts: Collection[str] | None, files: Path, most_bytes: int
    ) -> None:
        self._app, self._hosts, self._files, self._most = app, hosts, files.resolve(), most_bytes
        self._coming = 0  # bytes of the uploads being received
        self._logins = Logins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer rejected requests and pass on the others."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page uses no websockets
            await send({"type": "websocket.close"})
            return
        body, outgoing = Body(receive), _Outgoing(send, scope["path"] == "/")
        try:
            headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
            self._check(scope, headers)
            await self._pass_on(scope, body, outgoing)
        except Refusal as refusal:
            await _answer(send, refusal)
        except Exception:
            if not body.broke_off:  # errors after a client disconnected are expected
                raise
            if not outgoing.has_begun:
                await _answer(send, Refusal(408, "the request is incomplete"))

    async def _pass_on(self, scope: Scope, body: Body, outgoing: _Outgoing) -> None:
        path, method = scope["path"], scope["method"]
        if method != "POST":
            if path == "/":  # uncompressed, because the response is changed
                scope["headers"] = [each for each in scope["headers"] if each[0] != b"accept-encoding"]
            await self._app(scope, body.receive, outgoing)
        elif path == UPLOAD:
            await self._upload(scope, body, outgoing)
        elif path == LOGIN:
            await self._login(scope, await read_form(body), outgoing)
        else:
            await self._app(scope, await read_json(scope, body), outgoing)

    async def _upload(self, scope: Scope, body: Body, send: _Outgoing) -> None:
        size = int(dict(scope["headers"])[b"content-length"])
        self._coming += size
        try:
            if await asyncio.to_thread(_size, self._files) + self._coming > MOST_UPLOADS * self._most:
                raise Refusal(507, "too many uploads are being processed: try again later")
            await self._app(scope, body.receive, send)
        finally:
            self._coming -= size

    async def _login(self, scope: Scope, receive: Receive, send: _Outgoing) -> None:
        """Pass on a login unless too many failed; a failed login is delayed and logged."""
        address = (scope.get("client") or ("unknown",))[0]
        wait = self._logins.wait_s(address)
        if wait:
            raise Refusal(429, f"too many wrong passwords: wait {wait:.0f} s", retry_after_s=wait)
        attempt = self._logins.begin(address)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 400:  # Gradio's status for a wrong password
                    self._logins.log_wrong(address)
                    await asyncio.sleep(DELAY_S)
                else:
                    self._logins.right(attempt)
            await send(message)

        await self._app(scope, receive, answer)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raise Refusal for an unknown host, another origin, an unlisted route or a forbidden file."""
        path, method = scope["path"], scope["method"]
        host = headers.get("host", "")
        name = _host_name(f"//{host}")
        if self._hosts is not None and name not in self._hosts:
            raise Refusal(421, f"unknown host {host}")
        if not _is_own(headers, host, is_visit=method == "GET" and path == "/"):
            raise Refusal(403, "requests from pages of other sites are not allowed")
        routes = {"GET": _READ, "HEAD": _READ, "POST": _WRITTEN}.get(method)
        if routes is None or not routes.fullmatch(path):
            raise Refusal(404, "not found")
        if path.startswith(FILE) and not self._may_read(path.removeprefix(FILE)):
            raise Refusal(403, "this file cannot be downloaded")
        if method == "POST":
            self._check_size(path, headers)

    def _check_size(self, path: str, headers: dict[str, str]) -> None:
        size = headers.get("content-length", "")
        if not (size.isascii() and size.isdecimal() and len(size) <= 18):
            raise Refusal(411, "the Content-Length header is missing")
        if int(size) > (self._most + AROUND_FILE if path == UPLOAD else MOST_WORDS):
            raise Refusal(413, "the request is too large")

    def _may_read(self, path: str) -> bool:
        try:
            found = Path(path).resolve()
        except (OSError, ValueError):
            return False
        return Path(path).is_absolute() and found.is_relative_to(self._files) and found.is_file()


def _host_name(url: str) -> str | None:
    """The host of a URL. Raises Refusal for an invalid URL such as "//["."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        raise Refusal(400, "the Host or Origin header is invalid") from None


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; files removed meanwhile are ignored."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def _is_own(headers: dict[str, str], host: str, *, is_visit: bool) -> bool:
    """Whether the request comes from this page, from no page, or from a link that the user followed."""
    origin = headers.get("origin")
    if origin is not None:
        _host_name(origin)
        if urlsplit(origin).netloc != host:
            return False
    is_visit = is_visit and headers.get("sec-fetch-mode", "navigate") == "navigate"
    return is_visit or headers.get("sec-fetch-site", "none") in ("same-origin", "none")


class _Outgoing:
    """`send` with security headers, and in the page a nonce for its own scripts."""

    def __init__(self, send: Send, is_page: bool) -> None:
        self._send, self._is_page = send, is_page
        self._nonce = secrets.token_urlsafe(16)
        self._start: Message = {}
        self._body = b""

    @property
    def has_begun(self) -> bool:
        """Whether the response has started."""
        return bool(self._start)

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
        page = _ENDPOINTS.sub(rb"\1{}\2", self._body) if _LOGIN_PAGE.search(self._body) else self._body
        body = page.replace(b"<script", f'<script nonce="{self._nonce}"'.encode())
        headers = [each for each in self._start["headers"] if each[0].lower() != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        await self._send({**self._start, "headers": [*headers, length]})
        await self._send({"type": "http.response.body", "body": body})


async def _answer(send: Send, refusal: Refusal) -> None:
    body = f"{refusal}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if refusal.retry_after_s:
        headers.append((b"retry-after", str(ceil(refusal.retry_after_s)).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
