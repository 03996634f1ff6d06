"""The study: train, predict, evaluate, decide."""
