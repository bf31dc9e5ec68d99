"""Video networks without text, the baselines of the paper's table of earlier methods."""

from .build import network_base

__all__ = ["network_base"]
