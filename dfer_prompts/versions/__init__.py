"""Versions of description sets: on disk, in others' formats, on the hub, and which came from which."""
