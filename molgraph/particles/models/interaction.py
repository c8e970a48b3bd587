"""One round of message passing: edges look at their two ends, nodes at the sum of their edges.

node latents, edge latents -> edge MLP -> sum over edges -> node MLP -> residuals
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from molgraph.nn.edges import Edges, edge_sum
from molgraph.nn.segments import bag

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


def latent_mlp(inputs: int, width: int, activation: str = "relu", hidden: int = 2) -> nn.Sequential:
    """Return hidden layers and a normalized output; with two, the MLP of GNS (2020, section 4.2)."""
    return nn.Sequential(*decoder_mlp(inputs, width, width, activation, hidden), nn.LayerNorm(width))


def decoder_mlp(inputs: int, width: int, outputs: int, activation: str = "relu", hidden: int = 2) -> nn.Sequential:
    """Return hidden layers and a plain output."""
    *before, last = [inputs, *[width] * hidden]
    layers: list[nn.Module] = []
    for size in before:
        layers += [nn.Linear(size, width), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(last, outputs))


def still(decoder: nn.Module) -> nn.Module:
    """Return the decoder, or the layer, with an output of zero: what has learned nothing changes nothing."""
    *_, last = decoder.modules()
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return decoder


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
    """Return ``at_src[src] + at_dst[dst]``, ``[N, F], [N, F] -> [E, F]``."""
    if len(edges.dst) == 0:
        return at_src.new_zeros(0, at_src.shape[1])
    return _PairSum.apply(at_src, at_dst, edges.src, edges.dst, edges.reverse, edges.offsets)


class _EdgeUpdate(torch.autograd.Function):
    """Messages of a block, a few edges at a time: what lies between never leaves the cache and is never stored.

    The backward pass computes the messages of each piece again. Only the latents between the blocks stay in memory.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(
        ctx: Any, block: "InteractionBlock", links: Tensor, at_src: Tensor, at_dst: Tensor, edges: Edges, *_: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(links, at_src, at_dst)
        ctx.block, ctx.edges = block, edges
        received, after = at_dst.new_zeros(at_dst.shape, dtype=links.dtype), torch.empty_like(links)
        for piece in _pieces(len(links)):
            dst, old = edges.dst[piece], links[piece]
            messages = block.messages(old, at_src[edges.src[piece]].add_(at_dst[dst]))
            torch.add(old, messages, out=after[piece])
            # the edges of the first and of the last particle may lie in two pieces
            lowest, highest = int(dst[0]), int(dst[-1])
            borders = (edges.offsets[lowest : highest + 2] - piece.start).clamp(0, len(dst))
            received[lowest : highest + 1] += bag(messages, torch.arange(len(dst)), borders)
        return received, after

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, to_received: Tensor, to_after: Tensor) -> tuple[Tensor | None, ...]:
        links, at_src, at_dst = ctx.saved_tensors
        block, edges = ctx.block, ctx.edges
        parameters = list(block.edge_mlp.parameters())
        to_parameters = [torch.zeros_like(parameter) for parameter in parameters]
        to_links, to_gathered = torch.empty_like(links), at_src.new_empty(len(links), at_src.shape[1])
        for piece in _pieces(len(links)):
            dst = edges.dst[piece]
            with torch.enable_grad():
                old = links[piece].detach().requires_grad_()
                gathered = at_src[edges.src[piece]].add_(at_dst[dst]).detach().requires_grad_()
                messages = block.messages(old, gathered)
            to_messages = to_received[dst].add_(to_after[piece])
            to_old, to_gathered[piece], *parts = torch.autograd.grad(
                messages, [old, gathered, *parameters], to_messages.to(messages.dtype)
            )
            torch.add(to_after[piece], to_old, out=to_links[piece])
            torch._foreach_add_(to_parameters, parts)
        leaving = bag(to_gathered, edges.reverse, edges.offsets)
        reaching = bag(to_gathered, torch.arange(len(links)), edges.offsets)
        return None, to_links, leaving, reaching, None, *to_parameters


def _pieces(edges: int) -> list[slice]:
    return [slice(start, min(start + CACHED_EDGES, edges)) for start in range(0, edges, CACHED_EDGES)]


CACHED_EDGES = 4096
"""Edges in a piece: 2 MB of latents of width 128."""
LARGE = 100_000
"""From this many edges on, training computes messages again in the backward pass: a block of width 128 at 19,000
particles then keeps 0.2 GB instead of 1 GB."""


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
        """Return node latents ``[N, F]`` and edge latents ``[E, F]`` after one round."""
        _, of_src, of_dst = self.first.weight.split(self.width, dim=1)
        at_src, at_dst = nodes @ of_src.t(), nodes @ of_dst.t()
        if nodes.is_cuda or (torch.is_grad_enabled() and len(links) < LARGE):
            messages = self.messages(links, pair_sum(at_src, at_dst, edges))
            received, links = edge_sum(messages, edges), links + messages
        else:
            received, links = _EdgeUpdate.apply(self, links, at_src, at_dst, edges, *self.edge_mlp.parameters())
        return nodes + self.node_mlp(torch.cat([nodes, received], dim=1)), links

    def messages(self, links: Tensor, gathered: Tensor) -> Tensor:
        """Return ``φ`` ``[E, F]`` from edge latents and the products of both ends' latents, ``gathered [E, F]``."""
        of_edge = self.first.weight[:, : self.width]
        return self.edge_mlp[1:](F.linear(links, of_edge, self.first.bias).add_(gathered))


def message_passing(blocks: Iterable[nn.Module], nodes: Tensor, links: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
    """Return all blocks in turn; in training of large systems on a GPU only the latents between them are stored."""
    store_less = nodes.is_cuda and torch.is_grad_enabled() and len(links) >= LARGE
    for block in blocks:
        if store_less:
            nodes, links = checkpoint(block, nodes, links, edges, use_reentrant=False, preserve_rng_state=False)
        else:
            nodes, links = block(nodes, links, edges)
    return nodes, links
