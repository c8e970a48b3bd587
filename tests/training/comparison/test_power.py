"""The number of seeds that is proposed finds a planted difference at 80 % power; one fewer does not promise it."""

import numpy as np
import pytest

from molgraph.training.comparison.difference import Difference, difference
from molgraph.training.comparison.power import POWER, power_of, propose, seeds_needed
from molgraph.training.comparison.runs import Row


@pytest.mark.parametrize(("gap", "spreads"), [(1.0, (1.0, 1.0)), (2.0, (1.0, 0.3)), (3.0, (1.0, 1.0))])
def test_a_planted_difference_is_found_as_often_as_promised(gap, spreads):
    seeds, generator = seeds_needed(gap, spreads, 0.0), np.random.default_rng(0)
    flat = np.zeros(10)
    found = np.mean(
        [
            difference(generator.normal(gap, spreads[0], seeds), generator.normal(0, spreads[1], seeds), flat).differs
            for _ in range(2000)
        ]
    )
    assert found >= POWER - 0.03
    assert found == pytest.approx(power_of(gap, spreads, 0.0, seeds), abs=0.05)  # Welch guesses the freedom
    assert seeds == 2 or power_of(gap, spreads, 0.0, seeds - 1) < POWER


def test_more_comparisons_and_more_noise_of_molecules_need_more_seeds():
    base = seeds_needed(1.0, (1.0, 1.0), 0.0)
    assert seeds_needed(1.0, (1.0, 1.0), 0.0, comparisons=5) > base
    assert seeds_needed(1.0, (1.0, 1.0), 0.2) > base
    assert seeds_needed(1.0, (1.0, 1.0), 1.0) is None


def test_what_is_proposed_is_a_sentence():
    def row(label, spread, is_reference=False):
        none = Difference(0, 0, 0, 1.0, True)
        return Row(label, "graph", 3, 1, 1.0, 1.0, 1.0, {"rmse": (1.0, spread)}, none, is_reference)

    rows = [row("gcn", 0.1, True), row("gat", 0.1), row("gru", float("nan"))]
    known, unknown = propose("rmse", rows, 0.2)
    assert known.startswith("gat: a difference of 0.2 in RMSE from gcn is found in 80% of cases with ")
    assert unknown == "gru: train at least 2 seeds of it and of gcn; the noise is unknown"
    with pytest.raises(ValueError, match="--detect is 0"):
        propose("rmse", rows, 0.0)
