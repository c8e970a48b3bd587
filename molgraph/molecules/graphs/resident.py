"""A whole data set on the device: ``EncodedGraphs -> ResidentGraphs``, whose batches are gathered where they are used.

The host knows the size of every molecule, so that no batch waits for the device; it sends the numbers of the chosen
molecules and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgraph.molecules.graphs.arrays import MoleculeGraphs
from molgraph.molecules.graphs.dataset import GraphSet
from molgraph.nn.graph import Features, GraphBatch, Kinds


@dataclass(frozen=True)
class ResidentGraphs(GraphSet):
    """The flat arrays of ``MoleculeGraphs`` as tensors of one device; the host keeps its own for the sizes."""

    padded: ClassVar[bool] = False

    atom_offsets: Tensor
    """First atom of each molecule ``[M + 1]``."""
    edge_offsets: Tensor
    """First directed edge of each molecule ``[M + 1]``."""
    atoms: Tensor
    """Row of each atom in the table, and its first edge counted within its molecule ``[A, 2]``."""
    edges: Tensor
    """Source, destination, reverse (within the molecule), table row and pair of each edge ``[E, 5]``."""
    pairs: tuple[Tensor, Tensor]
    """Table rows of source and edge of each pair of ``Kinds`` ``[P]``."""
    features: tuple[Tensor, Tensor]
    """Feature rows of the vocabularies of atoms and bonds."""
    descriptors: tuple[Tensor, Tensor] | None
    """Morgan counts ``[M, bits]`` and descriptors ``[M, D]`` of all molecules, or None."""

    @classmethod
    def of(
        cls,
        graphs: MoleculeGraphs,
        tables: tuple[Tensor, Tensor],
        descriptors: tuple[NDArray[np.uint8], NDArray[np.float32]] | None,
        device: torch.device,
    ) -> Self:
        """Copy a data set to ``device``."""
        pair_of_edge, *pairs = graphs.kinds
        edges = np.stack([graphs.src, graphs.dst, graphs.reverse, graphs.edges, pair_of_edge], axis=1)
        there = [torch.from_numpy(array).to(device) for array in descriptors or ()]
        return cls(
            graphs,
            torch.from_numpy(graphs.atom_offsets).to(device),
            torch.from_numpy(graphs.edge_offsets).to(device),
            torch.from_numpy(np.stack([graphs.atoms, graphs.first_edges], axis=1)).to(device),
            torch.from_numpy(edges).to(device),
            (torch.from_numpy(pairs[0]).to(device), torch.from_numpy(pairs[1]).to(device)),
            (tables[0].to(device), tables[1].to(device)),
            (there[0], there[1]) if there else None,
        )

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> GraphBatch:
        """Gather molecules into one batch on the device, as ``MoleculeGraphs.batch`` does on the host."""
        on_host = np.asarray(indices, dtype=np.int64)
        chosen = torch.from_numpy(on_host).to(self.atoms.device, non_blocking=True)
        node_graph, atom_rows, graph_offsets = _slices(
            self.atom_offsets, chosen, _total(self.graphs.atom_offsets, on_host)
        )
        edge_graph, edge_rows, edge_starts = _slices(
            self.edge_offsets, chosen, _total(self.graphs.edge_offsets, on_host)
        )
        atoms, edges = self.atoms[atom_rows].long(), self.edges[edge_rows].long()
        base = graph_offsets[edge_graph]
        return GraphBatch(
            src=edges[:, 0] + base,
            dst=edges[:, 1] + base,
            reverse=edges[:, 2] + edge_starts[edge_graph],
            offsets=torch.cat([atoms[:, 1] + edge_starts[node_graph], edge_starts[-1:]]),
            node_features=Features(self.features[0], atoms[:, 0].contiguous()),
            edge_features=Features(self.features[1], edges[:, 3].contiguous()),
            node_graph=node_graph,
            graph_offsets=graph_offsets,
            graph_features=self._graph_features(chosen),
            # all pairs of the data set: those of the batch could only be counted by waiting for the device
            kinds=Kinds(*self.pairs, edges[:, 4].contiguous()),
        )

    def _graph_features(self, chosen: Tensor) -> Tensor | None:
        if self.descriptors is None:
            return None
        counts, values = (rows[chosen] for rows in self.descriptors)
        return torch.cat([counts.float().log1p(), values], dim=1)


def _total(offsets: NDArray[np.int64], chosen: NDArray[np.int64]) -> int:
    return int((offsets[chosen + 1] - offsets[chosen]).sum())


def _slices(offsets: Tensor, chosen: Tensor, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for the slices of the chosen molecules end to end: owner and row of each element, and their offsets."""
    first = offsets[chosen]
    counts = offsets[chosen + 1] - first
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    owner = torch.repeat_interleave(torch.arange(len(chosen), device=offsets.device), counts, output_size=total)
    return owner, torch.arange(total, device=offsets.device) + (first - starts[:-1])[owner], starts
