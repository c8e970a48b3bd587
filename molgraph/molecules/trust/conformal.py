"""Intervals that hold the truth as often as they say: ``|errors| of held-out molecules -> scores -> half-width``.

Split conformal prediction with normalized scores (Papadopoulos et al. 2008; Lei et al. 2018): an expected error is
learned from what is known of a molecule before it is measured, and the quantile of error over expected error makes it
a guarantee on average. The expected error is cross-fitted, so that no molecule judges its own.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOLDS = 5
PENALTY = 5.0
"""Of the ridge that learns the expected error, in rows: with few molecules all intervals are alike."""
WIDEST = 3.0
"""An expected error is at most so many times larger or smaller than the typical one."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ExpectedError:
    """Logarithm of the error, linear in standardized features."""

    center: Array
    """Mean of each feature ``[F]``."""
    scale: Array
    """Standard deviation of each feature ``[F]``."""
    weights: Array
    """Slope of each feature and the constant ``[F + 1]``."""

    @classmethod
    def fit(cls, features: Array, errors: Array) -> Self:
        """Learn from features ``[M, F]`` and absolute errors ``[M]``."""
        center, scale = features.mean(0), features.std(0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        # errors of zero have no logarithm; their size says no more than that they are small
        logs = np.log(np.maximum(errors, 0.05 * max(np.median(errors), 1e-12)))
        columns = (features - center) / scale
        penalty = PENALTY * np.eye(columns.shape[1])
        slopes = np.linalg.solve(columns.T @ columns + penalty, columns.T @ (logs - logs.mean()))
        return cls(center, scale, np.append(slopes, logs.mean()))

    def __call__(self, features: Array) -> Array:
        """Return the expected error of each row of ``features [M, F]``."""
        relative = ((features - self.center) / self.scale) @ self.weights[:-1]
        return np.exp(self.weights[-1] + np.clip(relative, -math.log(WIDEST), math.log(WIDEST)))


@dataclass(frozen=True)
class Conformal:
    """The calibration of one target."""

    expected: ExpectedError
    """Error that a molecule is expected to have."""
    scores: Array
    """Error over expected error of the held-out molecules, ascending ``[M]``."""

    @classmethod
    def fit(cls, features: Array, errors: Array, seed: int = 0) -> Self | None:
        """Calibrate on held-out molecules; None where fewer than ten were measured.

        Args:
            features: what is known of each molecule without its value ``[M, F]``.
            errors: absolute errors ``[M]``; NaN where nothing was measured.
            seed: of the folds.
        """
        known = ~np.isnan(errors)
        features, errors = features[known], errors[known]
        if len(errors) < 10:
            return None
        fold = np.random.default_rng(seed).permutation(len(errors)) % FOLDS
        scores = np.empty(len(errors))
        for number in range(FOLDS):
            inside = fold != number
            scores[~inside] = errors[~inside] / ExpectedError.fit(features[inside], errors[inside])(features[~inside])
        return cls(ExpectedError.fit(features, errors), np.sort(scores))

    def half_width(self, features: Array, coverage: float) -> Array:
        """Return how far the truth may lie from the prediction ``[M]``, at a coverage between 0 and 1.

        With too few molecules for a coverage the largest score stands in, and the interval is a little too narrow.
        """
        rank = min(len(self.scores), math.ceil((len(self.scores) + 1) * coverage))
        return self.scores[rank - 1] * self.expected(features)

    def state(self) -> dict[str, Any]:
        """Return tensors for a checkpoint."""
        parts = {"center": self.expected.center, "scale": self.expected.scale, "weights": self.expected.weights}
        return {name: torch.from_numpy(np.asarray(part)) for name, part in (parts | {"scores": self.scores}).items()}

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> Self:
        """Return the inverse of :meth:`state`."""
        parts = {name: tensor.numpy() for name, tensor in state.items()}
        return cls(ExpectedError(parts["center"], parts["scale"], parts["weights"]), parts["scores"])
