"""A molecule graph as the source of a decoder: each atom is a position that attention can look at.

SMILES -> MoleculeGraphs -> MoleculeBatch -> graph encoder -> node rows [N, D] -> Memory [B, S, D]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from molgraph.molecules.graphs import GraphSet, molecule_graphs
from molgraph.molecules.models import build_encoder
from molgraph.molecules.reading import Standardization
from molgraph.nn.graph import GraphBatch
from molgraph.nn.readout import readout as build_readout
from molgraph.sequences.text.batch import Memory

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class MoleculeBatch:
    """Molecule graphs, and where the atoms of each stand when molecules are the rows of a padded table."""

    graph: GraphBatch
    """Atoms and bonds of B molecules side by side."""
    places: Tensor
    """Node of each atom of each molecule [B, S], S the most atoms of one; 0 in the padding."""
    mask: Tensor
    """True at real atoms [B, S]."""

    @classmethod
    def of(cls, graph: GraphBatch, sizes: np.ndarray) -> Self:
        """Lay out a batch whose molecules have that many atoms [B]; the sizes are known before it goes to a device."""
        steps = np.arange(sizes.max(initial=1))
        mask = steps < sizes[:, None]
        places = np.where(mask, (np.cumsum(sizes) - sizes)[:, None] + steps, 0)
        return cls(graph, torch.from_numpy(places), torch.from_numpy(mask))

    def to(self, device: torch.device | str) -> "MoleculeBatch":
        """Return the same batch on another device."""
        places, mask = (tensor.to(device, non_blocking=True) for tensor in (self.places, self.mask))
        return MoleculeBatch(self.graph.to(torch.device(device)), places, mask)


@dataclass(frozen=True)
class Molecules(GraphSet):
    """The molecules of a corpus as graphs, ready to be batched."""

    padded: ClassVar[bool] = True

    @classmethod
    def read(cls, smiles: Sequence[str], workers: int | None = 0, console: "Console | None" = None) -> Self:
        """Return valid SMILES to graphs; many are featurized once and cached."""
        return cls(molecule_graphs(smiles, Standardization(), workers, console))

    def batch(self, rows: Sequence[int] | np.ndarray) -> MoleculeBatch:
        """Return the given rows."""
        rows = np.asarray(rows, dtype=np.int64)
        return MoleculeBatch.of(self.graphs.batch(rows, self.tables), self.sizes[rows])


class MoleculeEncoder(nn.Module):
    """Any graph encoder of ``molecules`` as the encoder of a decoder.

    Args:
        encoder: configuration of the graph encoder (``_target_`` and its options).
        readout: how atoms become the summary: ``sum``, ``mean``, ``attention`` or ``recurrent_attention``.
    """

    def __init__(self, encoder: dict[str, Any], readout: str = "mean") -> None:
        super().__init__()
        self.graph = build_encoder(encoder)
        self.width = self.graph.hidden
        self.readout = build_readout(readout, self.width)

    def forward(self, source: MoleculeBatch) -> Memory:
        """Return B molecules to the states of their atoms [B, S, D] and the summary of each [B, D]."""
        nodes = self.graph(source.graph)
        states = nodes[source.places] * source.mask.unsqueeze(-1)
        return Memory(states, source.mask, self.readout(nodes, source.graph))
