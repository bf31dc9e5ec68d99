"""Edits of description sets by a language model: read, checked and requested."""
