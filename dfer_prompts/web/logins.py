"""Wrong passwords: each is delayed and logged, and after some no more are tried for a while."""

from __future__ import annotations

import ipaddress
import time
from collections import deque
from collections.abc import Callable

from .log import log

DELAY_S = 1.0  # before a wrong password is answered
MOST_OF_ADDRESS, ADDRESS_S = 10, 600.0  # wrong passwords of one address within ten minutes
MOST_OF_ALL, ALL_S = 100, 3600.0  # and of all addresses within an hour


class Logins:
    """Counts the wrong passwords of each address and of all together, of which the latest are kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try a password; 0 when it may now."""
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
        """Count a password as wrong before it is looked at, so that several at once are counted too."""
        attempt = (self._clock(), _network(address))
        self._wrong.append(attempt)
        return attempt

    def right(self, attempt: tuple[float, str]) -> None:
        """The password was right: it does not count."""
        if attempt in self._wrong:
            self._wrong.remove(attempt)

    def log_wrong(self, address: str) -> None:
        """Log a wrong password, without the name that came with it, which may be a password too."""
        wait = self.wait_s(address)
        bound = f"; no more of its passwords are tried for {wait:.0f} s" if wait else ""
        log(f"wrong password from {address}{bound}")


def _network(address: str) -> str:
    """The address; of IPv6 its /64 network, of which one client has all addresses."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))
