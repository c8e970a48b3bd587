"""Several models as one: ``SMILES -> each reading once -> members -> weighted mean -> [B, outputs]``.

A network that learns from the graph, a kernel that compares molecules and trees that cut descriptors err differently,
so their mean errs less than each. Whoever trains a committee (``molgraph.molecules.members``) finds the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from molgraph.molecules.graphs.dataset import Encoded
from molgraph.molecules.models.attribution import Explanation, NoAttention
from molgraph.molecules.models.baselines import logit
from molgraph.molecules.models.predictor import Featurizer, Predictor
from molgraph.molecules.reading.smiles import Standardization
from molgraph.training.config import check_keys, locate, require

MODELS = "molgraph.molecules.models"
MEMBERS: dict[str, dict[str, Any]] = {
    "network": {
        "_target_": f"{MODELS}.graph_predictor.GraphPredictor",
        "encoder": {
            "_target_": f"{MODELS}.encoders.DMPNN",
            "hidden": 200,
            "layers": 3,
            "dropout": 0.0,
            "normalization": "none",
            "residual": True,
        },
        "descriptors": "rdkit",
    },
    "kernel": {"_target_": f"{MODELS}.kernels.KernelRidge"},
    "trees": {"_target_": f"{MODELS}.trees.ExtraTrees"},
}
"""The members of ``model=best``."""


@dataclass(frozen=True)
class Together:
    """What each reading gives of one batch."""

    readings: tuple[Any, ...]
    """One batch for each way of reading."""

    def to(self, device: torch.device) -> Self:
        """Return the batches on ``device``."""
        return type(self)(tuple(reading.to(device) for reading in self.readings))


@dataclass(frozen=True)
class EncodedTogether:
    """A data set in each form that a member reads."""

    padded: ClassVar[bool] = False

    readings: tuple[Encoded, ...]
    """One encoded data set for each way of reading."""

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.readings[0])

    @property
    def sizes(self) -> Sequence[int] | NDArray[np.int64]:
        """Cost of each molecule, as the first reading says it."""
        return self.readings[0].sizes

    def for_epoch(self, number: int) -> "EncodedTogether":
        """Return the molecules as epoch ``number`` reads them."""
        return EncodedTogether(tuple(reading.for_epoch(number) for reading in self.readings))

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Together:
        """Gather molecules into one batch of each reading."""
        return Together(tuple(reading.batch(indices) for reading in self.readings))


@dataclass(frozen=True)
class FeaturizeTogether:
    """Any SMILES to all readings, bad ones reported; runs in worker processes."""

    featurizers: tuple[Featurizer, ...]
    """One for each way of reading."""

    def __call__(self, smiles: Sequence[str]) -> tuple[EncodedTogether, dict[int, str]]:
        """Return the valid molecules in order, and for each bad row its reason."""
        pairs = [featurizer(smiles) for featurizer in self.featurizers]
        return EncodedTogether(tuple(encoded for encoded, _ in pairs)), pairs[0][1]


class Committee(Predictor):
    """A weighted mean of models: of their values, or of their probabilities of two classes.

    Untrained it holds one part of each member; a trained one may hold several, as of a network for each fold.

    Args:
        outputs: numbers to predict.
        members: name and configuration node of each model; None takes :data:`MEMBERS`.
        budget: minutes that training may take; networks that do not fit are left out or trained for fewer steps.
        folds: parts of the training data; each network leaves one out, and is judged on it.
        standardization: what is done to each molecule first.
        seed: divides the molecules into folds.
    """

    def __init__(
        self,
        outputs: int,
        members: dict[str, dict[str, Any]] | None = None,
        budget: float = 1.5,
        folds: int = 5,
        standardization: Standardization | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require(budget > 0, "model.budget", budget, "above 0 minutes")
        require(folds > 1, "model.folds", folds, "at least 2")
        self.members = MEMBERS if members is None else members
        require(len(self.members) > 0, "model.members", self.members, "at least one model")
        self.outputs, self.budget, self.folds, self.seed = outputs, budget, folds, seed
        self.standardization = standardization or Standardization()
        self.names: list[str] = []
        self.parts = nn.ModuleList()
        self.weight: Tensor
        self.two_classes: Tensor
        self.register_buffer("weight", torch.zeros(0))
        self.register_buffer("two_classes", torch.zeros((), dtype=torch.bool))

    @classmethod
    def build(cls, smiles: Sequence[str], outputs: int, **options: Any) -> Self:
        """Return an untrained committee with one part of each member."""
        model = cls(outputs, **check_keys("model", cls, options))
        parts = {name: model.build_member(name, smiles) for name in model.members}
        model.take(list(parts.items()), {name: 1 / len(parts) for name in parts}, "regression")
        return model

    def build_member(self, name: str, smiles: Sequence[str], **changes: Any) -> Predictor:
        """Return an untrained model of a member for data like ``smiles``."""
        kind, options = self._member(name)
        return kind.build(smiles, self.outputs, standardization=self.standardization, **options | changes)

    def restore_member(self, name: str, state: dict[str, Any]) -> Predictor:
        """Return a model of a member whose weights are about to be loaded."""
        kind, options = self._member(name)
        return kind.restore(state, self.outputs, standardization=self.standardization, **options)

    def _member(self, name: str) -> tuple[Any, dict[str, Any]]:
        node = dict(self.members[name])
        if "_target_" not in node:
            raise ValueError(f"model.members.{name} names no model; give it a _target_, or take one of conf/model")
        return locate(node.pop("_target_")), node

    def take(self, parts: Sequence[tuple[str, Predictor]], weights: dict[str, float], kind: str) -> None:
        """Hold these models from now on.

        Args:
            parts: name of the member and model of each part.
            weights: of each member; parts of one member share it.
            kind: ``regression``, ``classification`` or ``multiclass``.
        """
        self.names = [name for name, _ in parts]
        self.parts = nn.ModuleList([part for _, part in parts])
        self.weight = torch.tensor([weights[name] / self.names.count(name) for name in self.names])
        self.two_classes = torch.tensor(kind == "classification")

    def state(self) -> dict[str, Any]:
        """Return the members of the parts with what each needs to be restored."""
        return {"parts": [{"member": name, "state": part.state()} for name, part in self._named()]}

    @classmethod
    def restore(cls, state: dict[str, Any], outputs: int, **options: Any) -> Self:
        """Return a committee whose tensors are about to be loaded."""
        model = cls(outputs, **options)
        parts = []
        for part in state["parts"]:
            parts.append((part["member"], model.restore_member(part["member"], part["state"])))
        model.take(parts, dict.fromkeys((name for name, _ in parts), 1.0), "regression")
        return model

    def encode(
        self, smiles: Sequence[str], workers: int | None = None, console: Console | None = None
    ) -> EncodedTogether:
        """Return a data set of valid SMILES in each form that a member reads."""
        return EncodedTogether(tuple(part.encode(smiles, workers, console) for part in self._readers()))

    def featurizer(self) -> FeaturizeTogether:
        """Return the function that reads any SMILES, for use in other processes."""
        return FeaturizeTogether(tuple(part.featurizer() for part in self._readers()))

    def explain(self, smiles: str, way: str, output: int) -> Explanation:
        """Return the weighted mean of what the members looked at, of those that can say it.

        Raises:
            NoAttention: no member has attention to show.
        """
        found: list[tuple[float, Explanation]] = []
        missing: NoAttention | None = None
        for weight, (_, part) in zip(self.weight.tolist(), self._named(), strict=True):
            try:
                found.append((weight, part.explain(smiles, way, output)))
            except NoAttention as error:
                missing = error
        if not found:
            raise missing or NoAttention("this committee has no member")
        atoms = np.sum([weight * explanation.atoms for weight, explanation in found], axis=0)
        drawn = [weight * explanation.bonds for weight, explanation in found if explanation.bonds is not None]
        bonds = np.sum(drawn, axis=0) if drawn else None
        rest = sum(weight * explanation.rest for weight, explanation in found)
        return Explanation(found[0][1].mol, way, "weighted mean over the committee", atoms, bonds, rest)

    def forward(self, batch: Together) -> Tensor:
        """Map a batch to standardized predictions or logits ``[B, outputs]``."""
        which = self.readings()
        said = [part(batch.readings[which[number]]).float() for number, part in enumerate(self.parts)]
        return combine(torch.stack(said), self.weight, bool(self.two_classes))

    def readings(self) -> list[int]:
        """Return for each part which reading is its own: parts that read alike share one."""
        distinct: list[Any] = []
        which = []
        for _, part in self._named():
            featurizer = part.featurizer()
            if featurizer not in distinct:
                distinct.append(featurizer)
            which.append(distinct.index(featurizer))
        return which

    def _readers(self) -> list[Predictor]:
        which = self.readings()
        return [self._named()[which.index(number)][1] for number in sorted(set(which))]

    def _named(self) -> list[tuple[str, Any]]:
        return list(zip(self.names, self.parts, strict=True))


def combine(said: Tensor, weights: Tensor, two_classes: bool) -> Tensor:
    """Return the weighted mean of predictions, or for two classes the logit of that of the probabilities.

    Args:
        said: of each part ``[P, B, outputs]``.
        weights: ``[P]``, with sum 1.
        two_classes: whether ``said`` are logits of two classes.

    Returns:
        ``[B, outputs]``.
    """
    if two_classes:
        return logit(torch.einsum("p,pbt->bt", weights, said.sigmoid()))
    return torch.einsum("p,pbt->bt", weights, said)
