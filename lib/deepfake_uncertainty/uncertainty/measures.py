"""Measures of uncertainty from samples of probabilities, in nats (Depeweg et al. 2018; Smith and Gal 2018)."""

import numpy as np
from scipy.special import entr

from deepfake_uncertainty.errors import InputError


def measures(samples):
    """Return total = H(mean p), aleatoric = mean H(p) and epistemic = total - aleatoric, each float64 (N,) in [0, log C] nats.

    `samples` are probabilities (T, N, C). Raises InputError for another shape, NaN, negative values or rows whose sum is not 1.
    """
    try:
        samples = np.asarray(samples, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"samples are not an array of numbers ({error}): give probabilities (T, N, C)") from error
    if samples.ndim != 3 or 0 in samples.shape:
        raise InputError(f"samples have shape {samples.shape}: give probabilities (T, N, C)")
    if not np.isfinite(samples).all() or (samples < 0).any() or not np.allclose(samples.sum(-1), 1, atol=1e-4):
        raise InputError("samples are not probabilities: each row must be finite, at least 0, and sum to 1")
    total = entr(samples.mean(0)).sum(-1)
    # Entropy is concave, so aleatoric <= total; only rounding puts it above.
    aleatoric = np.minimum(entr(samples).sum(-1).mean(0), total)
    return {"total": total, "aleatoric": aleatoric, "epistemic": total - aleatoric}
