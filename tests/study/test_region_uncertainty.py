"""Does a painted region carry the uncertainty? Tables and correlations of planted effects."""

import numpy as np
import pandas as pd
import pytest

from deepfake_uncertainty.datasets.face_regions import REGIONS
from deepfake_uncertainty.errors import InputError
from deepfake_uncertainty.evaluation import occlusion
from deepfake_uncertainty.report import claim_ledger
from deepfake_uncertainty.study import region_uncertainty


def planted(effect, generators=("A", "B", "C"), people=8, seed=0):
    """Rows as of `occlusion.occlusion_table`, where each generator paints other regions.

    The score of a painted region differs by `effect` nats; there is noise.
    """
    rng, rows, names = np.random.default_rng(seed), [], list(REGIONS)
    for person in range(people):
        for place, generator in enumerate(("real", *generators)):
            name = f"{person}"
            key = {"dataset": "D", "generator": generator, "video": name, "identity": name}
            for way, region in occlusion.VARIANTS:
                inside = region in names[2 * place - 2 : 2 * place + 1]
                painted = float(generator != "real" and inside)
                base = 0.5 if way == "whole" else 0.1 * names.index(region)
                gain = (effect if way == "alone" else -effect) * painted
                value = base + gain + rng.normal(0, 0.005)
                scores = dict.fromkeys(region_uncertainty.SCORES, value)
                rows.append(key | scores | {"way": way, "region": region, "coverage": painted})
    return pd.DataFrame(rows)


def test_a_planted_effect_is_found_and_none_is_not():
    for effect, said in ((0.3, "supported"), (-0.3, "contradicted"), (0.0, "undecided")):
        found = region_uncertainty.region_uncertainty(planted(effect))
        ties = region_uncertainty.painted_correlations(found, 0, 100)
        ties = ties.xs(("total", "centred"), level=("score", "kind"))
        assert claim_ledger.joint_verdict(ties) == said and (ties["n"] == 21).all()
        assert effect == 0 or (ties["value"].abs() > 0.9).all()


def test_by_region_gives_the_means():
    found = region_uncertainty.region_uncertainty(planted(0.3))
    table = region_uncertainty.region_table(found, 0, 50)
    row = table.loc[("alone", "total", "A", "brows")]
    assert row["value"] == pytest.approx(0.4, abs=0.01)
    assert row["low"] <= row["value"] <= row["high"]
    assert row["n"] == 8 and row["coverage"] == 1
    assert table.loc[("alone", "total", "real", "brows"), "coverage"] == 0


def test_one_generator_is_too_few():
    with pytest.raises(InputError, match="1 generators with masks"):
        found = region_uncertainty.region_uncertainty(planted(0.1, ("A",)))
        region_uncertainty.painted_correlations(found, 0, 10)


def test_centred_cells_have_no_mean_left():
    cells = region_uncertainty.double_centred(np.random.default_rng(0).random((2, 3, 7)))
    assert np.allclose(cells.mean(1), 0) and np.allclose(cells.mean(2), 0)
