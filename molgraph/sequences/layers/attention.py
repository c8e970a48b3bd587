"""Attention: softmax(q k / sqrt(d)) v, by the fused kernel for speed and written out where its weights are wanted.

query [B, T, D], memory [B, S, D] -> heads [B, H, T, D / H] -> attend -> [B, T, D]
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Return scaled dot-product attention by PyTorch's fused kernel (Vaswani et al. 2017, eq. 1).

    Args:
        q: queries [..., T, d].
        k: keys [..., S, d].
        v: values [..., S, d].
        mask: True where a query may look, broadcastable to [..., T, S]; each row needs one True.
        causal: query t sees the keys 0..t only; needs T = S, because the fused kernel counts from the first key.

    Raises:
        ValueError: if causal is asked for with T different from S (a cached step needs no mask at all).
    """
    if causal and q.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"causal attention of {q.shape[-2]} queries on {k.shape[-2]} keys; a cached step is not causal"
        )
    if causal and mask is not None:
        steps = torch.arange(q.shape[-2], device=q.device)
        return functional.scaled_dot_product_attention(q, k, v, mask & (steps <= steps[:, None]))
    return functional.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
    """Return the weights that ``attend`` uses and does not show, written out: [..., T, S]; they sum to 1 over S."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        steps = torch.arange(q.shape[-2], device=q.device)
        scores = scores.masked_fill(steps > steps[:, None], -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side (Vaswani et al. 2017, section 3.2.2).

    Args:
        width: D, size of the vectors that come and go.
        heads: H; D is divided among them.
        rotary: turn queries and keys by their positions (Su et al. 2021), for self-attention only.
    """

    def __init__(self, width: int, heads: int, rotary: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be divided among {heads} heads; choose a multiple")
        if rotary and width // heads % 2:
            raise ValueError(f"rotary positions need an even head size, not {width // heads}; change width or heads")
        self.heads, self.width, self.rotary = heads, width, rotary
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, query: Tensor, memory: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return each query looks at the memory.

        Args:
            query: [B, T, D].
            memory: [B, S, D]; None is self-attention.
            mask: True at real memory positions [B, S]; None means all.
        """
        q, k, v = self.split(query, query if memory is None else memory)
        return self.merge(attend(q, k, v, None if mask is None else mask[:, None, None]))

    def causal(self, x: Tensor) -> Tensor:
        """Return self-attention of x [B, T, D] in which no position sees a later one."""
        return self.merge(attend(*self.split(x, x), causal=True))

    def weights(self, query: Tensor, memory: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return the weights of ``forward``, [B, H, T, S]."""
        q, k, _ = self.split(query, query if memory is None else memory)
        return attention_weights(q, k, None if mask is None else mask[:, None, None])

    def split(self, query: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries [B, H, T, d] and keys and values [B, H, S, d]."""
        if query is memory:
            return self.split_at(query, 0)
        return self.queries(query), *self.keys_and_values(memory)

    def split_at(self, x: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of self-attention for x [B, T, D] that starts at position ``first``."""
        q, k, v = (self._by_head(part) for part in self.project_in(x).chunk(3, dim=-1))
        return (rotate(q, first), rotate(k, first), v) if self.rotary else (q, k, v)

    def queries(self, query: Tensor) -> Tensor:
        """Return the queries alone, [B, T, D] to [B, H, T, d], without rotation."""
        weight, bias = self.project_in.weight, self.project_in.bias
        return self._by_head(functional.linear(query, weight[: self.width], bias[: self.width]))

    def keys_and_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values alone, [B, S, D] to twice [B, H, S, d], unrotated; a decoder needs them once."""
        weight, bias = self.project_in.weight, self.project_in.bias
        k, v = functional.linear(memory, weight[self.width :], bias[self.width :]).chunk(2, dim=-1)
        return self._by_head(k), self._by_head(v)

    def merge(self, x: Tensor) -> Tensor:
        """Return heads [B, H, T, d] back to [B, T, D]."""
        return self.project_out(x.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class AdditiveScore(nn.Module):
    """score(s, h) = v tanh(W s + U h) (Bahdanau et al. 2015, section A.1.2).

    Args:
        query: size of s.
        memory: size of h.
        width: inner size; small, because the scores need a [B, T, S, width] tensor.
    """

    def __init__(self, query: int, memory: int, width: int = 64) -> None:
        super().__init__()
        self.query, self.memory = nn.Linear(query, width), nn.Linear(memory, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """Return U h for each memory position, [B, S, E] to [B, S, width]; a decoder computes it once."""
        return self.memory(memory)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return query [B, T, D] and ``keys(memory)`` to scores [B, T, S]."""
        return self.score(torch.tanh(self.query(query).unsqueeze(2) + keys.unsqueeze(1))).squeeze(-1)


class DotScore(nn.Module):
    """score(s, h) = s W h / sqrt(d) (Luong et al. 2015, eq. 8, the score "general"; scaled as in Vaswani et al. 2017).

    Without the scale the softmax is too sharp at the start and attention learns later.

    Args:
        query: size of s.
        memory: size of h.
    """

    def __init__(self, query: int, memory: int) -> None:
        super().__init__()
        self.memory = nn.Linear(memory, query, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """Return W h for each memory position, [B, S, E] to [B, S, D]; a decoder computes it once."""
        return self.memory(memory)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return query [B, T, D] and ``keys(memory)`` to scores [B, T, S]."""
        return query @ keys.transpose(1, 2) / math.sqrt(query.shape[-1])


def rotate(x: Tensor, first: int = 0) -> Tensor:
    """Turn pairs of features by angles that grow with the position (Su et al. 2021, eq. 34).

    Args:
        x: queries or keys [B, H, T, d], d even.
        first: position of the first of them, where earlier ones are in a cache.
    """
    half = x.shape[-1] // 2
    positions = torch.arange(first, first + x.shape[-2], device=x.device)
    angles = positions[:, None] * _frequencies(half, x.device)
    sin, cos = angles.sin().to(x.dtype), angles.cos().to(x.dtype)
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)


def sinusoid(length: int, width: int, device: torch.device | None = None, first: int = 0) -> Tensor:
    """Return sines and cosines at geometric wavelengths [length, width] (Vaswani et al. 2017, section 3.5)."""
    positions = torch.arange(first, first + length, device=device)
    angles = positions[:, None] * _frequencies((width + 1) // 2, device)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def _frequencies(count: int, device: torch.device | None) -> Tensor:
    return 10_000.0 ** (-torch.arange(count, device=device) / count)
