"""Notebook 06: pixel maps of the uncertainty."""
