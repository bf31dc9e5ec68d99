"""Description sets on clips: what is trained and measured, and how sets are searched."""
