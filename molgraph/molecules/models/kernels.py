"""Kernel ridge regression on molecular similarity: ``counts -> min-max kernel of each kind, averaged -> dual weights``.

The min-max (Tanimoto) kernel of two count vectors is ``sum min(x, z) / sum max(x, z)`` (Ralaivola et al., Neural
Networks 18, 1093, 2005). Its mean over kinds of substructures is a kernel too, and better than each of them.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from molgraph.molecules.models.attribution import ATTENTION, GRADIENT, Explanation, NoAttention
from molgraph.molecules.models.baselines import Baseline
from molgraph.molecules.models.substructures import (
    BITS,
    KINDS,
    SubstructureCounts,
    SubstructureFeaturizer,
    counts_without,
    substructure_counts,
)
from molgraph.molecules.reading.smiles import Standardization, parse
from molgraph.training.config import require

PENALTIES = (0.03, 0.1, 0.3, 1.0)
"""Penalties that are tried where none is given: from measured exactly to mostly noise."""
ROWS = 512
"""Molecules whose similarities are computed together."""
MOST_ROWS = 12_000
"""Molecules that a kernel learns from at most; more of them are drawn at random."""


class KernelRidge(Baseline):
    """Kernel ridge regression, which is the mean of a Gaussian process; for two classes, of their labels -1 and 1.

    Up to ``landmarks`` molecules it is solved exactly. Beyond, so many drawn molecules carry the weights, fitted to all
    (Nyström's approximation; Williams & Seeger, NIPS 2000). Scores of classes become logits by Platt's scaling.

    Args:
        outputs: numbers to predict.
        penalty: added to the diagonal of the kernel, whose own is 1; None takes the best on left-out molecules.
        landmarks: molecules that carry weights at most; time grows with its cube.
        standardization: what is done to each molecule first.
        seed: draws the landmarks.
    """

    def __init__(
        self,
        outputs: int,
        penalty: float | None = None,
        landmarks: int = 3000,
        standardization: Standardization | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(outputs, "none", standardization, seed)
        require(penalty is None or penalty > 0, "model.penalty", penalty, "above 0, or null")
        require(landmarks > 0, "model.landmarks", landmarks, "at least 1")
        self.penalty, self.landmarks = penalty, landmarks
        self.bit: Tensor
        self.level: Tensor
        self.spans: Tensor
        self.crow: Tensor
        self.column: Tensor
        self.totals: Tensor
        self.dual: Tensor
        self.offset: Tensor
        self.slope: Tensor
        self.shift: Tensor
        for name, made in _empty(outputs).items():
            self.register_buffer(name, made)

    def encode(
        self, smiles: Sequence[str], workers: int | None = None, console: Console | None = None
    ) -> SubstructureCounts:
        """Return a data set of valid SMILES as the model reads it, computed once and cached."""
        return substructure_counts(smiles, self.standardization, workers, console)

    def featurizer(self) -> SubstructureFeaturizer:
        """Return the function that reads any SMILES, for use in other processes."""
        return SubstructureFeaturizer(self.standardization)

    def explain(self, smiles: str, way: str, output: int) -> Explanation:
        """Return how the prediction changes when the substructures with an atom are taken away.

        Raises:
            NoAttention: ``way`` is ``attention``.
        """
        if way == ATTENTION:
            raise NoAttention("a kernel has no attention; use --by gradient")
        mol = parse(smiles, self.standardization)
        encoded, _ = self.featurizer()([smiles])
        counts = torch.cat([encoded.batch([0]), counts_without(mol)]).to(self.dual.device)
        with torch.no_grad():
            predicted = self(counts)[:, output].double().cpu().numpy()
        return Explanation(mol, GRADIENT, "change without the atom's substructures", predicted[0] - predicted[1:])

    def sample(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows to learn from: at most :data:`MOST_ROWS`."""
        chosen = np.random.default_rng(self.seed).permutation(len(rows))[:MOST_ROWS]
        return rows[np.sort(chosen)]

    def fit(self, features: Tensor, wanted: Tensor, kind: str) -> None:
        """Learn from the training part; see :meth:`Baseline.fit`. Sets :attr:`held_out` by leaving one out."""
        self.check_kind(kind)
        drawn = np.random.default_rng(self.seed).permutation(len(features))[: self.landmarks]
        rows = np.sort(drawn)
        self._keep_support(features[rows])
        similar = torch.cat([self.similarity(part) for part in features.split(ROWS)]).double()
        values = (2 * wanted - 1 if kind == "classification" else wanted).double()
        tried = [self.penalty] if self.penalty else PENALTIES
        solutions = [solve(similar, rows, values, penalty) for penalty in tried]
        best = min(solutions, key=lambda solution: float((solution.left_out - values).square().nanmean()))
        self.dual, self.offset = best.dual.float(), best.offset.float()
        self.held_out = best.left_out.float()
        if kind == "classification":
            self.slope, self.shift = calibration(self.held_out, wanted)
            self.held_out = self.held_out * self.slope + self.shift

    def similarity(self, features: Tensor) -> Tensor:
        """Return the kernel between a batch of counts and the landmarks ``[B, Z]``."""
        total = torch.zeros(len(features), self.totals.shape[1], device=features.device)
        for kind in range(len(KINDS)):
            counts = features[:, kind * BITS : (kind + 1) * BITS]
            shared = self._shared(counts, kind)
            union = counts.sum(1, dtype=torch.float)[:, None] + self.totals[kind] - shared
            # Two molecules without any substructure of a kind, such as two single atoms without pairs, are alike in it.
            total += torch.where(union > 0, shared / union.clamp(min=1), 1.0)
        return total / len(KINDS)

    def forward(self, features: Tensor) -> Tensor:
        """Map a batch of counts to standardized predictions or logits ``[B, outputs]``."""
        scores = self.similarity(features) @ self.dual + self.offset
        return scores * self.slope + self.shift

    def _shared(self, counts: Tensor, kind: int) -> Tensor:
        """Return ``sum min(x, z)`` for one kind ``[B, Z]``: a product of zeros and ones, one column for each count."""
        first, last = int(self.spans[kind]), int(self.spans[kind + 1])
        reached = counts[:, self.bit[first:last]] >= self.level[first:last]
        begin, end = int(self.crow[kind, 0]), int(self.crow[kind, -1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that sparse tensors are new in PyTorch
            support = torch.sparse_csr_tensor(
                self.crow[kind] - begin,
                self.column[begin:end].long(),
                torch.ones(end - begin, device=counts.device),
                (self.totals.shape[1], last - first),
            )
        with torch.autocast(counts.device.type, enabled=False):
            return (support @ reached.T.float()).T

    def _keep_support(self, counts: Tensor) -> None:
        """Store the landmarks' counts ``[Z, WIDTH]`` so that a minimum becomes a product of zeros and ones."""
        bits: list[Tensor] = []
        levels: list[Tensor] = []
        crows: list[Tensor] = []
        columns: list[Tensor] = []
        totals: list[Tensor] = []
        spans, stored = [0], 0
        for kind in range(len(KINDS)):
            part = counts[:, kind * BITS : (kind + 1) * BITS]
            highest = part.amax(0).long()
            bit = torch.repeat_interleave(torch.arange(BITS), highest)
            first = torch.repeat_interleave(highest.cumsum(0) - highest, highest)
            level = torch.arange(len(bit)) - first + 1
            reached = part[:, bit] >= level
            crow = torch.cat([torch.zeros(1, dtype=torch.long), reached.sum(1).cumsum(0)]) + stored
            for kept, new in zip(
                (bits, levels, crows, columns, totals),
                (bit, level, crow, reached.nonzero()[:, 1], part.sum(1)),
                strict=True,
            ):
                kept.append(new)
            spans.append(spans[-1] + len(bit))
            stored = int(crow[-1])
        self.bit, self.level = torch.cat(bits).int(), torch.cat(levels).byte()
        self.spans, self.crow = torch.tensor(spans), torch.stack(crows)
        self.column, self.totals = torch.cat(columns).int(), torch.stack(totals).float()


def calibration(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and shift of each target that turn scores of left-out molecules into logits (Platt 1999).

    Args:
        scores: ``[M, T]``.
        labels: 0, 1, or NaN where nothing was measured ``[M, T]``.
    """
    from sklearn.linear_model import LogisticRegression

    slopes, shifts = torch.ones(labels.shape[1]), torch.zeros(labels.shape[1])
    for target in range(labels.shape[1]):
        measured = ~labels[:, target].isnan()
        wanted = labels[measured, target].numpy()
        if len(np.unique(wanted)) == 2:
            fitted = LogisticRegression(C=10.0).fit(scores[measured, target, None].numpy(), wanted)
            slopes[target], shifts[target] = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return slopes, shifts


def _empty(outputs: int) -> dict[str, Tensor]:
    """Return the buffers of a kernel that has learned nothing."""
    return {
        "bit": torch.zeros(0, dtype=torch.int32),  # of each column of zeros and ones: which substructure
        "level": torch.zeros(0, dtype=torch.uint8),  # and how often it has to occur
        "spans": torch.zeros(len(KINDS) + 1, dtype=torch.int64),  # where the columns of each kind begin
        "crow": torch.zeros(len(KINDS), 1, dtype=torch.int64),  # where the landmarks' entries begin
        "column": torch.zeros(0, dtype=torch.int32),  # of each entry
        "totals": torch.zeros(len(KINDS), 0),  # all counts of a landmark
        "dual": torch.zeros(0, outputs),
        "offset": torch.zeros(outputs),
        "slope": torch.ones(outputs),
        "shift": torch.zeros(outputs),
    }


@dataclass(frozen=True)
class Solution:
    """Dual weights, and what they say of molecules that are left out."""

    dual: Tensor
    """``[Z, T]``."""
    offset: Tensor
    """``[T]``, the mean of the measured values."""
    left_out: Tensor
    """Prediction of each molecule by all others ``[M, T]``; NaN where nothing was measured."""


def solve(similar: Tensor, landmarks: NDArray[np.int64], values: Tensor, penalty: float) -> Solution:
    """Solve kernel ridge regression for each target, and leave each molecule out once.

    Leaving out costs nothing: with the inverse ``G`` of ``K + penalty`` the error of molecule ``i`` is
    ``(G y)_i / G_ii`` (Rasmussen & Williams, Gaussian Processes, 2006, eq. 5.12), and with a hat matrix ``H`` it is
    ``(y - H y)_i / (1 - H_ii)``. The landmarks' choice and the mean are not repeated.

    Args:
        similar: kernel between all molecules and the landmarks ``[M, Z]``.
        landmarks: rows of the landmarks, in order.
        values: targets ``[M, T]``; NaN where nothing was measured.
        penalty: added to the diagonal.
    """
    exact = len(landmarks) == len(similar)
    dual = torch.zeros(len(landmarks), values.shape[1], dtype=torch.float64)
    left_out, offset = torch.full_like(values, torch.nan), values.nanmean(0)
    step: Callable[..., tuple[Tensor, Tensor]] = _exactly if exact else _by_landmarks
    for targets, measured in _patterns(values):
        centred = values[measured][:, targets] - offset[targets]
        rows = measured.nonzero()[:, 0]
        weights, missed = step(similar[rows], similar[torch.from_numpy(landmarks)], rows, centred, penalty)
        if exact:
            dual[rows[:, None], targets] = weights
        else:
            dual[:, targets] = weights
        left_out[rows[:, None], targets] = values[measured][:, targets] - missed
    return Solution(dual, offset, left_out)


def _patterns(values: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the targets that were measured on the same molecules, with a mask of these; each is solved once."""
    measured = ~values.isnan()
    patterns, which = torch.unique(measured, dim=1, return_inverse=True)
    return [((which == number).nonzero()[:, 0], patterns[:, number]) for number in range(patterns.shape[1])]


def _exactly(similar: Tensor, among: Tensor, rows: Tensor, values: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return the dual weights of the measured molecules and the errors of each when it is left out."""
    kernel = similar[:, rows] + penalty * torch.eye(len(rows), dtype=torch.float64)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel))
    weights = inverse @ values
    return weights, weights / inverse.diagonal()[:, None]


def _by_landmarks(
    similar: Tensor, among: Tensor, rows: Tensor, values: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """Return the weights of the landmarks and the errors of the measured molecules when each is left out."""
    inner = similar.T @ similar + penalty * among
    inner.diagonal().add_(1e-6 * float(inner.diagonal().mean()))  # two landmarks may be alike
    factor = torch.linalg.cholesky(inner)
    weights = torch.cholesky_solve(similar.T @ values, factor)
    half = torch.linalg.solve_triangular(factor, similar.T, upper=False)
    missed = (values - similar @ weights) / (1 - half.square().sum(0)).clamp(min=1e-3)[:, None]
    return weights, missed
