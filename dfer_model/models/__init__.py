"""Classifiers built on CLIP: DFER-CLIP, the other strategies, and video networks as baselines."""
