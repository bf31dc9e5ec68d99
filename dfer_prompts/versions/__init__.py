"""Versions of description sets: store, card, lineage, diff, edit, hub, exchange formats."""
