"""Signals of the living body, measured from face tracks."""
