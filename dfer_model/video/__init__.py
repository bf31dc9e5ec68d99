"""Faces in raw videos: detection, tracking, cropping, and predictions for windows of time."""
