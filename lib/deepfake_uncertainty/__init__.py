"""Reliability of deepfake detectors: uncertainty, calibration, decisions and figures."""
