"""Detectors: face tracks to real/fake class scores."""
