"""Molecule to property: ``SMILES -> graphs -> encoder -> readout (+ descriptors) -> head -> [B, outputs]``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from molgraph.molecules.graphs.convert import featurize, featurize_valid, has_stereo_marks
from molgraph.molecules.graphs.dataset import Encoded, GraphSet, molecule_graphs
from molgraph.molecules.graphs.dgl_files import FeatureGraphs, check_features
from molgraph.molecules.graphs.resident import ResidentGraphs
from molgraph.molecules.models.attribution import Explanation, explain_graph
from molgraph.molecules.models.descriptors import DescriptorBranch
from molgraph.molecules.models.encoders import build_encoder
from molgraph.molecules.models.fingerprints import fingerprints, read_fingerprints
from molgraph.molecules.models.predictor import Predictor
from molgraph.molecules.reading.smiles import Standardization
from molgraph.nn.graph import GraphBatch, from_dgl, is_dgl, takes_dgl
from molgraph.nn.mlp import mlp
from molgraph.nn.readout import readout as build_readout
from molgraph.training.config import check_keys


@dataclass(frozen=True)
class EncodedGraphs(GraphSet):
    """A data set as a graph model reads it: flat arrays, and descriptors where the model wants them."""

    padded: ClassVar[bool] = False

    descriptors: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None
    """Morgan counts and descriptors of all molecules, or None."""

    def on(self, device: torch.device) -> ResidentGraphs:
        """Return the same data set, lying on ``device``."""
        return ResidentGraphs.of(self.graphs, self.tables, self.descriptors, device)

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> GraphBatch:
        """Gather molecules into one batch."""
        batch = self.graphs.batch(indices, self.tables)
        if self.descriptors is None:
            return batch
        counts, values = (torch.from_numpy(array[indices]) for array in self.descriptors)
        return replace(batch, graph_features=torch.cat([counts.float().log1p(), values], dim=1))


@dataclass(frozen=True)
class GraphFeaturizer:
    """Any SMILES to what the model reads, bad ones reported; runs in worker processes of ``molgraph predict``."""

    standardization: Standardization
    """What was done to the molecules of the training data."""
    descriptors: bool
    """Whether the model wants descriptors."""

    def __call__(self, smiles: Sequence[str]) -> tuple[EncodedGraphs | FeatureGraphs, dict[int, str]]:
        """Return the valid molecules in order, and for each bad row its reason; ``DGLGraph`` may stand for SMILES."""
        if any(map(is_dgl, smiles)):
            return self._of_dgl(smiles)
        if not self.descriptors:
            graphs, errors = featurize_valid(smiles, self.standardization)
            return EncodedGraphs(graphs), errors
        mols, errors, columns = read_fingerprints(tuple(smiles), self.standardization)
        graphs = featurize(mols, [has_stereo_marks(text) for row, text in enumerate(smiles) if row not in errors])
        return EncodedGraphs(graphs, columns), errors

    def _of_dgl(self, graphs: Sequence[Any]) -> tuple[FeatureGraphs, dict[int, str]]:
        if self.descriptors:
            raise ValueError("this model wants descriptors of molecules, which a DGLGraph does not have; give SMILES")
        good, errors = [], dict[int, str]()
        for row, graph in enumerate(graphs):
            try:
                if not is_dgl(graph):
                    raise ValueError("give SMILES or DGLGraphs, not both in one list")
                check_features(graph, "the DGLGraph")
                from_dgl(graph)
            except ValueError as error:
                errors[row] = str(error)
            else:
                good.append(graph.cpu())
        return FeatureGraphs.of(good) if good else FeatureGraphs(featurize([])), errors


class GraphPredictor(Predictor):
    """A graph encoder, a readout and a head.

    Args:
        outputs: numbers to predict.
        encoder: configuration of the encoder (``_target_`` and its options).
        readout: ``sum``, ``mean``, ``attention``, ``recurrent_attention`` or ``pma``.
        descriptors: ``none``, or ``rdkit`` for RDKit 2D descriptors and Morgan counts, joined at the readout.
        head_layers: linear layers of the head.
        head_dropout: dropout in the head.
        standardization: what is done to each molecule before it becomes a graph.
    """

    def __init__(
        self,
        outputs: int,
        encoder: dict[str, Any],
        readout: str = "mean",
        descriptors: str = "none",
        head_layers: int = 2,
        head_dropout: float = 0.0,
        standardization: Standardization | None = None,
    ) -> None:
        super().__init__()
        if descriptors not in ("none", "rdkit"):
            raise ValueError(f"model.descriptors={descriptors!r} is unknown; use none or rdkit")
        self.standardization = standardization or Standardization()
        self.encoder = build_encoder(encoder)
        hidden = self.encoder.hidden
        self.readout = build_readout(readout, hidden)
        self.uses_descriptors = descriptors == "rdkit"
        width = hidden
        if self.uses_descriptors:
            self.descriptors = DescriptorBranch(hidden, head_dropout)
            width += hidden
        self.head = mlp(width, hidden, outputs, head_layers, head_dropout)

    @classmethod
    def build(cls, smiles: Sequence[str], outputs: int, **options: Any) -> Self:
        """Return a new model for data like ``smiles`` (the training part): descriptors are normalized by it."""
        model = cls(outputs, **check_keys("model", cls, options))
        if model.uses_descriptors:
            model.descriptors.normalize_by(fingerprints(smiles, model.standardization)[1])
        return model

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs beside the configuration: nothing."""
        return {}

    @classmethod
    def restore(cls, state: dict[str, Any], outputs: int, **options: Any) -> Self:
        """Return a model whose weights are about to be loaded."""
        return cls(outputs, **options)

    def encode_graphs(self, graphs: Sequence[Any]) -> Encoded:
        """Return a data set of ``DGLGraph`` as the model reads it.

        Raises:
            ValueError: the model wants descriptors, which a graph does not have.
        """
        if self.uses_descriptors:
            raise ValueError("data.graphs holds no molecules to compute descriptors of; use model.descriptors=none")
        return FeatureGraphs.of(graphs)

    def encode(self, smiles: Sequence[str], workers: int | None = None, console: Console | None = None) -> Encoded:
        """Return a data set of valid SMILES as the model reads it, featurized once and cached."""
        graphs = molecule_graphs(smiles, self.standardization, workers, console)
        return EncodedGraphs(
            graphs, fingerprints(smiles, self.standardization, workers, console) if self.uses_descriptors else None
        )

    def featurizer(self) -> GraphFeaturizer:
        """Return the function that reads any SMILES, for use in other processes."""
        return GraphFeaturizer(self.standardization, self.uses_descriptors)

    def explain(self, smiles: str, way: str, output: int) -> Explanation:
        """Return what the model looked at; see :func:`~molgraph.molecules.models.attribution.explain_graph`."""
        return explain_graph(self, smiles, way, output)

    @takes_dgl
    def fingerprint(self, graph: GraphBatch) -> Tensor:
        """Return the learned fingerprint of each molecule, what the head sees ``[B, F]``."""
        learned = self.readout(self.encoder(graph), graph)
        if not self.uses_descriptors:
            return learned
        if graph.graph_features is None:
            raise ValueError("this model wants descriptors; make its batches with model.encode(smiles)")
        return torch.cat([learned, self.descriptors(graph.graph_features)], dim=1)

    def forward(self, graph: GraphBatch) -> Tensor:
        """Map a batch of molecules to ``[B, outputs]``."""
        return self.head(self.fingerprint(graph))
