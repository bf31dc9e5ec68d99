"""Grids of runs in processes of their own: on this machine, or as jobs of a Slurm cluster.

`dispatching.train_by` hands the runs of a grid to an engine, tells of those that fail or are taken away, and
hands these out again, from their last whole epoch.
"""
