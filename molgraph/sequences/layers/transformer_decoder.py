"""Transformer decoder: each token looks at those before it and at the source; keys and values are computed once.

tokens [B, T] -> embedding + position (+ condition) -> causal attention, attention on Memory, feed-forward -> logits
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from molgraph.sequences.layers.attention import MultiHeadAttention, attend
from molgraph.sequences.layers.decoder import Conditioning, Decoder, DecoderState
from molgraph.sequences.layers.transformer import LONGEST, FeedForward, Residual, TokenEmbedding, TransformerShape
from molgraph.sequences.text.batch import Memory


@dataclass(frozen=True)
class LayerCache:
    """Keys and values of one layer; the first ``length`` positions of the state are filled."""

    keys: Tensor
    """Of the tokens so far [B, H, limit, d], allocated once and written in place."""
    values: Tensor
    """Like the keys."""
    memory: tuple[Tensor, Tensor] | None
    """Keys and values of the source, each [B, H, S, d]."""

    def select(self, rows: Tensor) -> "LayerCache":
        """See ``DecoderState``."""
        memory = None if self.memory is None else (self.memory[0][rows], self.memory[1][rows])
        return LayerCache(self.keys[rows], self.values[rows], memory)


@dataclass(frozen=True)
class TransformerState:
    """See ``DecoderState``."""

    layers: tuple[LayerCache, ...]
    """One cache a layer."""
    length: int
    """Tokens so far."""
    extra: Tensor | None
    """What the condition adds to each token's vector [B, D]."""
    mask: Tensor | None
    """True at real source positions [B, S]."""

    def select(self, rows: Tensor) -> "TransformerState":
        """See ``DecoderState``."""
        return TransformerState(
            tuple(layer.select(rows) for layer in self.layers),
            self.length,
            None if self.extra is None else self.extra[rows],
            None if self.mask is None else self.mask[rows],
        )


class DecoderLayer(nn.Module):
    """Causal attention, attention on the memory where there is one, feed-forward, each in a residual."""

    def __init__(self, shape: TransformerShape, memory: bool) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(shape.width, shape.heads, rotary=shape.positions == "rotary")
        self.cross = MultiHeadAttention(shape.width, shape.heads) if memory else None
        self.feed_forward = FeedForward(shape)
        self.around_attention, self.around_feed_forward = Residual(shape), Residual(shape)
        self.around_cross = Residual(shape) if memory else None

    def forward(self, x: Tensor, memory: Memory | None) -> Tensor:
        """Return X [B, T, D] to [B, T, D]."""
        x = self.before_cross(x)
        if memory is not None and self.cross is not None and self.around_cross is not None:
            x = self.around_cross.after(x, self.cross(self.around_cross.before(x), memory.states, memory.mask))
        return self.around_feed_forward.after(x, self.feed_forward(self.around_feed_forward.before(x)))

    def before_cross(self, x: Tensor) -> Tensor:
        """Return the causal attention alone."""
        return self.around_attention.after(x, self.attention.causal(self.around_attention.before(x)))

    def step(self, x: Tensor, cache: LayerCache, state: TransformerState) -> Tensor:
        """Return the newest token alone, x [B, 1, D] to [B, 1, D]; its key and value go into the cache."""
        q, k, v = self.attention.split_at(self.around_attention.before(x), state.length)
        now = slice(state.length, state.length + 1)
        cache.keys[:, :, now], cache.values[:, :, now] = k, v
        # One query on all keys so far has nothing to hide; the fused kernel's causal flag would show it only the first.
        seen = attend(q, cache.keys[:, :, : now.stop], cache.values[:, :, : now.stop])
        x = self.around_attention.after(x, self.attention.merge(seen))
        if (
            cache.memory is not None
            and self.cross is not None
            and self.around_cross is not None
            and state.mask is not None
        ):
            q = self.cross.queries(self.around_cross.before(x))
            x = self.around_cross.after(x, self.cross.merge(attend(q, *cache.memory, state.mask[:, None, None])))
        return self.around_feed_forward.after(x, self.feed_forward(self.around_feed_forward.before(x)))


class TransformerDecoder(Decoder):
    """A GPT without memory, the decoder of Vaswani et al. 2017 with one.

    Args:
        shape: sizes and kinds.
        tokens: V, the size of the vocabulary.
        memory: width of the encoder's states; 0 for a language model.
        condition: number of asked-for values; 0 for none.
        longest: positions that ``learned`` has vectors for.

    Raises:
        ValueError: if the attention is a linear one, which mixes all positions and cannot hide the future.
    """

    def __init__(
        self, shape: TransformerShape, tokens: int, memory: int = 0, condition: int = 0, longest: int = LONGEST
    ) -> None:
        super().__init__()
        if shape.attention != "full":
            raise ValueError(
                f"attention={shape.attention} mixes all positions and cannot be causal; a decoder needs full"
            )
        self.embedding = TokenEmbedding(shape, tokens, longest)
        self.condition = Conditioning(condition, shape.width)
        self.bridge = nn.Linear(memory, shape.width) if memory else None
        self.layers = nn.ModuleList(DecoderLayer(shape, memory > 0) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width) if shape.norm == "pre" else nn.Identity()
        self.out = nn.Linear(shape.width, tokens)

    def forward(self, tokens: Tensor, memory: Memory | None = None, condition: Tensor | None = None) -> Tensor:
        """See ``Decoder.forward``."""
        x, memory = self._embed(tokens, self.condition(condition)), self._bridged(memory)
        for layer in self.layers:
            x = layer(x, memory)
        return self.out(self.norm(x))

    def start(
        self, rows: int, limit: int, memory: Memory | None = None, condition: Tensor | None = None
    ) -> TransformerState:
        """See ``Decoder.start``."""
        memory = self._bridged(memory)
        layers = [layer for layer in self.layers if isinstance(layer, DecoderLayer)]
        heads, size = layers[0].attention.heads, layers[0].attention.width // layers[0].attention.heads
        caches = tuple(
            LayerCache(
                self.out.weight.new_zeros(rows, heads, limit, size),
                self.out.weight.new_zeros(rows, heads, limit, size),
                None if memory is None or layer.cross is None else layer.cross.keys_and_values(memory.states),
            )
            for layer in layers
        )
        return TransformerState(caches, 0, self.condition(condition), None if memory is None else memory.mask)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, TransformerState]:
        """See ``Decoder.step``."""
        if not isinstance(state, TransformerState):
            raise TypeError(f"a TransformerDecoder goes on from its own state, not from {type(state).__name__}")
        limit = state.layers[0].keys.shape[2]
        if state.length >= limit:
            raise ValueError(f"the state was started for {limit} steps and they are done; start it with a larger limit")
        x = self._embed(tokens.unsqueeze(1), state.extra, state.length)
        for layer, cache in zip(self.layers, state.layers, strict=True):
            x = layer.step(x, cache, state)  # type: ignore[operator]  # nn.Module hides it
        return self.out(self.norm(x)).squeeze(1), replace(state, length=state.length + 1)

    def attention(self, tokens: Tensor, memory: Memory, condition: Tensor | None = None) -> Tensor:
        """See ``Decoder.attention``; the last layer's, the mean of its heads."""
        x, bridged = self._embed(tokens, self.condition(condition)), self._bridged(memory)
        *others, last = [layer for layer in self.layers if isinstance(layer, DecoderLayer)]
        if last.cross is None or last.around_cross is None or bridged is None:
            raise ValueError("this decoder was trained without a source; there is nothing to draw")
        for layer in others:
            x = layer(x, bridged)
        query = last.around_cross.before(last.before_cross(x))
        return last.cross.weights(query, bridged.states, bridged.mask).mean(1)

    def _embed(self, tokens: Tensor, extra: Tensor | None, first: int = 0) -> Tensor:
        x = self.embedding(tokens, first)
        return x if extra is None else x + extra.unsqueeze(1)

    def _bridged(self, memory: Memory | None) -> Memory | None:
        if (memory is None) != (self.bridge is None):
            raise ValueError("a translator needs a source, a language model takes none; see the task of the run")
        if memory is None or self.bridge is None:
            return None
        return Memory(self.bridge(memory.states), memory.mask, torch.empty(0))
