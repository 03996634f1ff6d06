"""Notebook 00: the data, their ground truth, and shortcuts in them."""
