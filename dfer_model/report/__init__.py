"""What a person looks at after a run: its figures and its card."""
