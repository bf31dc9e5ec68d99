"""Figures and cards of runs, comparisons and explanations."""
