"""Miniatures of the generator families, for the benchmark's own clips only."""
