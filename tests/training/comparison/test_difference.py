"""A comparison calls equal models different as often as it says, and finds a difference that is there."""

import math

import numpy as np
import pytest

from molgraph.training.comparison.difference import Difference, difference, holm


def rate(seeds, gap, trials=3000, molecules=0.2):
    """Return how often models whose metrics spread by 1 between seeds, and are ``gap`` apart, are called different.

    The test molecules are the same for both, so their part of the interval (``molecules``) is no part of the gap.
    """
    generator, found = np.random.default_rng(seeds), 0
    resampled = generator.normal(size=400) * molecules
    for _ in range(trials):
        ours, theirs = generator.normal(gap, 1, seeds), generator.normal(0, 1, seeds)
        found += difference(ours, theirs, resampled).differs
    return found / trials


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_model_against_itself_is_called_different_in_at_most_six_percent(seeds):
    assert 0.01 <= rate(seeds, gap=0.0) <= 0.06


def test_a_difference_of_three_spreads_is_found_with_five_seeds():
    assert rate(5, gap=3.0) > 0.8


def test_a_single_run_leaves_the_noise_of_training_unknown():
    found = difference([3.0], [0.0], np.random.default_rng(0).normal(size=500) * 0.01)
    assert not found.noise_known and not found.differs
    assert found.low < found.value < found.high


def test_more_noise_between_seeds_widens_the_interval():
    resampled = np.random.default_rng(0).normal(size=500)
    quiet = difference([1.0, 1.01, 0.99], [0.0, 0.01, -0.01], resampled)
    loud = difference([1.0, 2.0, 0.0], [0.0, 1.0, -1.0], resampled)
    assert loud.high - loud.low > quiet.high - quiet.low


def test_several_comparisons_are_corrected_by_holm():
    corrected = [found.p for found in holm([Difference(0, 0, 0, p, True) for p in (0.01, 0.04, 0.03)])]
    assert corrected == pytest.approx([0.03, 0.06, 0.06])


def test_twelve_equal_models_rarely_differ_from_the_best():
    generator, wrong = np.random.default_rng(7), 0
    for _ in range(300):
        runs = generator.normal(size=(12, 3))
        found = holm([difference(runs[k], runs[0], generator.normal(size=100) * 0.2) for k in range(1, 12)])
        wrong += any(one.differs for one in found)
    assert wrong / 300 <= 0.06


def test_equal_runs_have_no_difference():
    found = difference([1.0, 1.0], [1.0, 1.0], np.zeros(10))
    assert found.p == 1.0 and found.value == 0.0 and math.isfinite(found.low)
