"""Login throttling: failed logins are delayed and logged, and blocked for a while after too many."""

from __future__ import annotations

import ipaddress
import time
from collections import deque
from collections.abc import Callable

from .log import log

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
