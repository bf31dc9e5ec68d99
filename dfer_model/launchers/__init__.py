"""Runs of a grid in processes of their own: on this machine or on a Slurm cluster."""
