"""The connection to a server: proxy and certificates of the environment, and an HTTP client with limits.

The HTTP library builds every proxy of the environment, needed or not, and its errors do not name the
variable. Therefore the proxy for an address is chosen here, and errors name the variable. The client limits
the total time and the size of a response, and decides when the key is sent.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai

from ..errors import InputError

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
MOST_BYTES = 32 * 2**20  # of a response; a list of visual features has a few kilobytes

# Headers set by the SDK itself; others come from the environment (OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS).
_OWN_HEADERS = (
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
)


@dataclass(frozen=True)
class Proxy:
    """A proxy of the environment: its variable and its address, which may contain a password."""

    variable: str
    address: str

    def __str__(self) -> str:
        """Variable and address, without user and password."""
        scheme, _, rest = self.address.partition("://")
        return f"{self.variable}={scheme}://{rest.rpartition('@')[2]}"

    def check(self) -> None:
        """Raise InputError that names the variable if the HTTP library cannot use the proxy."""
        try:
            parts = urlsplit(self.address)
            scheme, usable = parts.scheme, bool(parts.hostname) and parts.port != 0
        except ValueError:  # an invalid port, an unclosed bracket
            scheme, usable = "", False
        if scheme not in PROXY_SCHEMES or not usable:
            hint = "; write socks5://" if scheme.startswith("socks") else ""
            raise InputError(
                f"{self} is not a supported proxy: supported are {', '.join(PROXY_SCHEMES)}{hint}\n"
                f"Correct or unset {self.variable}"
            )
        if scheme.startswith("socks") and find_spec("socksio") is None:
            raise InputError(
                f"{self} is a SOCKS proxy, which requires the package socksio\n"
                f"Install it (pip install socksio), unset {self.variable}, or add the server to NO_PROXY"
            )


def is_loopback(url: str) -> bool:
    """Whether the address is `localhost` or a loopback IP address; other names are not resolved."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str) -> Proxy | None:
    """The proxy of the environment for an address; None for loopback and addresses in NO_PROXY."""
    parts = urlsplit(url)
    if is_loopback(url) or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxies = environment_proxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def environment_proxies() -> dict[str, Proxy]:
    """The proxies of the environment by the scheme they apply to: http, https, all."""
    found = {}
    for scheme, address in urllib.request.getproxies().items():
        if scheme in ("http", "https", "all") and address:
            names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
            variable = next((name for name in names if os.environ.get(name) == address), names[1])
            found[scheme] = Proxy(variable, address if "://" in address else f"http://{address}")
    return found


def connection_options(url: str) -> dict[str, Any]:
    """Options of the HTTP client for an address: proxy and certificates.

    Raises InputError that names the invalid environment variable.
    """
    proxy = proxy_for(url)
    if proxy is not None:
        proxy.check()
    verify: ssl.SSLContext | bool = True
    if urlsplit(url).scheme == "https":
        verify = certificates() or True
    elif is_loopback(url):
        # No TLS: an empty context saves reading the system's certificates. It would reject any certificate.
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return {"trust_env": False, "proxy": proxy.address if proxy else None, "verify": verify}


def certificates() -> ssl.SSLContext | None:
    """The certificates of SSL_CERT_FILE or SSL_CERT_DIR; None if neither is set.

    Raises InputError that names the variable and the file if they cannot be read.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        return None
    variable, place = ("SSL_CERT_FILE", file) if file else ("SSL_CERT_DIR", folder)
    try:
        if not file and not Path(str(folder)).is_dir():  # OpenSSL accepts any name as a folder
            raise FileNotFoundError(2, os.strerror(2))
        return ssl.create_default_context(cafile=file or None, capath=None if file else folder)
    except OSError as error:
        why = "it contains no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise InputError(f"{variable}={place} cannot be used: {why}\nCorrect or unset {variable}") from error


class AnswerTooLarge(openai.OpenAIError):
    """A body of more than `MOST_BYTES`; a retry would not help, so the SDK does not retry it."""


class KeyOnRequest:
    """Sends the key only after the server has requested one, and nothing else of the environment.

    `asked` is called once, at the server's first request.
    """

    def __init__(self, api_key: str | None, asked: Callable[[], None]) -> None:
        self._api_key, self._asked = api_key, asked
        self._sending = False

    def prepare(self, request: Any) -> None:
        """Remove all headers not set by the SDK itself; add the key if it was requested."""
        for name in list(request.headers):
            if name not in _OWN_HEADERS and not name.startswith("x-stainless-"):
                del request.headers[name]
        key = self._api_key if self._sending else None
        request.headers["authorization"] = f"Bearer {key or 'no-key'}"

    def repeats(self, request: Any, response: Any) -> bool:
        """Whether the server requests the key and the request had none; the key is then added to it."""
        held = request.headers.get("authorization") == f"Bearer {self._api_key}"
        if self._api_key is None or held or response.status_code != 401 or response.history:
            return False
        if not self._sending:
            self._sending = True
            self._asked()
        self.prepare(request)
        return True


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """Reads each body completely, within the request's timeout as a whole, and counts retries.

    The timeouts of HTTP libraries apply between two bytes: a server that sends one byte per second would
    block a request forever. `retried` is called before each attempt but the first; `guard` decides whether
    the server receives the key.
    """

    def __init__(
        self, retried: Callable[[], None], guard: KeyOnRequest | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._retried = retried
        self._guard = guard

    async def send(self, request: Any, **options: Any) -> Any:
        """The response with its complete body.

        Raises openai.APITimeoutError if it did not arrive in time, and AnswerTooLarge.
        """
        if request.headers.get("x-stainless-retry-count", "0") != "0":
            self._retried()
        if self._guard:
            self._guard.prepare(request)
        limit = request.extensions.get("timeout", {}).get("read")
        try:
            async with asyncio.timeout(limit):
                response, body = await self._read(request, options)
                if self._guard and self._guard.repeats(request, response):
                    response, body = await self._read(request, options)
        except TimeoutError:
            raise openai.APITimeoutError(request=request) from None
        # The body is already decoded, so headers on its encoding are removed.
        encoding = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in encoding]
        return type(response)(response.status_code, headers=headers, content=body, request=request)

    async def _read(self, request: Any, options: dict[str, Any]) -> tuple[Any, bytes]:
        """The response and its complete body."""
        response = await super().send(request, **{**options, "stream": True})
        try:
            return response, await _whole(response)
        finally:
            await response.aclose()


async def _whole(response: Any) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            raise AnswerTooLarge(f"more than {MOST_BYTES // 2**20} MiB")
    return bytes(body)
