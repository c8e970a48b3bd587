"""Positions to edges: every pair closer than a radius, in an open, walled or periodic box, with no cap on neighbours.

positions -> tree (CPU) | cell list (GPU) -> edges sorted by destination, each with its reverse
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from molgraph.nn.edges import Edges
from molgraph.nn.graph import import_dgl
from molgraph.particles.geometry.cells import cell_pairs
from molgraph.particles.geometry.space import Box
from molgraph.particles.geometry.trees import position_tree

if TYPE_CHECKING:
    import dgl


def radius_edges(
    positions: Tensor, radius: float, box: Box, graph: Tensor | None = None, self_edges: bool = False
) -> Edges:
    """Return edges between all particles at most ``radius`` apart.

    On periodic axes the minimum image counts: a pair has one edge each way also where the radius exceeds half a period.

    Args:
        positions: ``[N, D]``.
        radius: search radius, in the unit of the positions.
        box: walls play no role here, periods do.
        graph: ascending graph number of each particle ``[N]``; edges stay inside a graph. One graph by default.
        self_edges: whether each particle also has an edge to itself (as in GNS).

    Returns:
        The edges, on the device of the positions.

    Raises:
        ValueError: a radius that is not positive, positions of another dimension than the box, or not finite.

    >>> edges = radius_edges(torch.tensor([[0.0, 0.0], [0.5, 0.0], [2.0, 0.0]]), 1.0, Box.open(2))
    >>> edges.src.tolist(), edges.dst.tolist(), edges.reverse.tolist()
    ([1, 0], [0, 1], [1, 0])
    """
    if not (radius > 0 and math.isfinite(radius)):
        raise ValueError(f"radius must be positive and finite, got {radius}")
    if positions.ndim != 2 or positions.shape[1] != box.dim:
        raise ValueError(f"positions of shape {tuple(positions.shape)} do not fit a box of {box.dim} dimensions")
    positions = box.wrap(positions.detach())
    if positions.is_cuda:
        dst, src = cell_pairs(positions, radius, box, graph)
        return _sorted_edges(dst, src, len(positions), self_edges)
    half = _tree_pairs(positions.double().numpy(), radius, box, None if graph is None else graph.numpy())
    return _edges_of_half_list(half, len(positions), self_edges)


def _tree_pairs(positions: np.ndarray, radius: float, box: Box, graph: np.ndarray | None) -> np.ndarray:
    """Return unordered pairs ``[P, 2]`` by scipy's k-d tree."""
    if not np.isfinite(positions).all():
        row = int(np.flatnonzero(~np.isfinite(positions).all(1))[0])
        raise ValueError(f"particle {row} is at {positions[row].tolist()}; remove or repair it")
    if len(positions) == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if graph is not None:
        starts = np.flatnonzero(np.diff(graph, prepend=-1))
        pieces = [_tree_pairs(p, radius, box, None) for p in np.split(positions, starts[1:])]
        return np.concatenate([pairs + start for pairs, start in zip(pieces, starts, strict=True)])
    tree = position_tree(positions, box, balanced_tree=False, compact_nodes=False)
    return tree.query_pairs(radius, output_type="ndarray")


def _edges_of_half_list(half: np.ndarray, num_nodes: int, self_edges: bool) -> Edges:
    loops = np.arange(num_nodes if self_edges else 0)
    one, other = np.concatenate([half[:, 0], loops]), np.concatenate([half[:, 1], loops])
    # a number for each edge sorts by destination, then source; values sort several times faster than an index does
    key = np.sort(np.concatenate([one * num_nodes + other, half[:, 1] * num_nodes + half[:, 0]]))
    dst, src = np.divmod(key, max(num_nodes, 1))
    # the list is symmetric: the transposed matrix has, in the place of edge k, the number of the edge that runs back
    ends = np.searchsorted(dst, np.arange(num_nodes + 1))
    number = np.arange(len(key))
    reverse = csr_matrix((number, src, ends), shape=(num_nodes, num_nodes)).tocsc().data
    return Edges(*map(torch.from_numpy, (src, dst, reverse, ends)))


def _sorted_edges(dst: Tensor, src: Tensor, num_nodes: int, self_edges: bool) -> Edges:
    if self_edges:
        loops = torch.arange(num_nodes, device=dst.device)
        dst, src = torch.cat([dst, loops]), torch.cat([src, loops])
    key = torch.sort(dst * num_nodes + src).values
    dst, src = key // max(num_nodes, 1), key % max(num_nodes, 1)
    # the list is symmetric: sorting by (src, dst) gives, in the place of edge k, the edge that runs the other way
    return Edges(src, dst, torch.argsort(src * num_nodes + dst), _offsets(dst, num_nodes))


def _offsets(dst: Tensor, num_nodes: int) -> Tensor:
    """Return the first edge of each destination ``[N + 1]``."""
    return torch.searchsorted(dst, torch.arange(num_nodes + 1, device=dst.device))


def fade(vector: Tensor) -> Tensor:
    """Return the weight of each pair ``[E, 1]`` from its distance over the radius: 1 at 0, 0 at the radius."""
    return (1 - vector.square().sum(1, keepdim=True)).clamp(min=0)


@dataclass
class NeighborList:
    """Edges that are rebuilt only after some particle has moved half the skin since the last search.

    The stored edges reach up to ``radius + skin``; ``find`` filters them to the radius.

    Args:
        radius: interaction radius.
        box: the box.
        skin: extra search distance; 0 searches at every step.
        self_edges: whether each particle has an edge to itself.
    """

    radius: float
    box: Box
    skin: float = 0.0
    self_edges: bool = False
    searches: int = field(default=0, init=False)
    """How often the full search ran."""
    _reference: Tensor | None = field(default=None, init=False, repr=False)
    _edges: Edges | None = field(default=None, init=False, repr=False)

    def find(self, positions: Tensor) -> Edges:
        """Return the edges within the radius at these positions ``[N, D]``."""
        if self.skin <= 0:
            self.searches += 1
            return radius_edges(positions, self.radius, self.box, self_edges=self.self_edges)
        if self._edges is None or self._moved(positions):
            self.searches += 1
            self._reference = positions.detach().clone()
            self._edges = radius_edges(positions, self.radius + self.skin, self.box, self_edges=self.self_edges)
        return _within(self._edges, positions, self.radius, self.box)

    def _moved(self, positions: Tensor) -> bool:
        if self._reference is None or self._reference.shape != positions.shape:
            return True
        moved = self.box.displacement(positions, self._reference).square().sum(1).amax()
        return bool(moved > (self.skin / 2) ** 2) or not bool(torch.isfinite(moved))


def _within(edges: Edges, positions: Tensor, radius: float, box: Box) -> Edges:
    """Return the edges no longer than ``radius``; order and reverse survive because a pair stays or goes as a whole."""
    length = box.displacement(positions[edges.dst], positions[edges.src]).square().sum(1)
    keep = length <= radius**2
    place = torch.cumsum(keep, 0) - 1
    dst = edges.dst[keep]
    return Edges(edges.src[keep], dst, place[edges.reverse[keep]], _offsets(dst, edges.num_nodes))


def to_dgl(edges: Edges, positions: Tensor) -> "dgl.DGLGraph":
    """Return the edges as a ``DGLGraph`` with positions in ``ndata["positions"]``, for whoever works with DGL."""
    graph = import_dgl().graph((edges.src.cpu(), edges.dst.cpu()), num_nodes=edges.num_nodes)
    graph.ndata["positions"] = positions.detach().cpu()
    return graph
