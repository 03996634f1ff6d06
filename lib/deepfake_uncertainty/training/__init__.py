"""Training and sampling: from an index of videos to cached samples of probabilities."""
