"""Stochastic networks, their probability samples, and the measures taken from them."""
