"""Recurrent encoder: tokens, read in one or both directions by several layers of cells, to one vector a token.

tokens [B, T] -> embedding -> RecurrentStack -> Memory(states [B, T, D], mask, summary [B, D])
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from molgraph.sequences.layers.cells import Cell, make_cell
from molgraph.sequences.text.batch import Memory, TokenBatch
from molgraph.sequences.text.tokenizer import PAD


@dataclass(frozen=True)
class RecurrentShape:
    """The sizes of a recurrent encoder or decoder."""

    cell: str = "gru"
    """``rnn``, ``lstm``, ``lstm_peephole``, ``lstm_coupled``, ``gru`` or ``gru_reset_first``."""
    width: int = 128
    """Size of the embedding and of the state of one direction."""
    layers: int = 2
    """Layers on top of each other."""
    dropout: float = 0.1
    """Between the layers and before the output."""
    both_ways: bool = True
    """Encoder only: read from both ends."""
    attention: str = "dot"
    """Decoder only: ``none``, ``additive``, ``dot`` or ``bahdanau`` (additive, asked by the state before)."""


class RecurrentStack(nn.Module):
    """Layers of cells over padded sequences; padding never changes a result.

    The forward direction needs no packing, because padding comes after everything that counts; the backward direction
    reads each row reversed within its own length. Padded and masked, that is faster than ``pack_padded_sequence``.

    Args:
        shape: cell, width, layers, dropout and directions.
        inputs: size of an input vector.
        both_ways: overrides the shape's (a decoder reads forward only).
    """

    def __init__(self, shape: RecurrentShape, inputs: int, both_ways: bool | None = None) -> None:
        super().__init__()
        both_ways = shape.both_ways if both_ways is None else both_ways
        self.out = shape.width * (2 if both_ways else 1)
        self.dropout = nn.Dropout(shape.dropout)
        sizes = [inputs, *[self.out] * (shape.layers - 1)]
        self.forwards = nn.ModuleList(make_cell(shape.cell, size, shape.width) for size in sizes)
        self.backwards = nn.ModuleList(make_cell(shape.cell, size, shape.width) for size in sizes if both_ways)

    def forward(self, x: Tensor, lengths: Tensor, fused: bool = True) -> tuple[Tensor, Tensor]:
        """Read x [B, T, I] of the given lengths [B].

        Returns:
            The states [B, T, D] (positions after the end are meaningless) and the last state of each direction of the
            top layer [B, D].
        """
        for layer, cell in enumerate(self.forwards):
            x = self.dropout(x) if layer else x
            outputs = cell(x, fused=fused)
            last = outputs[torch.arange(len(x), device=x.device), lengths - 1]
            if self.backwards:
                back = self.backwards[layer](reverse(x, lengths), fused=fused)
                last = torch.cat([last, back[torch.arange(len(x), device=x.device), lengths - 1]], dim=-1)
                outputs = torch.cat([outputs, reverse(back, lengths)], dim=-1)
            x = outputs
        return x, last


class RecurrentEncoder(nn.Module):
    """An RNN over tokens.

    Args:
        shape: cell, width, layers, dropout and directions.
        tokens: V, the size of the vocabulary.
    """

    def __init__(self, shape: RecurrentShape, tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, shape.width, padding_idx=PAD)
        self.stack = RecurrentStack(shape, shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        self.width = self.stack.out

    def forward(self, source: TokenBatch) -> Memory:
        """Return tokens [B, T] to states [B, T, D] and the last state of each direction [B, D]."""
        states, summary = self.stack(self.dropout(self.embedding(source.tokens)), source.lengths)
        return Memory(states, source.mask, summary)


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Return each row of x [B, T, F] back to front within its length [B]; the padding stays where it is."""
    steps = torch.arange(x.shape[1], device=x.device)
    order = lengths[:, None] - 1 - steps  # negative in the padding
    order = torch.where(order < 0, steps, order)
    return x.gather(1, order.unsqueeze(-1).expand_as(x))


def gradient_through_time(cell: Cell, x: Tensor) -> Tensor:
    """Return how much of the gradient of the last output arrives at each earlier step (Pascanu et al. 2013, section 2).

    Args:
        cell: the cell to unroll.
        x: inputs [B, T, I].

    Returns:
        The norm of d(sum of the last output) / d(state_t) [T]: it fades for a vanilla cell, less so for a gated one.
    """
    with torch.enable_grad():
        states = cell.unroll(x)
        parts = [part for state in states for part in state]
        gradients = torch.autograd.grad(states[-1][0].sum(), parts, allow_unused=True)
    sizes = torch.stack([g.square().sum() if g is not None else x.new_zeros(()) for g in gradients])
    return sizes.view(len(states), cell.parts).sum(1).sqrt()


STEPS_BACK = (1, 2, 5, 10, 20, 50)
"""Distances at which the gradient is logged."""


def gradients_back(encoder: RecurrentEncoder, source: TokenBatch) -> dict[str, float]:
    """Return the norm of the gradient so many steps back, relative to the last step, in the first layer of an encoder.

    Args:
        encoder: its forward cell is unrolled.
        source: sequences of similar length; the padding of the shorter ones is read as well.

    Returns:
        ``gradient_back_10`` and so on; NaN where the sequences are shorter.
    """
    x = encoder.embedding(source.tokens).detach().float()
    norms = gradient_through_time(encoder.stack.forwards[0], x)  # type: ignore[arg-type]  # nn.Module hides it
    relative = (norms / norms[-1]).flip(0).tolist()
    return {f"gradient_back_{back}": relative[back] if back < len(relative) else float("nan") for back in STEPS_BACK}
