"""Stochastic networks, the probabilities sampled from them, and measures of uncertainty."""
