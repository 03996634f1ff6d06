"""Notebook 08: attacks and corruptions."""
