"""Screening: many description sets trained at once on stored frame features.

The image tower is frozen, so its features are computed once and stored; contexts and temporal models of all
sets and seeds are then trained together. It ranks sets in a fraction of the time of fine-tuning.
"""

from .screener import Screening, screen

__all__ = ["Screening", "screen"]
