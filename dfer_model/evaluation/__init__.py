"""Predictions of models on clips: metrics, zero-shot, calibration and explanation."""
