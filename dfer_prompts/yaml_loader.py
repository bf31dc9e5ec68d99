"""PyYAML's safe loader, several times as fast: scanned and parsed by libyaml, where PyYAML was built with it.

Only the nodes are put together in Python. `CSafeLoader` alone does that in C too, where a file nested deep
enough ends the interpreter; here it is a RecursionError, as with `SafeLoader`.
"""

from __future__ import annotations

import yaml
from yaml.composer import Composer

__all__ = ["LOADER"]

LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = yaml.SafeLoader

if yaml.__with_libyaml__:

    class _Loader(Composer, yaml.CSafeLoader):
        def __init__(self, stream: str | bytes) -> None:
            yaml.CSafeLoader.__init__(self, stream)
            Composer.__init__(self)

    LOADER = _Loader
