"""The demo language model: its weights, its server, and the program that trains it (see README.md)."""
