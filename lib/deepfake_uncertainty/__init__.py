"""Reliability of deepfake detectors: uncertainty, calibration and decisions, from videos on disk to figures."""
