"""Measures of uncertainty from samples of probabilities, in nats.

The decomposition is that of Depeweg et al. (2018) and Smith and Gal (2018).
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from deepfake_uncertainty.errors import InputError


def measures(samples: ArrayLike) -> dict[str, np.ndarray]:
    """Return the total, aleatoric and epistemic uncertainty, each float64 (N,) in [0, log C] nats.

    total = H(mean p), aleatoric = mean H(p), epistemic = total - aleatoric. `samples` are
    probabilities (T, N, C); rounding is taken out of their sums. Raises InputError for another
    shape, NaN, negative values, or rows whose sum is not 1.
    """
    samples = _checked(samples)
    total = entr(samples.mean(0)).sum(-1)
    # Entropy is concave, so aleatoric <= total. Only rounding can put it above.
    aleatoric = np.minimum(entr(samples).sum(-1).mean(0), total)
    return {"total": total, "aleatoric": aleatoric, "epistemic": total - aleatoric}


def _checked(samples: ArrayLike) -> np.ndarray:
    """Return the samples as float64 (T, N, C) with rows that sum to 1; InputError for others."""
    rounding = 1e-2 if getattr(samples, "dtype", None) == np.float16 else 1e-4
    try:
        array = np.asarray(samples, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"samples are not an array of numbers ({error}): give probabilities (T, N, C)"
        ) from error
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"samples have shape {array.shape}: give probabilities (T, N, C)")
    valid = np.isfinite(array).all() and not (array < 0).any()
    sums = array.sum(-1, keepdims=True)
    if not valid or not np.allclose(sums, 1, rtol=0, atol=rounding):
        raise InputError(
            "samples are not probabilities: each row must be finite, at least 0, and sum to 1"
        )
    return array / sums
