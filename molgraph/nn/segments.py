"""Sums over rows that lie side by side: ``rows sorted by segment -> one embedding bag -> a row per segment``.

The rows of segment ``i`` are the slice ``offsets[i]:offsets[i + 1]``: the nodes of a graph, or the edges that end at a
node. A sum is then one ``embedding_bag``, which gathers and adds in a single kernel and keeps no copy of the rows.
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
