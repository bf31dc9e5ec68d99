"""Screening: many description sets trained at once on frame features that are computed once.

The image tower is frozen, so that what it says of a frame can be kept; contexts and temporal models of all
sets and seeds are then trained together. It ranks sets in a small part of the time that fine-tuning takes.
"""

from .screener import Screening, screen

__all__ = ["Screening", "screen"]
