"""A value for each atom from any graph encoder, beside the one that is read off a token.

SMILES -> AtomGraphs -> GraphBatch -> encoder -> node rows -> head -> [atoms, outputs]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor, nn

from molgraph.molecules.models import build_encoder
from molgraph.molecules.reading import InvalidSmiles, parse
from molgraph.nn.graph import GraphBatch
from molgraph.nn.mlp import mlp
from molgraph.sequences.layers.graph_source import Molecules

POOLED = ("readout", "descriptors")
"""Keys of a graph model that are about the molecule as a whole, and say nothing about its atoms."""


@dataclass(frozen=True)
class AtomGraphs:
    """Molecules as graphs whose nodes are their atoms, in the order in which the SMILES writes them."""

    padded: ClassVar[bool] = False

    smiles: list[str]
    """Of each molecule."""
    molecules: Molecules
    """Their graphs."""

    @classmethod
    def read(cls, smiles: Sequence[str]) -> tuple[Self, dict[int, str]]:
        """Return the molecules that can be read, and a reason for each other row."""
        good, errors = [], {}
        for row, text in enumerate(smiles):
            try:
                parse(text)
                good.append(text)
            except InvalidSmiles as error:
                errors[row] = str(error)
        return cls(good, Molecules.read(good, workers=None)), errors

    def __len__(self) -> int:
        return len(self.smiles)

    @property
    def sizes(self) -> np.ndarray:
        """Atoms of each molecule [rows]."""
        return np.asarray(self.molecules.sizes)

    def atom_batch(self, rows: Sequence[int]) -> GraphBatch:
        """Return the graphs of the given rows, side by side."""
        return self.molecules.batch(rows).graph


class AtomGraphPredictor(nn.Module):
    """Predicts one row of values for each atom: its node row goes to the head.

    Args:
        outputs: values an atom.
        encoder: configuration of the graph encoder (``_target_`` and its options).
        head_layers: linear layers of the head.
        head_dropout: dropout in the head.
    """

    def __init__(self, outputs: int, encoder: dict[str, Any], head_layers: int = 2, head_dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder)
        hidden = self.encoder.hidden
        self.head = mlp(hidden, hidden, outputs, head_layers, head_dropout)

    @classmethod
    def build(cls, smiles: Sequence[str], outputs: int, **options: Any) -> Self:
        """Return a new model; the training part plays no role, and ``readout`` none either.

        Raises:
            ValueError: descriptors are asked for, which are of the molecule and not of an atom, or an unknown key.
        """
        if options.get("descriptors", "none") != "none":
            raise ValueError(
                f"model.descriptors={options['descriptors']} are of a whole molecule; task=atoms takes none"
            )
        chosen = {key: value for key, value in options.items() if key not in POOLED}
        unknown = sorted(set(chosen) - {"encoder", "head_layers", "head_dropout"})
        if unknown:
            raise ValueError(
                f"model does not take {', '.join(unknown)} for task=atoms; use model=gcn, gine, dmpnn, ..."
            )
        return cls(outputs, **chosen)

    def featurizer(self) -> Any:
        """Return the function that reads any SMILES."""
        return AtomGraphs.read

    def state(self) -> dict[str, Any]:
        """Return what rebuilds the model beside its configuration: nothing."""
        return {}

    def forward(self, graph: GraphBatch) -> Tensor:
        """Return predictions [atoms, outputs], the atoms of all molecules in the order in which they are written."""
        return self.head(self.encoder(graph))
