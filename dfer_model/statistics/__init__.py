"""Whether one is better than another, from what they answered: intervals, tests and verdicts."""
