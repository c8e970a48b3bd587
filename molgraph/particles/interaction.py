"""One round of message passing: edges look at their two ends, nodes at the sum of their edges.

node latents, edge latents -> edge MLP -> sum over edges -> node MLP -> residuals
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from molgraph.nn.segments import bag, segment_sum

from .neighbors import Edges

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


def latent_mlp(inputs: int, width: int, activation: str = "relu") -> nn.Sequential:
    """Two hidden layers and a normalized output, the MLP of GNS (Sanchez-Gonzalez et al. 2020, section 4.2)."""
    act = ACTIVATIONS[activation]
    return nn.Sequential(
        nn.Linear(inputs, width), act(), nn.Linear(width, width), act(), nn.Linear(width, width), nn.LayerNorm(width)
    )


def decoder_mlp(inputs: int, width: int, outputs: int, activation: str = "relu") -> nn.Sequential:
    """Two hidden layers and a plain output."""
    act = ACTIVATIONS[activation]
    return nn.Sequential(nn.Linear(inputs, width), act(), nn.Linear(width, width), act(), nn.Linear(width, outputs))


class _PairSum(torch.autograd.Function):
    """``at_src[src] + at_dst[dst]`` for each edge: one bag of two rows, and two bags for the gradient."""

    @staticmethod
    def forward(
        ctx: Any, at_src: Tensor, at_dst: Tensor, src: Tensor, dst: Tensor, reverse: Tensor, offsets: Tensor
    ) -> Tensor:
        ctx.save_for_backward(reverse, offsets)
        index = torch.stack([src, dst + len(at_src)], dim=1).flatten()
        return bag(torch.cat([at_src, at_dst]), index, torch.arange(0, len(index) + 1, 2, device=src.device))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        reverse, offsets = ctx.saved_tensors
        gradient = gradient.contiguous()
        # the edges that leave a node are the reverses of those that reach it, and these lie side by side
        leaving = bag(gradient, reverse, offsets)
        reaching = bag(gradient, torch.arange(len(gradient), device=gradient.device), offsets)
        return leaving, reaching, None, None, None, None


def pair_sum(at_src: Tensor, at_dst: Tensor, edges: Edges) -> Tensor:
    """``at_src[src] + at_dst[dst]``, ``[N, F], [N, F] -> [E, F]``."""
    if len(edges.dst) == 0:
        return at_src.new_zeros(0, at_src.shape[1])
    return _PairSum.apply(at_src, at_dst, edges.src, edges.dst, edges.reverse, edges.offsets)


class InteractionBlock(nn.Module):
    """Interaction network with residuals (Battaglia et al. 2016; Sanchez-Gonzalez et al. 2020, section 4.2).

    ``eᵢⱼ' = eᵢⱼ + φ(eᵢⱼ, hᵢ, hⱼ);  hᵢ' = hᵢ + ψ(hᵢ, Σⱼ φ(eᵢⱼ, hᵢ, hⱼ))``.
    The first layer of φ is split: its node parts are multiplied once per node and then gathered, not once per edge.

    Args:
        width: size of node and edge latents.
        activation: ``relu`` or ``silu``.
    """

    def __init__(self, width: int, activation: str = "relu") -> None:
        super().__init__()
        self.edge_mlp = latent_mlp(3 * width, width, activation)
        self.node_mlp = latent_mlp(2 * width, width, activation)
        self.width = width

    @property
    def first(self) -> nn.Linear:
        """The layer that is split."""
        layer = self.edge_mlp[0]
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"the edge MLP starts with {type(layer).__name__}, and only a Linear can be split")
        return layer

    def forward(self, nodes: Tensor, links: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        """Node latents ``[N, F]`` and edge latents ``[E, F]`` after one round."""
        of_edge, of_src, of_dst = self.first.weight.split(self.width, dim=1)
        at_src, at_dst = nodes @ of_src.t(), nodes @ of_dst.t()
        if torch.is_grad_enabled() or nodes.is_cuda:
            messages = self._messages(links, of_edge, pair_sum(at_src, at_dst, edges))
            received, links = segment_sum(messages, edges.dst, edges.offsets), links + messages
        else:
            received, links = self._in_cache(links, of_edge, at_src, at_dst, edges)
        return nodes + self.node_mlp(torch.cat([nodes, received], dim=1)), links

    def _messages(self, links: Tensor, of_edge: Tensor, gathered: Tensor) -> Tensor:
        return self.edge_mlp[1:](F.linear(links, of_edge, self.first.bias).add_(gathered))

    def _in_cache(
        self, links: Tensor, of_edge: Tensor, at_src: Tensor, at_dst: Tensor, edges: Edges
    ) -> tuple[Tensor, Tensor]:
        """Received sums and new edge latents, for a few edges at a time: what lies between never leaves the cache."""
        received, after = torch.zeros_like(at_dst, dtype=links.dtype), torch.empty_like(links)
        for start in range(0, len(links), CACHED_EDGES):
            src, dst, old = (rows[start : start + CACHED_EDGES] for rows in (edges.src, edges.dst, links))
            messages = self._messages(old, of_edge, at_src[src].add_(at_dst[dst]))
            torch.add(old, messages, out=after[start : start + CACHED_EDGES])
            # the edges of the first and of the last particle may lie in two pieces
            lowest, highest = int(dst[0]), int(dst[-1])
            borders = (edges.offsets[lowest : highest + 2] - start).clamp(0, len(dst))
            received[lowest : highest + 1] += bag(messages, torch.arange(len(dst)), borders)
        return received, after


CACHED_EDGES = 2048
"""Edges at a time on a CPU without gradients: 1 MB of latents of width 128."""

CHECKPOINT_EDGES = 100_000
"""From this many edges on, blocks are computed again in the backward pass instead of being kept in memory."""


def message_passing(blocks: nn.ModuleList, nodes: Tensor, links: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
    """All blocks, one after the other; in training of large systems only the latents between them are stored.

    Ten blocks of width 128 at 19,000 particles would otherwise keep about 1 GB each.
    """
    store_less = torch.is_grad_enabled() and len(edges.dst) >= CHECKPOINT_EDGES
    for block in blocks:
        if store_less:
            nodes, links = checkpoint(block, nodes, links, edges, use_reentrant=False, preserve_rng_state=False)
        else:
            nodes, links = block(nodes, links, edges)
    return nodes, links
