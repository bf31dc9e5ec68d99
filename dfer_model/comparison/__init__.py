"""Grids of runs under several protocols, their statistics, and the verdict."""
