"""Network settings of the environment: loopback addresses, proxies and certificates.

The HTTP library builds every proxy of the environment, needed or not, and its errors do not name the
variable. Therefore the proxy for an address is chosen here, and errors name the variable.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import InputError

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


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
