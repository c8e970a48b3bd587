"""Transformer encoder (Vaswani et al. 2017): tokens to one vector a token, each having looked at all others.

tokens [B, T] -> embedding + position -> layers of attention and feed-forward -> Memory
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from molgraph.sequences.layers.attention import MultiHeadAttention, sinusoid
from molgraph.sequences.layers.efficient_attention import (
    BigBirdAttention,
    InducedSetAttention,
    LinformerAttention,
    PerceiverAttention,
)
from molgraph.sequences.text.batch import Memory, TokenBatch, masked_mean
from molgraph.sequences.text.tokenizer import PAD
from molgraph.training.config import require

LONGEST = 512
"""Tokens that a model reads at most, unless it is told otherwise."""


@dataclass(frozen=True)
class TransformerShape:
    """The sizes and kinds of a Transformer encoder or decoder."""

    width: int = 128
    """D, size of the vector of a token."""
    layers: int = 4
    """Layers on top of each other."""
    heads: int = 8
    """Attention heads of a layer."""
    feed_forward: int = 512
    """Inner size of the two-layer network after each attention."""
    dropout: float = 0.1
    """After embedding, attention and feed-forward."""
    positions: str = "sinusoid"
    """``sinusoid``, ``learned``, ``rotary``, or ``none`` (then a full encoder sees a set)."""
    norm: str = "pre"
    """Layer norm before each part (``pre``, Xiong et al. 2020) or after it (``post``, Vaswani)."""
    attention: str = "full"
    """``full``; an encoder may use ``set_transformer``, ``linformer``, ``bigbird`` or ``perceiver``."""
    rank: int = 32
    """What stands for all positions: points of ``set_transformer``, rows of ``linformer``, latents of ``perceiver``."""
    block: int = 32
    """Positions of a block of ``bigbird``, which is full attention up to three blocks."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("positions", ("sinusoid", "learned", "rotary", "none")),
            ("norm", ("pre", "post")),
            ("attention", ("full", "set_transformer", "linformer", "bigbird", "perceiver")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(choices)}")
        require(self.rank >= 1, "model.shape.rank", self.rank, "at least 1")
        require(self.block >= 1, "model.shape.block", self.block, "at least 1")
        if self.positions == "rotary" and self.attention != "full":
            raise ValueError(f"rotary positions need attention=full, not {self.attention}; use sinusoid or learned")


class TokenEmbedding(nn.Module):
    """Token and position to vector.

    Args:
        shape: width, positions and dropout.
        tokens: V, the size of the vocabulary.
        longest: positions that ``learned`` has vectors for.
    """

    def __init__(self, shape: TransformerShape, tokens: int, longest: int) -> None:
        super().__init__()
        self.positions, self.longest = shape.positions, longest
        self.tokens = nn.Embedding(tokens, shape.width, padding_idx=PAD)
        nn.init.normal_(self.tokens.weight, std=shape.width**-0.5)
        self.learned = nn.Parameter(torch.randn(longest, shape.width) * 0.02) if shape.positions == "learned" else None
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Return tokens [B, T], the first of them at position ``first``, to [B, T, D].

        Raises:
            ValueError: if the sequence is longer than learned positions reach.
        """
        x = self.tokens(tokens) * math.sqrt(self.tokens.embedding_dim)
        last = first + tokens.shape[1]
        if self.positions == "sinusoid":
            x = x + sinusoid(tokens.shape[1], x.shape[-1], x.device, first).to(x.dtype)
        elif self.learned is not None:
            if last > self.longest:
                raise ValueError(f"{last} tokens, and the model has learned {self.longest} positions; use rotary")
            x = x + self.learned[first:last]
        return self.dropout(x)


class FeedForward(nn.Sequential):
    """max(0, x W + b) W' + b' at each position, with GELU for the maximum (Vaswani et al. 2017, eq. 2)."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__(
            nn.Linear(shape.width, shape.feed_forward), nn.GELU(), nn.Linear(shape.feed_forward, shape.width)
        )


class Residual(nn.Module):
    """x + part(x) with layer norm before (``pre``) or after (``post``), and dropout on the part."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.norm, self.pre, self.dropout = nn.LayerNorm(shape.width), shape.norm == "pre", nn.Dropout(shape.dropout)

    def before(self, x: Tensor) -> Tensor:
        """Return what the part reads."""
        return self.norm(x) if self.pre else x

    def after(self, x: Tensor, change: Tensor) -> Tensor:
        """Return the sum."""
        return x + self.dropout(change) if self.pre else self.norm(x + self.dropout(change))


class EncoderLayer(nn.Module):
    """Attention of every kind, then feed-forward, each in a residual."""

    def __init__(self, shape: TransformerShape, longest: int = LONGEST) -> None:
        super().__init__()
        self.attention = self_attention(shape, longest)
        self.feed_forward = FeedForward(shape)
        self.around_attention, self.around_feed_forward = Residual(shape), Residual(shape)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return X [B, T, D] to [B, T, D]; mask [B, T] is True at real positions."""
        x = self.around_attention.after(x, self.attention(self.around_attention.before(x), mask=mask))
        return self.around_feed_forward.after(x, self.feed_forward(self.around_feed_forward.before(x)))

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the attention weights of ``forward`` [B, H, T, T].

        Raises:
            ValueError: if the attention is not full: the cheaper kinds have no weight for each pair of tokens.
        """
        if not isinstance(self.attention, MultiHeadAttention):
            kind = type(self.attention).__name__
            raise ValueError(f"{kind} has no weight for each pair of tokens; train with attention=full")
        return self.attention.weights(self.around_attention.before(x), mask=mask)


class TransformerEncoder(nn.Module):
    """A Transformer over tokens.

    Args:
        shape: sizes and kinds.
        tokens: V, the size of the vocabulary.
        longest: tokens of a sequence at most (learned positions and Linformer have parameters for each).
    """

    def __init__(self, shape: TransformerShape, tokens: int, longest: int = LONGEST) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(shape, tokens, longest)
        self.layers = nn.ModuleList(EncoderLayer(shape, longest) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width) if shape.norm == "pre" else nn.Identity()
        self.width = shape.width

    def forward(self, source: TokenBatch) -> Memory:
        """Return tokens [B, T] to states [B, T, D], their mask and their mean [B, D]."""
        x, mask = self.embedding(source.tokens), source.mask
        for layer in self.layers:
            x = layer(x, mask)
        states = self.norm(x)
        return Memory(states, mask, masked_mean(states, mask))

    @property
    def has_weights(self) -> bool:
        """Whether ``attention_maps`` can be had: full attention has a weight for each pair of tokens."""
        return all(isinstance(layer.attention, MultiHeadAttention) for layer in self.layers)

    def attention_maps(self, source: TokenBatch) -> Tensor:
        """Return the attention weights of each layer, [layers, B, H, T, T]; see ``EncoderLayer.weights``."""
        x, mask, maps = self.embedding(source.tokens), source.mask, []
        for layer in self.layers:
            maps.append(layer.weights(x, mask))  # type: ignore[operator]  # nn.Module hides it
            x = layer(x, mask)
        return torch.stack(maps)


def self_attention(shape: TransformerShape, longest: int = LONGEST) -> nn.Module:
    """Return the attention that a shape asks for, a module of (x [B, T, D], mask=[B, T])."""
    if shape.attention == "set_transformer":
        return InducedSetAttention(shape.width, shape.heads, shape.rank)
    if shape.attention == "linformer":
        return LinformerAttention(shape.width, shape.heads, longest, shape.rank)
    if shape.attention == "bigbird":
        return BigBirdAttention(shape.width, shape.heads, shape.block)
    if shape.attention == "perceiver":
        return PerceiverAttention(shape.width, shape.heads, shape.rank)
    return MultiHeadAttention(shape.width, shape.heads, rotary=shape.positions == "rotary")
