"""From a class set and a template to a description set: plan, run, rank, normalize."""
