"""Directed edges and what layers do along them: ``rows of nodes + Edges -> rows of edges -> rows of nodes``.

Edges are sorted by destination, so that a sum over the edges into each node is one kernel. The gradients are written by
hand: the gradient of a neighbour sum is the neighbour sum over the reversed edges, and as the reverse of each edge is
known (every molecule and radius graph has it) that is the same kernel again.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from molgraph.nn.segments import bag, segment_softmax, segment_sum


@dataclass(frozen=True)
class Edges:
    """Directed edges between nodes: bonds of molecules, or pairs of particles."""

    src: Tensor
    """Source node of each edge ``[E]``."""
    dst: Tensor
    """Destination node of each edge ``[E]``, ascending."""
    reverse: Tensor
    """Index of the edge that runs the other way ``[E]``; an edge from a node to itself is its own."""
    offsets: Tensor
    """First edge of each destination ``[N + 1]``: those into node ``i`` are ``offsets[i]:offsets[i + 1]``."""

    @property
    def num_nodes(self) -> int:
        """Number of nodes ``N``, known without asking the device."""
        return self.offsets.shape[0] - 1

    @property
    def num_edges(self) -> int:
        """Number of directed edges ``E``."""
        return self.src.shape[0]

    def to(self, device: torch.device | str) -> Self:
        """Return the same on ``device``."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if value is not None})


def edge_sum(values: Tensor, edges: Edges) -> Tensor:
    """Sum the rows of the edges into each node, ``[E, F] -> [N, F]``."""
    return segment_sum(values, edges.dst, edges.offsets)


def edge_softmax(scores: Tensor, edges: Edges) -> Tensor:
    """Normalize the scores ``[E, H]`` of the edges into each node: positive weights that add up to 1 in each column."""
    return segment_softmax(scores, edges.dst, edges.offsets)


class _NeighborSum(torch.autograd.Function):
    """``out[i] = sum of values[src[k]]`` over the edges ``k`` into ``i``; symmetric graphs are their own transpose."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, src: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(src, offsets)
        return bag(values, src, offsets)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        src, offsets = ctx.saved_tensors
        return bag(gradient.contiguous(), src, offsets), None, None


def neighbor_sum(values: Tensor, edges: Edges) -> Tensor:
    """Sum the rows of each node's neighbours, ``[N, F] -> [N, F]``."""
    return _NeighborSum.apply(values, edges.src, edges.offsets)


class _WeightedNeighborSum(torch.autograd.Function):
    """The neighbour sum with a weight for each edge and head; rows are (node, head), bags are (destination, head)."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weights: Tensor, src: Tensor, dst: Tensor, offsets: Tensor, reverse: Tensor
    ) -> Tensor:
        nodes, heads, width = values.shape
        entries, borders = _per_head(dst, offsets, heads)
        index = src.index_select(0, entries // heads) * heads + entries % heads
        ctx.save_for_backward(values, weights, src, dst, reverse, entries, borders, index)
        rows = values.reshape(nodes * heads, width)
        return bag(rows, index, borders, weights.reshape(-1).index_select(0, entries)).view(nodes, heads, width)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, weights, src, dst, reverse, entries, borders, index = ctx.saved_tensors
        nodes, heads, width = values.shape
        rows = gradient.reshape(nodes * heads, width)
        mirrored = weights.index_select(0, reverse).reshape(-1).index_select(0, entries)
        to_values = bag(rows, index, borders, mirrored).view(nodes, heads, width)
        to_weights = (gradient.index_select(0, dst) * values.index_select(0, src)).sum(-1)
        return to_values, to_weights, None, None, None, None


def _per_head(dst: Tensor, offsets: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Sort the pairs (edge, head), numbered ``edge * heads + head``, by destination and head; and give the borders."""
    edges, head = torch.arange(dst.shape[0], device=dst.device), torch.arange(heads, device=dst.device)
    counts = offsets.diff()
    first = offsets.index_select(0, dst)
    place = (first * (heads - 1) + edges).unsqueeze(1) + head * counts.index_select(0, dst).unsqueeze(1)
    entries = torch.empty_like(place.reshape(-1))
    entries[place.reshape(-1)] = torch.arange(entries.shape[0], device=dst.device)
    starts = (offsets[:-1] * heads).unsqueeze(1) + head * counts.unsqueeze(1)
    return entries, torch.cat([starts.reshape(-1), offsets[-1:] * heads])


def weighted_neighbor_sum(values: Tensor, weights: Tensor, edges: Edges) -> Tensor:
    """Sum each node's neighbours with a weight for each edge and head, as graph attention does.

    Args:
        values: ``[N, H, F]``.
        weights: ``[E, H]``.
        edges: who is whose neighbour.

    Returns:
        ``[N, H, F]``; no ``[E, H, F]`` tensor is made in the forward pass.
    """
    # Under autocast the softmax gives float32 beside bf16 values; the kernel wants one type.
    where = (edges.src, edges.dst, edges.offsets, edges.reverse)
    return _WeightedNeighborSum.apply(values, weights.to(values.dtype), *where)


class _GatherSource(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, src: Tensor, offsets: Tensor, reverse: Tensor) -> Tensor:
        ctx.save_for_backward(offsets, reverse)
        return values.index_select(0, src)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        offsets, reverse = ctx.saved_tensors
        # The edges that leave a node are the reverses of those that reach it, and these lie side by side.
        return bag(gradient.contiguous(), reverse, offsets), None, None, None


def gather_source(values: Tensor, edges: Edges) -> Tensor:
    """Copy each edge's source row, ``values[src]``, ``[N, F] -> [E, F]``; the gradient is a segment sum."""
    return _GatherSource.apply(values, edges.src, edges.offsets, edges.reverse)


class _GatherDestination(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, dst: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(offsets)
        return values.index_select(0, dst)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (offsets,) = ctx.saved_tensors
        rows = torch.arange(gradient.shape[0], device=gradient.device)
        return bag(gradient.contiguous(), rows, offsets), None, None


def gather_destination(values: Tensor, edges: Edges) -> Tensor:
    """Copy each edge's destination row, ``values[dst]``, ``[N, F] -> [E, F]``; the gradient is a segment sum."""
    return _GatherDestination.apply(values, edges.dst, edges.offsets)


class _LineGraphSum(torch.autograd.Function):
    """``out[e] = sum of values[k]`` over the edges ``k`` that end where ``e`` starts, but for the reverse of ``e``."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, src: Tensor, dst: Tensor, offsets: Tensor, reverse: Tensor) -> Tensor:
        ctx.apart = values.is_cuda or torch.compiler.is_compiling()
        if ctx.apart:
            ctx.save_for_backward(dst, offsets, reverse)
            incoming = bag(values, torch.arange(values.shape[0], device=values.device), offsets)
            return incoming.index_select(0, src).sub_(values.index_select(0, reverse))
        before, borders = _edges_before(src, offsets, reverse)
        ctx.save_for_backward(before, borders, reverse)
        return bag(values, before, borders)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        gradient = gradient.contiguous()
        if ctx.apart:
            dst, offsets, reverse = ctx.saved_tensors
            outgoing = bag(gradient, reverse, offsets)
            back = outgoing.index_select(0, dst).sub_(gradient.index_select(0, reverse))
            return back, None, None, None, None
        before, borders, reverse = ctx.saved_tensors
        # An edge adds to those that lead on from it: seen from its reverse, the reverses of those that lead into it.
        back = bag(gradient, reverse.index_select(0, before), borders)
        return back.index_select(0, reverse), None, None, None, None


def _edges_before(src: Tensor, offsets: Tensor, reverse: Tensor) -> tuple[Tensor, Tensor]:
    """List for each edge those that end where it starts, without its reverse, and where each list begins.

    A single bag over these lists reads each row once and writes the result; adding up the nodes first and taking the
    reverse away again moves three times as much. Not on a GPU nor compiled: the length of the lists is data.
    """
    counts = offsets.diff().index_select(0, src) - 1
    borders = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    total = int(borders[-1])
    edge = torch.repeat_interleave(counts, output_size=total)
    first = offsets.index_select(0, src) - borders[:-1]
    before = torch.arange(total, device=src.device) + first.index_select(0, edge)
    return before + (before >= reverse.index_select(0, edge)), borders


def line_graph_sum(values: Tensor, edges: Edges) -> Tensor:
    """For each directed edge, sum the edges that lead into it, without its own reverse (Yang et al. 2019, eq. 4).

    Args:
        values: one row for each directed edge ``[E, F]``.
        edges: where each edge begins and ends.

    Returns:
        ``[E, F]``.
    """
    return _LineGraphSum.apply(values, edges.src, edges.dst, edges.offsets, edges.reverse)
