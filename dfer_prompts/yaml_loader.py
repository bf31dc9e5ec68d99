"""PyYAML's safe loader, several times as fast: scanned and parsed by libyaml, where PyYAML was built with it.

Only the nodes are put together in Python. PyYAML's own `CSafeLoader` does that in C too, and a file nested
deep enough ends the interpreter there; here it is a RecursionError, as with `SafeLoader`.
"""

from __future__ import annotations

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

__all__ = ["Loader"]

if yaml.__with_libyaml__:
    from yaml.cyaml import CParser

    class Loader(Composer, CParser, SafeConstructor, Resolver):
        """For `yaml.load(text, Loader=Loader)`, which gives and raises what `yaml.safe_load` does."""

        def __init__(self, stream: str | bytes) -> None:
            CParser.__init__(self, stream)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

else:
    Loader = yaml.SafeLoader  # type: ignore[assignment, misc]
