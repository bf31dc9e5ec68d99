"""Asking a language model: what is planned, sent, answered, stored, and what that costs."""
