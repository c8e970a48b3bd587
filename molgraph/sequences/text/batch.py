"""The values that pass between data, encoder and decoder: padded tokens, and what an encoder remembers of them.

rows of numbers -> TokenBatch -> Encoder -> Memory -> Decoder
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from molgraph.sequences.text.tokenizer import PAD


@dataclass(frozen=True)
class TokenBatch:
    """Token sequences of different lengths, padded at their ends."""

    tokens: Tensor
    """Token numbers [B, T]."""

    lengths: Tensor
    """Tokens of each row [B], at least 1."""

    @property
    def mask(self) -> Tensor:
        """True at real tokens [B, T]."""
        return torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.lengths[:, None]

    def blank(self) -> "TokenBatch":
        """Return the same batch with nothing to learn from: every token but the first is padding."""
        tokens = self.tokens.clone()
        tokens[:, 1:] = PAD
        return TokenBatch(tokens, self.lengths)

    def to(self, device: torch.device | str) -> "TokenBatch":
        """Return the same batch on another device."""
        return TokenBatch(self.tokens.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True))


@dataclass(frozen=True)
class Memory:
    """What an encoder hands to a decoder or to a pooling: one vector a token (or atom) and one of the whole."""

    states: Tensor
    """One vector a position [B, S, D]."""

    mask: Tensor
    """True at real positions [B, S]."""

    summary: Tensor
    """One vector a sequence [B, D]: an RNN's last states, a Transformer's mean."""

    def select(self, rows: Tensor) -> "Memory":
        """Return the memory of some rows, in that order and repeated where asked, rows [R]."""
        return Memory(self.states[rows], self.mask[rows], self.summary[rows])


def pad(rows: Sequence[Sequence[int]]) -> TokenBatch:
    """Return rows of token numbers to one padded batch."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    flat = np.fromiter((number for row in rows for number in row), dtype=np.int64, count=int(lengths.sum()))
    return gather(flat, np.cumsum(lengths) - lengths, lengths)


def gather(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> TokenBatch:
    """Cut rows out of a flat token table and pads them.

    Args:
        flat: all tokens in a row [total], of any integer type, possibly memory-mapped.
        starts: where each wanted row starts [B].
        lengths: how long it is [B].
    """
    steps = np.arange(lengths.max(initial=1))
    inside = steps < lengths[:, None]
    tokens = np.full(inside.shape, PAD, dtype=np.int64)
    tokens[inside] = flat[(starts[:, None] + steps)[inside]]
    return TokenBatch(torch.from_numpy(tokens), torch.from_numpy(lengths.astype(np.int64)))


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the real positions, states [B, S, D] and mask [B, S] to [B, D]; 0 where a row has none."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
