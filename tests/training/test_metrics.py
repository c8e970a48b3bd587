import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from molgraph.training.metrics import classification_metrics, multiclass_metrics, regression_metrics, shown


@given(st.integers(-12, 9), st.sampled_from([0.0, -11179.0, 1e6]), st.integers(0, 2**31))
def test_errors_are_right_at_any_scale_and_offset(power, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    offset = offset * 10.0**power  # in spreads: beyond 1e12 of them float64 has no digits left
    truth = torch.randn(50, generator=generator, dtype=torch.float64) * 10.0**power + offset
    said = truth + torch.randn(50, generator=generator, dtype=torch.float64) * 10.0**power * 0.3
    found = regression_metrics(said, truth)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, said), rel=1e-9)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, said), rel=1e-9)
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, said), rel=1e-6, abs=1e-9)


def test_the_mean_of_small_numbers_explains_nothing_of_them():
    truth = torch.rand(100, dtype=torch.float64) * 3e-5
    assert regression_metrics(truth.mean().expand(100), truth)["r2"] == pytest.approx(0.0, abs=1e-9)


def test_one_class_has_an_accuracy_and_no_auroc():
    found = classification_metrics(torch.tensor([0.9, 0.8, 0.7]), torch.ones(3))
    assert math.isnan(found["auroc"]) and math.isnan(found["average_precision"])
    assert found["accuracy"] == 1.0


def test_no_rows_have_no_metric():
    empty = torch.zeros(0)
    assert all(math.isnan(value) for value in regression_metrics(empty, empty).values())
    assert all(math.isnan(value) for value in classification_metrics(empty, empty).values())
    assert all(math.isnan(value) for value in multiclass_metrics(torch.zeros(0, 3), empty).values())


def test_constant_targets_have_errors_and_no_r2():
    found = regression_metrics(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))
    assert found["rmse"] == pytest.approx(math.sqrt(0.5)) and math.isnan(found["r2"])


def test_several_classes_are_judged_as_scikit_learn_does():
    shares = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1]])
    labels = torch.tensor([0.0, 1.0, 1.0, 1.0])
    found = multiclass_metrics(shares, labels)
    assert found["accuracy"] == 0.75
    assert found["f1"] == pytest.approx(metrics.f1_score(labels, shares.argmax(1), average="macro"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.583, "0.583"), (9.05e-6, "9.05e-06"), (-0.0126, "-0.0126"), (0.0, "0.000"), (math.nan, "undefined")],
)
def test_a_table_shows_three_digits_of_every_size(value, text):
    assert shown(value) == text
