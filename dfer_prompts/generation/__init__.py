"""Generate a description set from a class set and a template: plan, run, rank."""
