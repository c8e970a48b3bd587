"""Fingerprints to properties without gradient steps: ``SMILES -> Morgan counts -> scikit-learn -> tensors -> [B, T]``.

scikit-learn fits; what it has learned is copied into tensors, so that a baseline is saved, loaded and called like
every other model, and no pickle is ever read.
"""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from molgraph.molecules.graphs.dataset import Encoded
from molgraph.molecules.models.attribution import Explanation, explain_fingerprint
from molgraph.molecules.models.descriptors import DescriptorBranch
from molgraph.molecules.models.fingerprints import DESCRIPTORS, MORGAN_BITS, VectorSet, fingerprints, read_fingerprints
from molgraph.molecules.models.predictor import Featurizer, Predictor
from molgraph.molecules.reading.smiles import Standardization
from molgraph.training.config import check_keys

Array = NDArray[Any]

MOST_CERTAIN = 1e-4
"""A class probability is kept this far from 0 and 1, so that its logit is finite."""


@dataclass(frozen=True)
class Fingerprints(VectorSet):
    """A data set as a fingerprint model reads it."""

    counts: NDArray[np.uint8]
    """Morgan counts ``[M, MORGAN_BITS]``."""
    descriptors: NDArray[np.float32]
    """RDKit descriptors ``[M, len(DESCRIPTORS)]``."""

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.counts)

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Gather molecules, ``[B, MORGAN_BITS + len(DESCRIPTORS)]``."""
        chosen = np.asarray(indices, dtype=np.int64)
        return torch.from_numpy(
            np.concatenate([self.counts[chosen].astype(np.float32), self.descriptors[chosen]], axis=1)
        )


@dataclass(frozen=True)
class FingerprintFeaturizer:
    """Any SMILES to fingerprints, bad ones reported; runs in worker processes."""

    standardization: Standardization
    """What was done to the molecules of the training data."""

    def __call__(self, smiles: Sequence[str]) -> tuple[Fingerprints, dict[int, str]]:
        """Return the valid molecules in order, and for each bad row its reason."""
        _, errors, columns = read_fingerprints(tuple(smiles), self.standardization)
        return Fingerprints(*columns), errors


class Baseline(Predictor):
    """A model on fingerprints that is fitted in one go.

    Attributes:
        held_out: after :meth:`fit`, what the model says of each molecule that it learned from when that one is left out
            ``[M, outputs]``, where it knows this without being fitted again; else None.

    Args:
        outputs: numbers to predict.
        descriptors: ``none`` for Morgan counts alone, ``rdkit`` to add RDKit's 2D descriptors.
        standardization: what is done to each molecule first.
        seed: for models that draw random numbers.
    """

    def __init__(
        self, outputs: int, descriptors: str = "none", standardization: Standardization | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        if descriptors not in ("none", "rdkit"):
            raise ValueError(f"model.descriptors={descriptors!r} is unknown; use none or rdkit")
        self.outputs, self.seed = outputs, seed
        self.uses_descriptors = descriptors == "rdkit"
        self.standardization = standardization or Standardization()
        self.held_out: Tensor | None = None
        self.normalization = DescriptorBranch(1, 0.0).requires_grad_(False) if self.uses_descriptors else None

    @classmethod
    def build(cls, smiles: Sequence[str], outputs: int, **options: Any) -> Self:
        """Return a model for data like ``smiles``, the training part."""
        model = cls(outputs, **check_keys("model", cls, options))
        if model.normalization is not None:
            model.normalization.normalize_by(fingerprints(smiles, model.standardization)[1])
        return model

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs: the shapes of the fitted tensors."""
        return {"shapes": {name: list(tensor.shape) for name, tensor in self.named_buffers()}}

    @classmethod
    def restore(cls, state: dict[str, Any], outputs: int, **options: Any) -> Self:
        """Return a model whose tensors are about to be loaded."""
        model = cls(outputs, **options)
        for name, shape in state["shapes"].items():
            if "." not in name:
                previous = getattr(model, name)
                model.register_buffer(name, torch.zeros(shape, dtype=previous.dtype))
        return model

    def encode(self, smiles: Sequence[str], workers: int | None = None, console: Console | None = None) -> Encoded:
        """Return a data set of valid SMILES as the model reads it, computed once and cached."""
        return Fingerprints(*fingerprints(smiles, self.standardization, workers, console))

    def featurizer(self) -> Featurizer:
        """Return the function that reads any SMILES, for use in other processes."""
        return FingerprintFeaturizer(self.standardization)

    def explain(self, smiles: str, way: str, output: int) -> Explanation:
        """Return what the model looked at; see :func:`~molgraph.molecules.models.attribution.explain_fingerprint`."""
        return explain_fingerprint(self, smiles, way, output)

    def fingerprint(self, batch: Tensor) -> Tensor:
        """Return the columns that the model sees ``[B, F]``: nothing is learned beneath them."""
        return self.inputs(batch)

    def inputs(self, features: Tensor) -> Tensor:
        """Return the columns that the model sees ``[B, F]``."""
        counts, values = features.split([MORGAN_BITS, len(DESCRIPTORS)], dim=1)
        if self.normalization is None:
            return counts
        return torch.cat([counts, self.normalization.normalized(values)], dim=1)

    def fit(self, features: Tensor, wanted: Tensor, kind: str) -> None:
        """Learn from the training part.

        Args:
            features: as a batch of all molecules.
            wanted: standardized targets, or class numbers ``[M, T]``; NaN where nothing was measured.
            kind: ``regression`` or ``classification``.

        Raises:
            ValueError: ``kind`` is ``multiclass``.
        """
        self.check_kind(kind)
        columns = self.inputs(features).numpy()
        measured = [~wanted[:, target].isnan() for target in range(wanted.shape[1])]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a linear system that is nearly singular: said by the result
            self.learn([(columns[m.numpy()], wanted[m, target].numpy()) for target, m in enumerate(measured)], kind)

    @staticmethod
    def check_kind(kind: str) -> None:
        """Refuse what no baseline knows.

        Raises:
            ValueError: ``kind`` is ``multiclass``.
        """
        if kind == "multiclass":
            raise ValueError(
                "the fingerprint baselines know regression and two classes; choose a graph or sequence model"
            )

    def sample(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of the training part to learn from: all, where the model has no limit."""
        return rows

    def learn(self, targets: list[tuple[Array, Array]], kind: str) -> None:
        """Fit each target on its ``(columns, values)`` and keep the result in buffers; or override :meth:`fit`."""
        raise NotImplementedError(f"{type(self).__name__} says neither how it learns a target nor how it fits all")

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Map a batch to standardized predictions or logits ``[B, outputs]``."""


class Mean(Baseline):
    """Says the mean of the training part, or the share of the positive class, of every molecule."""

    def __init__(self, outputs: int, **options: Any) -> None:
        super().__init__(outputs, **options)
        self.value: Tensor
        self.register_buffer("value", torch.zeros(outputs))

    def learn(self, targets: list[tuple[Array, Array]], kind: str) -> None:
        """Take the mean of each target."""
        means = torch.tensor([float(values.mean()) for _, values in targets])
        self.value = means if kind == "regression" else logit(means)

    def forward(self, features: Tensor) -> Tensor:
        """Return the same row for each molecule."""
        return self.value.expand(features.shape[0], -1)


class Ridge(Baseline):
    """Linear model with a penalty on the squared weights; for two classes, logistic regression.

    Args:
        outputs: numbers to predict.
        penalty: strength of the penalty.
        options: as :class:`Baseline`.
    """

    def __init__(self, outputs: int, penalty: float = 10.0, **options: Any) -> None:
        super().__init__(outputs, **options)
        self.penalty = penalty
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", torch.zeros(outputs, 0))
        self.register_buffer("bias", torch.zeros(outputs))

    def learn(self, targets: list[tuple[Array, Array]], kind: str) -> None:
        """Solve for the weights of each target."""
        from sklearn import linear_model

        weights, biases = [], []
        for columns, values in targets:
            if kind == "regression":
                model = linear_model.Ridge(self.penalty).fit(columns, values)
            else:
                model = linear_model.LogisticRegression(C=1 / self.penalty, max_iter=1000).fit(columns, values)
            weights.append(np.ravel(model.coef_))
            biases.append(float(np.ravel(model.intercept_)[0]))
        self.weight, self.bias = torch.tensor(np.array(weights)).float(), torch.tensor(biases)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``features @ weight.T + bias``."""
        return nn.functional.linear(self.inputs(features), self.weight, self.bias)


def logit(probabilities: Tensor) -> Tensor:
    """Return the logit of probabilities, kept finite."""
    return torch.logit(probabilities.clamp(MOST_CERTAIN, 1 - MOST_CERTAIN))
