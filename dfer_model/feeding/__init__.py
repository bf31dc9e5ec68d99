"""Clips on their way to the model: batches, read ahead, by processes or as a stream."""
