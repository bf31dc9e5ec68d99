"""Clips: reading datasets as they are found, packing them, sampling and augmenting their frames."""
