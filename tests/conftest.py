"""Hypothesis draws the same examples in every run, so a test passes or fails for all.

`pytest --hypothesis-profile=default` draws others.
"""

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.load_profile("same")
