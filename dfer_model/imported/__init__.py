"""Models that others trained, taken in as runs."""
