"""A run, from its settings and texts to the weights that are kept."""
