"""Many graphs as one: ``GraphBatch``, the single type that the graph layers see.

``DGLGraph -> from_dgl -> GraphBatch -> layer -> rows for nodes, edges or graphs``. It runs on PyTorch alone, the same
on CPU and GPU, because DGL's wheels on PyPI have no CUDA.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from molgraph.nn.edges import Edges

if TYPE_CHECKING:
    import dgl


@dataclass(frozen=True)
class Features:
    """Rows that repeat: a table of distinct rows, and for each node or edge the number of its row.

    A thousand molecules have about two hundred distinct atoms. The first linear layer multiplies the table and gathers
    the products, hundreds of rows instead of tens of thousands.
    """

    table: Tensor
    """Distinct feature rows ``[V, F]``."""
    index: Tensor | None = None
    """Row of each node or edge ``[N]``; None where the table has one row for each already."""

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``rows @ weight.T + bias`` ``[N, H]``."""
        product = F.linear(self.table, weight, bias)
        return product if self.index is None else product.index_select(0, self.index)

    def rows(self) -> Tensor:
        """Return the rows written out ``[N, F]``."""
        return self.table if self.index is None else self.table.index_select(0, self.index)

    def padded(self, count: int) -> "Features":
        """Return the features with ``count`` more rows, any that there are."""
        if self.index is not None:
            return Features(self.table, F.pad(self.index, (0, count)))
        return Features(F.pad(self.table, (0, 0, 0, count)))

    def to(self, device: torch.device | str) -> "Features":
        """Return the features on ``device``."""
        return Features(self.table.to(device), None if self.index is None else self.index.to(device))


@dataclass(frozen=True)
class Kinds:
    """Edges that begin alike: the distinct pairs of a source's and an edge's feature row, and the pair of each edge.

    A thousand molecules have a few hundred such pairs. What a layer makes of an edge and its source alone, it can make
    once for each pair.
    """

    node_rows: Tensor
    """Row of the source in the node table, for each pair ``[P]``."""
    edge_rows: Tensor
    """Row of the edge in the edge table, for each pair ``[P]``."""
    index: Tensor
    """Pair of each edge ``[E]``."""

    def padded(self, count: int) -> "Kinds":
        """Return the pairs of ``count`` more edges, any that there are, in one of a few shapes."""
        more = next_size(len(self.node_rows)) - len(self.node_rows)
        return Kinds(F.pad(self.node_rows, (0, more)), F.pad(self.edge_rows, (0, more)), F.pad(self.index, (0, count)))

    def to(self, device: torch.device | str) -> "Kinds":
        """Return the pairs on ``device``."""
        return Kinds(self.node_rows.to(device), self.edge_rows.to(device), self.index.to(device))


@dataclass(frozen=True)
class GraphBatch(Edges):
    """Edges with features at both ends. Graphs lie side by side: nodes of graph 0, then of graph 1, ..."""

    node_features: Features
    """Features of the nodes, ``N`` rows."""
    edge_features: Features
    """Features of the edges, ``E`` rows."""
    node_graph: Tensor
    """Graph of each node ``[N]``, ascending."""
    graph_offsets: Tensor
    """First node of each graph ``[B + 1]``."""
    graph_features: Tensor | None = None
    """Features of whole graphs ``[B, D]`` that join at the readout, or None."""
    kinds: Kinds | None = None
    """Which edges begin alike, where that is known."""

    @property
    def num_graphs(self) -> int:
        """Number of graphs ``B``."""
        return self.graph_offsets.shape[0] - 1

    def padded(self) -> Self:
        """Return the batch in one of a few shapes: a graph at the end holds further nodes, whose edges are loops.

        Real nodes have no edge to the added ones. The shapes are known to the host, so that nothing waits for a GPU.
        """
        edges = next_size(self.num_edges)
        # At most four loops at a node, so that none becomes a hub.
        nodes = next_size(self.num_nodes + max(1, -(-(edges - self.num_edges) // 4)))
        graphs = next_size(self.num_graphs + 1)
        more_nodes, more_edges = nodes - self.num_nodes, edges - self.num_edges
        device = self.src.device
        spread = torch.arange(more_edges, device=device) * more_nodes // max(1, more_edges)
        counts = torch.zeros(more_nodes, dtype=torch.long, device=device).index_add_(0, spread, torch.ones_like(spread))
        ends, loops = spread + self.num_nodes, torch.arange(self.num_edges, edges, device=device)
        extra = None if self.graph_features is None else F.pad(self.graph_features, (0, 0, 0, graphs - self.num_graphs))
        return replace(
            self,
            src=torch.cat([self.src, ends]),
            dst=torch.cat([self.dst, ends]),
            reverse=torch.cat([self.reverse, loops]),
            offsets=torch.cat([self.offsets, self.num_edges + counts.cumsum(0)]),
            node_features=self.node_features.padded(more_nodes),
            edge_features=self.edge_features.padded(more_edges),
            node_graph=F.pad(self.node_graph, (0, more_nodes), value=self.num_graphs),
            graph_offsets=F.pad(self.graph_offsets, (0, graphs - self.num_graphs), value=nodes),
            graph_features=extra,
            kinds=None if self.kinds is None else self.kinds.padded(more_edges),
        )


def next_size(count: int) -> int:
    """Return the next of a few sizes, at most a quarter larger: 4, 5, 6, 7 times a power of two.

    >>> [next_size(count) for count in (0, 3, 9, 100, 1000)]
    [4, 4, 10, 112, 1024]
    """
    unit = 1
    while 7 * unit < count:
        unit *= 2
    return max(4 * unit, -(-count // unit) * unit)


def import_dgl() -> Any:
    """Import DGL with its PyTorch backend chosen, so that it writes no configuration into the home folder.

    DGL 2.1.0, the only one on PyPI for Python 3.12, does not import beside a current PyTorch because of its sub-package
    ``dgl.graphbolt``, a data loader of which nothing is used here; an empty stand-in takes its place.
    """
    import types

    os.environ.setdefault("DGLBACKEND", "pytorch")
    if "dgl" not in sys.modules and sys.version_info >= (3, 12):
        sys.modules.setdefault("dgl.graphbolt", types.ModuleType("dgl.graphbolt"))
    import dgl

    return dgl


def edge_order(graph: "dgl.DGLGraph") -> Tensor:
    """Return the edges of a ``DGLGraph`` in the order of a :class:`GraphBatch`, by destination and source ``[E]``."""
    src, dst = (ends.long() for ends in graph.edges())
    return torch.argsort(dst * graph.num_nodes() + src)


def from_dgl(graph: "dgl.DGLGraph", featured: bool = True) -> GraphBatch:
    """Turn a (batched) ``DGLGraph`` with ``features`` on nodes and edges into a :class:`GraphBatch`.

    Args:
        graph: any edge order; every edge needs its reverse, once.
        featured: False for the structure alone, which is all that a layer needs that is given its rows.

    Raises:
        ValueError: ``features`` are missing, or an edge has no reverse.
    """
    for name, data in (("node", graph.ndata), ("edge", graph.edata)) if featured else ():
        if "features" not in data:
            raise ValueError(f"the DGLGraph has no {name} data 'features'; make it with molgraph.smiles_to_graph")
    src, dst = (ends.long() for ends in graph.edges())
    nodes = graph.num_nodes()
    order = edge_order(graph)
    src, dst = src[order], dst[order]
    reverse = torch.argsort(src * nodes + dst)
    if not (torch.equal(src[reverse], dst) and torch.equal(dst[reverse], src)):
        raise ValueError("each edge of the DGLGraph needs its reverse exactly once; see dgl.to_bidirected")
    counts = graph.batch_num_nodes().long()
    none = torch.zeros(0, device=src.device)
    return GraphBatch(
        src=src,
        dst=dst,
        reverse=reverse,
        offsets=offsets_of(torch.bincount(dst, minlength=nodes)),
        node_features=Features(graph.ndata["features"].float() if featured else none.new_zeros(nodes, 0)),
        edge_features=Features(graph.edata["features"].float()[order] if featured else none.new_zeros(len(src), 0)),
        node_graph=torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts),
        graph_offsets=offsets_of(counts),
    )


def is_dgl(value: Any) -> bool:
    """Return whether a value is a ``DGLGraph``; DGL is not imported to find out."""
    return "dgl" in sys.modules and isinstance(value, getattr(sys.modules["dgl"], "DGLGraph", ()))


EDGE_ROWS = ("edges", "messages")
"""Arguments of layers that hold a row for each edge: they come in the order of the ``DGLGraph``'s edges."""


def takes_dgl(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method with an argument ``graph`` take a (batched) ``DGLGraph``, or a list of them, for a ``GraphBatch``.

    A method that is given ``nodes`` needs no ``features`` in it. Rows of edges are those of the ``DGLGraph``'s edges.
    """
    names = list(inspect.signature(function).parameters)[1:]
    place, featured = names.index("graph"), "nodes" not in names
    rows = [number for number, name in enumerate(names) if name in EDGE_ROWS]

    @functools.wraps(function)
    def accepting(self: Any, *given: Any, **named: Any) -> Any:
        graph = given[place] if place < len(given) else named.get("graph")
        if isinstance(graph, Edges):
            return function(self, *given, **named)
        if isinstance(graph, list | tuple) and graph and all(map(is_dgl, graph)):
            graph = import_dgl().batch(list(graph))
        if not is_dgl(graph):
            raise TypeError(f"a graph has to be a GraphBatch or a DGLGraph, not {type(graph).__name__}")
        values = [named[name] if name in named else given[number] for number, name in enumerate(names)]
        values[place] = from_dgl(graph, featured)
        for number in rows:
            values[number] = None if values[number] is None else values[number][edge_order(graph)]
        return function(self, *values)

    return accepting


class GraphModule(torch.nn.Module):
    """A module whose ``forward`` reads a graph: a ``DGLGraph`` gives the same numbers as its ``GraphBatch``."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "forward" in vars(cls) and "graph" in inspect.signature(cls.forward).parameters:
            cls.forward = takes_dgl(cls.forward)


def to_dgl(batch: GraphBatch) -> "dgl.DGLGraph":
    """Turn a :class:`GraphBatch` into a batched ``DGLGraph`` with ``features`` on nodes and edges."""
    graph = import_dgl().graph((batch.src, batch.dst), num_nodes=batch.num_nodes)
    graph.set_batch_num_nodes(batch.graph_offsets.diff())
    edges = batch.offsets[batch.graph_offsets]
    graph.set_batch_num_edges(edges.diff())
    graph.ndata["features"] = batch.node_features.rows()
    graph.edata["features"] = batch.edge_features.rows()
    return graph


def offsets_of(counts: Tensor) -> Tensor:
    """Return the borders ``[0, c0, c0 + c1, ...]`` of slices with the given lengths."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
