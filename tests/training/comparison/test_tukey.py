"""Tukey's intervals: 5 % of errors over all pairs together, and a difference that is there is drawn as one."""

import numpy as np
import pytest
from scipy.stats import studentized_range

from molgraph.training.comparison.difference import Difference
from molgraph.training.comparison.runs import Row
from molgraph.training.comparison.tukey import against_reference, draw


def rows_of(scores):
    none = Difference(0, 0, 0, 1.0, True)
    return [
        Row(label, "graph", len(s), 1, 1.0, 1.0, 1.0, {"rmse": (np.mean(s), 0.1)}, none, place == 0, tuple(s))
        for place, (label, s) in enumerate(scores.items())
    ]


def test_an_interval_is_that_of_the_studentized_range():
    generator = np.random.default_rng(0)
    scores = {label: generator.normal(mean, 1, 5) for label, mean in (("a", 0), ("b", 3), ("c", 0))}
    pooled = np.mean([np.var(s, ddof=1) for s in scores.values()])
    half = studentized_range.ppf(0.95, 3, 12) * np.sqrt(pooled / 5)
    for one, label in zip(against_reference(rows_of(scores)), "bc", strict=True):
        gap = scores[label].mean() - scores["a"].mean()
        assert (one.label, one.value) == (label, pytest.approx(gap))
        assert (one.low, one.high) == (pytest.approx(gap - half, rel=1e-3), pytest.approx(gap + half, rel=1e-3))
        assert one.differs == (label == "b")


def test_equal_models_rarely_differ_from_the_reference():
    generator = np.random.default_rng(1)
    trials = [against_reference(rows_of({n: generator.normal(size=5) for n in "abcd"})) for _ in range(150)]
    assert np.mean([any(one.differs for one in found) for found in trials]) <= 0.07


def test_a_picture_needs_several_runs_of_each():
    scores = {"a": [1.0, 1.1], "b": [2.0, 2.1]}
    assert draw("rmse", rows_of(scores)).startswith(b"\x89PNG")
    assert draw("rmse", rows_of(scores | {"c": [1.0]})) == b""
