"""Signals of the living body (pulse and motion), measured from face tracks."""
