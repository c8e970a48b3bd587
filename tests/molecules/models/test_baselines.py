"""Fingerprint baselines: the tensors say exactly what scikit-learn says."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.ensemble import RandomForestRegressor as SklearnForest

from molgraph.molecules.models.baselines import Fingerprints, Mean, Ridge
from molgraph.molecules.models.fingerprints import DESCRIPTORS, MORGAN_BITS
from molgraph.molecules.models.trees import ExtraTrees, GradientBoosting, RandomForest


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    counts = generator.poisson(0.1, (150, MORGAN_BITS)).astype(np.uint8)
    encoded = Fingerprints(counts, generator.normal(size=(150, len(DESCRIPTORS))).astype(np.float32))
    values = torch.from_numpy(counts[:, :5].sum(1) + generator.normal(size=150) * 0.1).float().unsqueeze(1)
    return encoded.batch(np.arange(150)), values


def test_a_random_forest_in_tensors_equals_scikit_learn(data):
    features, values = data
    model = RandomForest(1, trees=20)
    model.fit(features, values, "regression")
    forest = SklearnForest(20, random_state=0).fit(features[:, :MORGAN_BITS].numpy(), values[:, 0].numpy())
    expected = forest.predict(features[:, :MORGAN_BITS].numpy())
    np.testing.assert_allclose(model(features)[:, 0], expected, atol=1e-5)


def test_class_probabilities_of_a_forest_equal_scikit_learn(data):
    features, values = data
    labels = (values > values.median()).float()
    model = RandomForest(1, trees=20)
    model.fit(features, labels, "classification")
    forest = RandomForestClassifier(20, random_state=0).fit(features[:, :MORGAN_BITS].numpy(), labels[:, 0].numpy())
    expected = forest.predict_proba(features[:, :MORGAN_BITS].numpy())[:, 1]
    np.testing.assert_allclose(model(features)[:, 0].sigmoid(), expected.clip(1e-4, 1 - 1e-4), atol=1e-5)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_gradient_boosting_in_tensors_equals_scikit_learn(data, kind):
    features, values = data
    wanted = values if kind == "regression" else (values > values.median()).float()
    model = GradientBoosting(1, trees=15, depth=3)
    model.fit(features, wanted, kind)
    booster = GradientBoostingRegressor if kind == "regression" else GradientBoostingClassifier
    options = {"max_depth": 3, "learning_rate": 0.05, "subsample": 0.7, "max_features": 0.1, "random_state": 0}
    fitted = booster(n_estimators=15, **options).fit(features[:, :MORGAN_BITS].numpy(), wanted[:, 0].numpy())
    columns = features[:, :MORGAN_BITS].numpy()
    expected = fitted.predict(columns) if kind == "regression" else fitted.decision_function(columns)
    np.testing.assert_allclose(model(features)[:, 0], expected, atol=1e-4)


def test_missing_labels_are_left_out_of_each_target(data):
    features, values = data
    holes = torch.cat([values, values], dim=1)
    holes[::2, 1] = torch.nan
    model = Mean(2)
    model.fit(features, holes, "regression")
    torch.testing.assert_close(model(features)[0], torch.stack([values.mean(), values[1::2].mean()]))


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_extra_trees_in_tensors_equal_scikit_learn_on_the_columns_that_vary(data, kind):
    features, values = data
    features[:, 7] = 3  # says nothing
    wanted = values if kind == "regression" else (values > values.median()).float()
    model = ExtraTrees(1, trees=10, descriptors="none")
    model.fit(features, wanted, kind)
    columns = features[:, :MORGAN_BITS].numpy()
    columns = columns[:, np.ptp(columns, axis=0) > 0]
    oracle = ExtraTreesRegressor if kind == "regression" else ExtraTreesClassifier
    fitted = oracle(10, max_features=0.05, random_state=0).fit(columns, wanted[:, 0].numpy())
    expected = fitted.predict(columns) if kind == "regression" else fitted.predict_proba(columns)[:, 1]
    said = model(features)[:, 0] if kind == "regression" else model(features)[:, 0].sigmoid()
    np.testing.assert_allclose(said, expected.clip(1e-4, 1 - 1e-4) if kind != "regression" else expected, atol=1e-4)


@pytest.mark.parametrize("model_class", [Mean, Ridge, RandomForest, ExtraTrees, GradientBoosting])
def test_a_fitted_baseline_is_restored_from_plain_values_and_tensors(data, model_class):
    features, values = data
    options = {"trees": 5} if model_class in (RandomForest, ExtraTrees, GradientBoosting) else {}
    model = model_class(1, descriptors="rdkit", **options)
    model.normalization.normalize_by(features[:, MORGAN_BITS:].numpy())
    model.fit(features, values, "regression")
    again = model_class.restore(model.state(), 1, descriptors="rdkit", **options)
    again.load_state_dict(model.state_dict())
    assert torch.equal(model(features), again(features))


def test_several_classes_are_refused_with_the_remedy(data):
    with pytest.raises(ValueError, match="graph or sequence"):
        Ridge(3).fit(data[0], data[1], "multiclass")
