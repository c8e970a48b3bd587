"""What is said beside a prediction: ``prediction, neighbors -> interval, domain, nearest``; learned once, then kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from molgraph.molecules.trust.conformal import Conformal
from molgraph.molecules.trust.neighbors import Neighbors

NEIGHBORS = 5
"""Training molecules that tell how hard a molecule is."""
OUTSIDE, EDGE = 0.05, 0.2
"""Shares of the held-out molecules that are farther from the training molecules than what is called inside."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What is said of one molecule."""

    low: list[float]
    """Lower end of the interval of each target; NaN where there is none."""
    high: list[float]
    """Upper end."""
    domain: str
    """``inside``, ``edge`` or ``outside`` of what the model has learned from."""
    nearest: list[tuple[str, float, list[float]]]
    """SMILES, similarity and measured values of the nearest training molecules."""


@dataclass(frozen=True)
class Trust:
    """Neighbours, calibration of each target, and the borders of the domain."""

    neighbors: Neighbors
    """The training molecules."""
    targets: list[Conformal | None]
    """Calibration of each target; None where there is none, as for classes."""
    borders: tuple[float, float]
    """Similarity to the nearest training molecule below which a molecule is outside, and at the edge."""

    @classmethod
    def learn(cls, neighbors: Neighbors, smiles: Sequence[str], predicted: Array, measured: Array) -> Self:
        """Calibrate on molecules that were not trained on.

        Args:
            neighbors: the training molecules.
            smiles: the held-out molecules ``[M]``.
            predicted: their predictions ``[M, T]``; an empty second axis calibrates nothing but the domain.
            measured: their values ``[M, T]``; NaN where nothing was measured exactly.
        """
        rows, similarity = neighbors.nearest(smiles, NEIGHBORS)
        targets = [
            Conformal.fit(
                _features(neighbors, rows, similarity, predicted[:, column], column),
                np.abs(predicted[:, column] - measured[:, column]),
            )
            for column in range(predicted.shape[1])
        ]
        nearest = similarity[:, 0] if len(similarity) else np.ones(1)
        borders = (float(np.quantile(nearest, OUTSIDE)), float(np.quantile(nearest, EDGE)))
        return cls(neighbors, targets, borders)

    def intervals(self, smiles: Sequence[str], predicted: Array, coverage: float) -> Array:
        """Return the half-width of the interval of each prediction ``[M, T]``; NaN where a target has none."""
        rows, similarity = self.neighbors.nearest(smiles, NEIGHBORS)
        return self._half_widths(rows, similarity, predicted, coverage)

    def judge(self, smiles: Sequence[str], predicted: Array, coverage: float, count: int) -> list[Verdict]:
        """Return what is said of valid molecules ``[M]`` with predictions ``[M, T]``."""
        rows, similarity = self.neighbors.nearest(smiles, max(NEIGHBORS, count))
        half = self._half_widths(rows[:, :NEIGHBORS], similarity[:, :NEIGHBORS], predicted, coverage)
        verdicts = []
        for number in range(len(smiles)):
            near = [
                (self.neighbors.smiles[row], float(share), self.neighbors.values[row].tolist())
                for row, share in zip(rows[number, :count], similarity[number, :count], strict=True)
            ]
            low, high = predicted[number] - half[number], predicted[number] + half[number]
            verdicts.append(Verdict(low.tolist(), high.tolist(), self._domain(float(similarity[number, 0])), near))
        return verdicts

    def _domain(self, similarity: float) -> str:
        outside, edge = self.borders
        return "outside" if similarity < outside else "edge" if similarity < edge else "inside"

    def _half_widths(self, rows: NDArray[np.int64], similarity: Any, predicted: Array, coverage: float) -> Array:
        half = np.full(predicted.shape, np.nan)
        for column, target in enumerate(self.targets):
            if target is not None:
                known = _features(self.neighbors, rows, similarity, predicted[:, column], column)
                half[:, column] = target.half_width(known, coverage)
        return half

    def state(self) -> dict[str, Any]:
        """Return tensors for a checkpoint."""
        return {
            "neighbors": self.neighbors.state(),
            "targets": [target.state() if target else {} for target in self.targets],
            "borders": torch.tensor(self.borders, dtype=torch.float64),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the inverse of :meth:`state`."""
        targets = [Conformal.restore(part) if part else None for part in state["targets"]]
        outside, edge = state["borders"].tolist()
        return cls(Neighbors.restore(state["neighbors"]), targets, (outside, edge))


def _features(neighbors: Neighbors, rows: NDArray[np.int64], similarity: Any, predicted: Array, column: int) -> Array:
    """Return what tells how hard molecules are ``[M, 4]``: far, between opinions, against them."""
    values = neighbors.values[rows, column]
    known = ~np.isnan(values)
    weights = np.where(known, similarity.astype(np.float64) + 1e-3, 0.0)
    total = np.maximum(weights.sum(1), 1e-12)
    mean = (weights * np.where(known, values, 0.0)).sum(1) / total
    spread = np.sqrt((weights * np.where(known, values - mean[:, None], 0.0) ** 2).sum(1) / total)
    against = np.where(known.any(1), np.abs(predicted - mean), 0.0)
    distance = 1.0 - similarity.astype(np.float64)
    return np.stack([distance[:, 0], distance.mean(1), spread, against], axis=1)
