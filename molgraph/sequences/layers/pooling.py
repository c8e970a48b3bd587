"""One vector a sequence from one vector a token: last, mean, max or attention.

Memory(states [B, S, D], mask) -> [B, D]
"""

import math

from torch import Tensor, nn

from molgraph.sequences.layers.efficient_attention import SeedAttention
from molgraph.sequences.text.batch import Memory, masked_mean

POOLINGS = ("last", "mean", "max", "attention", "pma")


class Pooling(nn.Module):
    """Pools the states of an encoder; padding has no part in it.

    Args:
        kind: ``last`` (an RNN's last states, a Transformer's mean), ``mean``, ``max``, ``attention`` (a learned weight
            a token, Yang et al. 2016) or ``pma`` (Set Transformer's pooling by multi-head attention).
        width: D.
        heads: of ``pma``.
    """

    def __init__(self, kind: str, width: int, heads: int = 4) -> None:
        super().__init__()
        if kind not in POOLINGS:
            raise ValueError(f"unknown pooling {kind!r}; choose one of {', '.join(POOLINGS)}")
        self.kind = kind
        self.score = (
            nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)) if kind == "attention" else None
        )
        self.seeds = SeedAttention(width, heads) if kind == "pma" else None

    def forward(self, memory: Memory) -> Tensor:
        """Return states [B, S, D] to [B, D]."""
        if self.score is not None:
            return (self.weights(memory).unsqueeze(1) @ memory.states).squeeze(1)
        if self.seeds is not None:
            return self.seeds(memory.states, memory.mask).squeeze(1)
        if self.kind == "mean":
            return masked_mean(memory.states, memory.mask)
        if self.kind == "max":
            return memory.states.masked_fill(~memory.mask.unsqueeze(-1), -math.inf).amax(1)
        return memory.summary

    @property
    def attends(self) -> bool:
        """Whether the tokens have weights."""
        return self.kind in ("attention", "pma")

    def weights(self, memory: Memory) -> Tensor:
        """Return the weight of each token [B, S], which sum to 1; of ``pma`` the mean over the heads.

        Raises:
            ValueError: if the pooling is not by attention.
        """
        if self.seeds is not None:
            return self.seeds.weights(memory.states, memory.mask).mean(1).squeeze(1)
        if self.score is None:
            raise ValueError(f"pooling={self.kind} has no weights; use pooling=attention")
        scores = self.score(memory.states).squeeze(-1)
        return scores.masked_fill(~memory.mask, -math.inf).softmax(-1)
