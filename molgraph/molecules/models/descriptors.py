"""RDKit descriptors and Morgan counts as networks read them: ``[B, counts + descriptors] -> normalized -> [B, H]``."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgraph.molecules.models.fingerprints import DESCRIPTORS, MORGAN_BITS

DESCRIPTOR_WIDTH = MORGAN_BITS + len(DESCRIPTORS)


class DescriptorBranch(nn.Module):
    """Normalized descriptors and Morgan counts to ``hidden`` features.

    Args:
        hidden: features that come out.
        dropout: probability of dropping a descriptor or a count.
    """

    LIMIT = 4.0
    """Descriptors are cut to this many standard deviations: a salt or a peptide is not worth a hundred of them."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(len(DESCRIPTORS)))
        self.register_buffer("scale", torch.ones(len(DESCRIPTORS)))
        self.linear = nn.Sequential(nn.Dropout(dropout), nn.Linear(DESCRIPTOR_WIDTH, hidden), nn.ReLU())

    def normalize_by(self, values: NDArray[np.float32]) -> None:
        """Set mean and spread from the descriptors of the training part ``[M, len(DESCRIPTORS)]``."""
        table = torch.from_numpy(values).double()
        spread = table.std(0, correction=0)
        self.mean.copy_(table.mean(0))
        # A descriptor that never varies carries nothing, and would blow up where it does vary.
        self.scale.copy_(torch.where(spread > 1e-8, 1 / spread.clamp(min=1e-8), 0.0))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, MORGAN_BITS + len(DESCRIPTORS)]`` to ``[B, hidden]``."""
        counts, values = features.split([MORGAN_BITS, len(DESCRIPTORS)], dim=1)
        return self.linear(torch.cat([counts, self.normalized(values)], dim=1))

    def normalized(self, values: Tensor) -> Tensor:
        """Return descriptors in standard deviations from their mean, cut at :data:`LIMIT`."""
        return ((values - self.mean) * self.scale).clamp(-self.LIMIT, self.LIMIT)
