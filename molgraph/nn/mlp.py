"""Rows to rows: linear layers with an activation, normalization and dropout between them."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from molgraph.nn.graph import Features


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization of rows; a single row has no spread, so that the running statistics stand in."""

    def forward(self, rows: Tensor) -> Tensor:
        """Map ``[N, F]`` to ``[N, F]``."""
        if rows.shape[0] > 1:
            return super().forward(rows)
        return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


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
