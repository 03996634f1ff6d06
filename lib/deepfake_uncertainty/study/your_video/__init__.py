"""Notebook 10 and the command `analyze`: a report on one video."""
