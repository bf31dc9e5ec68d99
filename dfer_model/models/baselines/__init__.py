"""Video networks without text: the other kind of classifier, as in the paper's table of earlier methods."""

from .build import network_base

__all__ = ["network_base"]
