"""What one decision rests on: the face region that changes it, and its sensitive pixels."""

import numpy as np
import pandas as pd
import torch

from deepfake_uncertainty.datasets import face_regions
from deepfake_uncertainty.datasets.tracks import Track
from deepfake_uncertainty.detectors.base import DetectorSpec
from deepfake_uncertainty.evaluation import metric_tables, occlusion
from deepfake_uncertainty.seeding import threads
from deepfake_uncertainty.training.predict import Fitted

NOTABLE = 0.05  # a region is named when hiding it lowers P(fake) by at least this much
WHOLE = "nothing"


def by_region(track: Track, spec: DetectorSpec, model: Fitted, T: int) -> pd.DataFrame:
    """Return P(fake) and uncertainty of a track of one window with each face region hidden.

    The frame has one row per hidden region, 'nothing' first; the columns are p_fake, total and
    epistemic (nats). A region is hidden as in notebook 05: blurred with a soft edge, or replaced by
    the mean pulse in a PPG map.
    """
    x, _ = occlusion.occluded_inputs(track, spec, 1, "blur")
    hidden = [
        place for place, (way, _) in enumerate(occlusion.VARIANTS) if way in ("whole", "hidden")
    ]
    probabilities = model.sample(x[hidden, 0], T, np.zeros(len(hidden), int))
    scores = metric_tables.uncertainty_scores(probabilities)
    columns = {"p_fake": probabilities.mean(0)[:, 1]}
    columns |= {name: scores[name] for name in ("total", "epistemic")}
    return pd.DataFrame(columns, index=pd.Index([WHOLE, *face_regions.REGIONS], name="hidden"))


def decisive(table: pd.DataFrame) -> tuple[str, float] | tuple[None, None]:
    """Return the region whose hiding lowers P(fake) most, and P(fake) without it.

    `table` comes from `by_region`. Both are None when no region lowers P(fake) by 0.05.
    """
    p_fake = table["p_fake"].drop(WHOLE)
    region = p_fake.idxmin()
    if table["p_fake"][WHOLE] - p_fake[region] < NOTABLE:
        return None, None
    return region, float(p_fake[region])


def sensitivity(model: Fitted, x: np.ndarray) -> np.ndarray:
    """Return |gradient| of the total uncertainty H(p) of a deterministic Fitted to its inputs.

    Inputs x are (N, C, H, W). The result is float32 (N, H, W) >= 0 in nats per unit of x, the
    largest over the channels (Simonyan et al. 2014).
    """
    network = model.model.eval()
    device = next(network.parameters()).device
    inputs = torch.tensor(x, dtype=torch.float32, device=device, requires_grad=True)
    with threads(model.recipe.threads):
        log_p = network(inputs).log_softmax(-1)
        (gradient,) = torch.autograd.grad(-(log_p.exp() * log_p).sum(), inputs)
    return gradient.abs().amax(1).cpu().numpy()
