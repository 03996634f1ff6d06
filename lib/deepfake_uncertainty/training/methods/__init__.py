"""The uncertainty methods by name.

They are those of this package, one file per method, and those of plug-ins.
"""

from collections.abc import Iterator

from deepfake_uncertainty import plugins
from deepfake_uncertainty.training.methods.base import Method

METHODS = plugins.Registry(
    "method",
    "deepfake_uncertainty.training.methods",
    "METHODS",
    Method,
    order=lambda method: method.order,
)


def get(name: str) -> Method:
    """Return the Method called `name`; raises InputError that lists the known names."""
    return METHODS.get(name)


def names() -> Iterator[str]:
    """Return the names of all methods, the cheapest first, plug-ins last."""
    return iter(METHODS)
