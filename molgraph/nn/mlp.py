"""Rows to rows: linear layers with an activation, normalization and dropout between them."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from molgraph.nn.graph import Features


class _SumOverProcesses(torch.autograd.Function):
    """Each process's loss looks at the sum, so the gradient is a sum over processes, too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization of rows; a single row has no spread, so that the running statistics stand in.

    Where several processes share a batch, the rows of all of them count, as they would in one process.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """Map ``[N, F]`` to ``[N, F]``."""
        if self.training and distributed.is_available() and distributed.is_initialized():
            return self._over_processes(rows)
        if rows.shape[0] > 1:
            return super().forward(rows)
        return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def _over_processes(self, rows: Tensor) -> Tensor:
        count = rows.new_tensor([rows.shape[0]])
        distributed.all_reduce(count)
        mean = _SumOverProcesses.apply(rows.sum(0)) / count
        variance = _SumOverProcesses.apply((rows - mean).square().sum(0)) / count
        unbiased = variance.detach() * count / (count - 1).clamp(min=1)
        for running, now in ((self.running_mean, mean.detach()), (self.running_var, unbiased)):
            if running is not None:
                running.lerp_(now, self.momentum or 0.0)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return (rows - mean) * (variance + self.eps).rsqrt() * self.weight + self.bias


NORMALIZATIONS: dict[str, type[nn.Module]] = {"batch": BatchNorm, "layer": nn.LayerNorm, "none": nn.Identity}


def normalization(kind: str, width: int) -> nn.Module:
    """Return the normalization layer called ``batch``, ``layer`` or ``none``.

    Raises:
        ValueError: another name.
    """
    if kind not in NORMALIZATIONS:
        raise ValueError(f"normalization={kind!r} is unknown; use one of {', '.join(NORMALIZATIONS)}")
    return NORMALIZATIONS[kind](width)


def mlp(inputs: int, hidden: int, outputs: int, layers: int = 2, dropout: float = 0.0) -> nn.Sequential:
    """Return ``layers`` linear layers with ReLU and dropout between them.

    Args:
        inputs: features that come in.
        hidden: features between layers.
        outputs: features that go out.
        layers: number of linear layers, at least 1.
        dropout: probability in front of each linear layer.
    """
    widths = [inputs] + [hidden] * (layers - 1) + [outputs]
    modules: list[nn.Module] = []
    for index, (width_in, width_out) in enumerate(pairwise(widths)):
        modules += [nn.Dropout(dropout), nn.Linear(width_in, width_out)]
        if index < layers - 1:
            modules.append(nn.ReLU())
    return nn.Sequential(*modules)


class FeatureLinear(nn.Linear):
    """A linear layer that reads :class:`~molgraph.nn.graph.Features`: it multiplies the table, then gathers."""

    def forward(self, features: Features) -> Tensor:  # type: ignore[override]
        """Return ``[N, out_features]``."""
        return features.linear(self.weight, self.bias)
