"""Sums over edges and over the nodes of a graph: ``rows sorted by segment -> one embedding bag -> a row per segment``.

Edges are sorted by destination, so the edges that end at node ``i`` are the slice ``offsets[i]:offsets[i + 1]``. A sum
over a segment is then one ``embedding_bag``, which gathers and adds in a single kernel and keeps no ``[E, F]`` copy.
The gradients are written by hand: the gradient of a neighbour sum is the neighbour sum over the reversed edges, and
where the graph knows the reverse of each edge (every molecule and radius graph does) that is the same kernel again.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def bag(values: Tensor, index: Tensor, offsets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return ``out[i] = sum of weights[k] * values[index[k]] for k in offsets[i]:offsets[i + 1]``, without gradient.

    Args:
        values: rows ``[M, F]``.
        index: rows to add ``[K]``.
        offsets: borders of the segments ``[S + 1]``, the first 0 and the last ``K``.
        weights: one factor for each entry of ``index`` ``[K]``, or None for 1.

    Returns:
        Sums ``[S, F]``; an empty segment gives zeros.
    """
    if values.shape[0] == 0 or index.shape[0] == 0:
        return values.new_zeros(offsets.shape[0] - 1, values.shape[1])
    return F.embedding_bag(index, values, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


class _SegmentSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, segment: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(segment)
        return bag(values, torch.arange(values.shape[0], device=values.device), offsets)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (segment,) = ctx.saved_tensors
        return gradient.index_select(0, segment), None, None


def segment_sum(values: Tensor, segment: Tensor, offsets: Tensor) -> Tensor:
    """Sum rows that are sorted by segment.

    Args:
        values: ``[K, F]``.
        segment: segment of each row ``[K]``, ascending.
        offsets: borders of the segments ``[S + 1]``.

    Returns:
        ``[S, F]``; an empty segment gives zeros.

    >>> segment_sum(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2, 3])).flatten()
    tensor([3., 0., 4.])
    """
    return _SegmentSum.apply(values, segment, offsets)


def segment_mean(values: Tensor, segment: Tensor, offsets: Tensor) -> Tensor:
    """Average rows that are sorted by segment, as in :func:`segment_sum`; an empty segment gives zeros."""
    return segment_sum(values, segment, offsets) / offsets.diff().clamp(min=1).unsqueeze(1)


def segment_max(values: Tensor, offsets: Tensor) -> Tensor:
    """Largest of the rows of each segment, without gradient.

    Args:
        values: ``[K, F]``, the rows of each segment side by side.
        offsets: borders of the segments ``[S + 1]``.

    Returns:
        ``[S, F]``; an empty segment gives zeros.
    """
    if values.shape[0] == 0:
        return values.new_zeros(offsets.shape[0] - 1, values.shape[1])
    rows = torch.arange(values.shape[0], device=values.device)
    return F.embedding_bag(rows, values.detach(), offsets, mode="max", include_last_offset=True)


def segment_softmax(scores: Tensor, segment: Tensor, offsets: Tensor) -> Tensor:
    """Normalize scores within each segment, stable for scores of any size.

    Args:
        scores: ``[K, H]``, one column for each attention head.
        segment: segment of each row ``[K]``, ascending.
        offsets: borders of the segments ``[S + 1]``.

    Returns:
        Positive weights ``[K, H]`` that add up to 1 in each segment and column.
    """
    segments = offsets.shape[0] - 1
    index = segment.unsqueeze(1).expand_as(scores)
    # The largest score only shifts the exponent and cancels, so it needs no gradient.
    largest = scores.new_zeros(segments, scores.shape[1]).scatter_reduce(
        0, index, scores.detach(), "amax", include_self=False
    )
    exponential = (scores - largest.index_select(0, segment)).exp()
    total = exponential.new_zeros(segments, scores.shape[1]).index_add(0, segment, exponential)
    return exponential / total.index_select(0, segment)


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


def neighbor_sum(values: Tensor, src: Tensor, offsets: Tensor) -> Tensor:
    """Sum the rows of each node's neighbours in a graph that holds the reverse of each of its edges.

    Args:
        values: one row for each node ``[N, F]``.
        src: source of each edge ``[E]``, edges sorted by destination.
        offsets: first edge of each destination ``[N + 1]``.

    Returns:
        ``[N, F]``.
    """
    return _NeighborSum.apply(values, src, offsets)


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


def weighted_neighbor_sum(
    values: Tensor, weights: Tensor, src: Tensor, dst: Tensor, offsets: Tensor, reverse: Tensor
) -> Tensor:
    """Sum each node's neighbours with a weight for each edge and head, as graph attention does.

    Args:
        values: ``[N, H, F]``.
        weights: ``[E, H]``.
        src: source of each edge ``[E]``.
        dst: destination of each edge ``[E]``, ascending.
        offsets: first edge of each destination ``[N + 1]``.
        reverse: index of each edge's reverse ``[E]``.

    Returns:
        ``[N, H, F]``; no ``[E, H, F]`` tensor is made in the forward pass.
    """
    # Under autocast the softmax gives float32 beside bf16 values; the kernel wants one type.
    return _WeightedNeighborSum.apply(values, weights.to(values.dtype), src, dst, offsets, reverse)


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


def gather_source(values: Tensor, src: Tensor, offsets: Tensor, reverse: Tensor) -> Tensor:
    """Copy each edge's source row, ``values[src]``, with a gradient that is a segment sum.

    Args:
        values: ``[N, F]``.
        src: source of each edge ``[E]``.
        offsets: first edge of each destination ``[N + 1]``.
        reverse: index of each edge's reverse ``[E]``.

    Returns:
        ``[E, F]``.
    """
    return _GatherSource.apply(values, src, offsets, reverse)


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


def gather_destination(values: Tensor, dst: Tensor, offsets: Tensor) -> Tensor:
    """Copy each edge's destination row, ``values[dst]`` ``[E, F]``, with a gradient that is a segment sum."""
    return _GatherDestination.apply(values, dst, offsets)


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


def line_graph_sum(values: Tensor, src: Tensor, dst: Tensor, offsets: Tensor, reverse: Tensor) -> Tensor:
    """For each directed edge, sum the edges that lead into it, without its own reverse (Yang et al. 2019, eq. 4).

    Args:
        values: one row for each directed edge ``[E, F]``.
        src: source of each edge ``[E]``.
        dst: destination of each edge ``[E]``, ascending.
        offsets: first edge of each destination ``[N + 1]``.
        reverse: index of each edge's reverse ``[E]``.

    Returns:
        ``[E, F]``.
    """
    return _LineGraphSum.apply(values, src, dst, offsets, reverse)
