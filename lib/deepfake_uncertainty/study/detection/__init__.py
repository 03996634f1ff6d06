"""Notebook 02: detectors by task, and their costs."""
