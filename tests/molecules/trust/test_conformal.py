"""Intervals hold what they promise, on data that are made so that the truth is known."""

import numpy as np
import pytest

from molgraph.molecules.trust.conformal import Conformal, ExpectedError


def made(rows, seed):
    """Errors whose size grows with the first feature; the second says nothing."""
    random = np.random.default_rng(seed)
    features = random.uniform(0, 1, (rows, 2))
    return features, np.abs(random.normal(0, 0.2 + features[:, 0]))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_intervals_hold_the_truth_as_often_as_they_say(coverage):
    held = []
    for seed in range(60):
        features, errors = made(150, seed)
        new, truth = made(500, 1000 + seed)
        held.append((truth <= Conformal.fit(features, errors).half_width(new, coverage)).mean())
    assert np.mean(held) == pytest.approx(coverage, abs=0.012)


def test_intervals_are_wider_where_errors_are_larger():
    features, errors = made(2000, 0)
    half = Conformal.fit(features, errors).half_width(np.array([[0.05, 0.5], [0.95, 0.5]]), 0.9)
    assert 2 < half[1] / half[0] < 6  # the truth is 1.15 / 0.25 = 4.6, on a logarithmic line somewhat less


def test_with_nothing_to_learn_all_are_alike():
    random = np.random.default_rng(0)
    expected = ExpectedError.fit(random.normal(size=(1000, 3)), np.abs(random.normal(size=1000)))
    half = expected(random.normal(size=(1000, 3)))
    assert half.std() / half.mean() < 0.2


def test_what_was_not_measured_does_not_count_and_few_molecules_calibrate_nothing():
    features, errors = made(100, 0)
    errors[::2] = np.nan
    assert len(Conformal.fit(features, errors).scores) == 50
    assert Conformal.fit(features[:18], errors[:18]) is None


def test_a_calibration_comes_back_from_its_tensors():
    features, errors = made(100, 0)
    one = Conformal.fit(features, errors)
    again = Conformal.restore(one.state())
    assert np.array_equal(one.half_width(features, 0.8), again.half_width(features, 0.8))


def test_errors_of_zero_are_no_trouble():
    features, errors = made(100, 0)
    errors[:80] = 0
    assert np.isfinite(Conformal.fit(features, errors).half_width(features, 0.9)).all()
    assert np.isfinite(Conformal.fit(features, np.zeros(100)).half_width(features, 0.9)).all()
