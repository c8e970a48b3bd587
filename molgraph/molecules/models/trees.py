"""Forests on fingerprints: ``Morgan counts -> scikit-learn grows trees -> tensors that are walked in parallel``."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from molgraph.molecules.models.baselines import Array, Baseline, logit


class Forest(Baseline):
    """Regression trees as tensors; what random forests and gradient boosting share.

    Args:
        outputs: numbers to predict.
        trees: trees for each target.
        options: as :class:`Baseline`.
    """

    def __init__(self, outputs: int, trees: int, **options: Any) -> None:
        super().__init__(outputs, **options)
        self.trees = trees
        self.feature: Tensor
        self.threshold: Tensor
        self.branches: Tensor
        self.value: Tensor
        self.offset: Tensor
        self.depth: Tensor
        self.register_buffer("feature", torch.zeros(outputs, trees, 0, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(outputs, trees, 0))
        self.register_buffer("branches", torch.zeros(outputs, trees, 0, 2, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(outputs, trees, 0))
        self.register_buffer("offset", torch.zeros(outputs))
        self.register_buffer("depth", torch.zeros(1, dtype=torch.int64))

    def keep(self, forests: list[list[Any]], leaf: Any, columns: list[Array] | None = None) -> None:
        """Copy fitted trees into the buffers.

        Args:
            forests: for each target its scikit-learn trees.
            leaf: function from a tree's ``value`` array to one number for each node.
            columns: for each target the columns that its trees were grown on; None for all.
        """
        size = max(tree.node_count for trees in forests for tree in trees)
        shape = (len(forests), self.trees, size)
        feature, threshold = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        branches, value = np.zeros((*shape, 2), np.int32), np.zeros(shape, np.float32)
        for target, trees in enumerate(forests):
            for number, tree in enumerate(trees):
                nodes = np.arange(tree.node_count)
                is_leaf = tree.children_left < 0
                at = (target, number, slice(tree.node_count))
                split = np.where(is_leaf, 0, tree.feature)
                feature[at] = split if columns is None else columns[target][split]
                threshold[at] = tree.threshold
                # A leaf is its own child, so that a walk of any length ends in it.
                branches[*at, 0] = np.where(is_leaf, nodes, tree.children_left)
                branches[*at, 1] = np.where(is_leaf, nodes, tree.children_right)
                value[at] = leaf(tree.value)
        self.feature, self.threshold = torch.from_numpy(feature), torch.from_numpy(threshold)
        self.branches, self.value = torch.from_numpy(branches), torch.from_numpy(value)
        self.depth = torch.tensor([max(tree.max_depth for trees in forests for tree in trees)])

    def leaves(self, columns: Tensor, target: int) -> Tensor:
        """Return the value of the leaf that each molecule reaches in each tree ``[B, trees]``."""
        feature, threshold = self.feature[target].long(), self.threshold[target]
        branches, value = self.branches[target].long(), self.value[target]
        tree = torch.arange(feature.shape[0], device=columns.device)
        node = torch.zeros(columns.shape[0], feature.shape[0], dtype=torch.long, device=columns.device)
        for _ in range(int(self.depth)):
            right = (columns.gather(1, feature[tree, node]) > threshold[tree, node]).long()
            node = branches[tree, node, right]
        return value[tree, node]


class RandomForest(Forest):
    """Random forest (Breiman 2001) on fingerprints, the baseline that a graph network has to beat.

    Args:
        outputs: numbers to predict.
        trees: trees of each target.
        share: fraction of the features that each split chooses from.
        leaf: molecules in a leaf at least.
        options: as :class:`Baseline`.
    """

    def __init__(
        self, outputs: int, trees: int = 200, share: float | None = None, leaf: int = 1, **options: Any
    ) -> None:
        super().__init__(outputs, trees, **options)
        self.share, self.leaf = share, leaf
        self.is_classifier: Tensor
        self.register_buffer("is_classifier", torch.zeros((), dtype=torch.bool))

    def learn(self, targets: list[tuple[Array, Array]], kind: str) -> None:
        """Grow a forest for each target."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        forests, usual = [], 1.0 if kind == "regression" else "sqrt"  # scikit-learn's own
        options = {"max_features": self.share or usual, "min_samples_leaf": self.leaf}
        for columns, values in targets:
            forest = RandomForestRegressor if kind == "regression" else RandomForestClassifier
            made = forest(self.trees, random_state=self.seed, n_jobs=-1, **options)
            fitted = made.fit(columns.astype(np.float32), values)
            forests.append([tree.tree_ for tree in fitted.estimators_])
        self.is_classifier = torch.tensor(kind == "classification")
        share = _positive_share if kind == "classification" else _single_value
        self.keep(forests, share)

    def forward(self, features: Tensor) -> Tensor:
        """Return the mean over the trees; for two classes its logit."""
        columns = self.inputs(features)
        means = torch.stack([self.leaves(columns, target).mean(1) for target in range(self.outputs)], dim=1)
        return logit(means) if self.is_classifier else means


class ExtraTrees(RandomForest):
    """Extremely randomized trees (Geurts et al. 2006): thresholds are drawn, and each tree sees all molecules.

    Args:
        outputs: numbers to predict.
        trees: trees of each target.
        share: fraction of the features that each split chooses from, of those that vary at all.
        leaf: molecules in a leaf at least.
        descriptors: ``rdkit``, or ``none`` for Morgan counts alone.
        options: as :class:`Baseline`.
    """

    def __init__(
        self,
        outputs: int,
        trees: int = 100,
        share: float = 0.05,
        leaf: int = 1,
        descriptors: str = "rdkit",
        **options: Any,
    ) -> None:
        super().__init__(outputs, trees, share, leaf, descriptors=descriptors, **options)

    def learn(self, targets: list[tuple[Array, Array]], kind: str) -> None:
        """Grow the trees of each target."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        forests, varied = [], []
        kinds = ExtraTreesRegressor if kind == "regression" else ExtraTreesClassifier
        options = {"max_features": self.share, "min_samples_leaf": self.leaf}
        for columns, values in targets:
            chosen = np.flatnonzero(np.ptp(columns, axis=0) > 0) if len(columns) > 1 else np.arange(1)
            chosen = chosen if len(chosen) else np.arange(1)
            grown = kinds(self.trees, random_state=self.seed, n_jobs=-1, **options)
            fitted = grown.fit(columns[:, chosen].astype(np.float32), values)
            forests.append([tree.tree_ for tree in fitted.estimators_])
            varied.append(chosen)
        self.is_classifier = torch.tensor(kind == "classification")
        self.keep(forests, _positive_share if kind == "classification" else _single_value, varied)


class GradientBoosting(Forest):
    """Gradient boosting (Friedman 2001) on fingerprints.

    Args:
        outputs: numbers to predict.
        trees: rounds of boosting.
        depth: depth of a tree.
        learning_rate: weight of each tree.
        options: as :class:`Baseline`.
    """

    def __init__(
        self, outputs: int, trees: int = 300, depth: int = 5, learning_rate: float = 0.05, **options: Any
    ) -> None:
        super().__init__(outputs, trees, **options)
        self.tree_depth, self.learning_rate = depth, learning_rate

    def learn(self, targets: list[tuple[Array, Array]], kind: str) -> None:
        """Boost each target."""
        from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

        forests, offsets = [], []
        options = {
            "max_depth": self.tree_depth,
            "learning_rate": self.learning_rate,
            "subsample": 0.7,
            "max_features": 0.1,
        }
        for columns, values in targets:
            booster = GradientBoostingRegressor if kind == "regression" else GradientBoostingClassifier
            fitted = booster(n_estimators=self.trees, random_state=self.seed, **options).fit(
                columns.astype(np.float32), values
            )
            forests.append([tree.tree_ for tree in fitted.estimators_[:, 0]])
            start = torch.tensor(float(values.mean()))
            offsets.append(float(start if kind == "regression" else torch.logit(start)))
        self.keep(forests, _single_value)
        self.offset = torch.tensor(offsets)

    def forward(self, features: Tensor) -> Tensor:
        """Return the start value and the weighted sum of the trees."""
        columns = self.inputs(features)
        sums = torch.stack([self.leaves(columns, target).sum(1) for target in range(self.outputs)], dim=1)
        return self.offset + self.learning_rate * sums


def _single_value(values: Array) -> Array:
    return values[:, 0, 0]


def _positive_share(values: Array) -> Array:
    counts = values[:, 0, :]
    return counts[:, 1] / counts.sum(1) if counts.shape[1] > 1 else np.full(len(counts), np.nan)
