"""The generators of the embedded benchmark: what they change, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
from support.small_footage import MISSED

from deepfake_uncertainty.benchmark.generators import catalogue, deepfakes, deepfakes_training
from deepfake_uncertainty.errors import InputError

FAMILIES = *catalogue.families("SynthFF"), *catalogue.families("SynthAV")


@pytest.mark.parametrize("family", FAMILIES)
def test_generators_change_only_what_the_mask_says_and_repeat_themselves(family, pair, trained):
    network = trained[0] if family == "Deepfakes" else None
    (frames, mask), (again, _) = (
        catalogue.generate(family, *pair, np.random.default_rng(0), network) for _ in range(2)
    )
    assert frames.shape == pair[1].frames.shape and mask.shape == frames.shape[:3]
    changed = (frames != pair[1].frames).any(-1)
    assert changed.any() and not changed[~mask].any()
    assert not mask[MISSED].any(), "a frame without a face is unchanged"
    np.testing.assert_array_equal(frames, again)


@pytest.mark.parametrize("family", FAMILIES)
def test_generators_refuse_clips_without_truth(family, pair, trained):
    pair[0].truth.unlink()
    with pytest.raises(InputError, match="own clips only"):
        catalogue.generate(family, *pair, np.random.default_rng(0), trained[0])


def test_generators_refuse_strangers_silence_and_unknown_names(pair, trained):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="no Deepfakes decoder"):
        deepfakes.generate(replace(pair[1], identity=7), pair[0], rng, trained[0])
    with pytest.raises(InputError, match="has no sound"):
        catalogue.generate("wav2lip", replace(pair[0], sound=None), pair[1], rng)
    with pytest.raises(InputError, match="unknown generator 'magic'"):
        catalogue.generate("fsgan-magic", *pair, rng)
    pair[0].truth.unlink()
    with pytest.raises(InputError, match="own clips only"):
        deepfakes_training.train(pair, seed=0, steps=1)
