"""Fixtures of a project with one small notebook."""

from support.tiny_notebook import executed, house, quick_run  # noqa: F401
