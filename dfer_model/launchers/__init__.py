"""Training the runs of a grid in separate processes: on this machine or on a Slurm cluster."""
