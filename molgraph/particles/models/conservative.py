"""The conservative simulator by message passing alone.

Surroundings -> node and edge latents -> blocks -> pair forces + pushes in touch
"""

from itertools import zip_longest

import torch
from torch import Tensor, nn

from molgraph.particles.models.forces import ConservingSimulator, Surroundings
from molgraph.particles.models.interaction import InteractionBlock, decoder_mlp, latent_mlp, message_passing, still
from molgraph.particles.models.pairs import MOMENT, Pairs, edge_features
from molgraph.particles.models.simulator import Scale


class ConservativeSimulator(ConservingSimulator):
    """Blocks of message passing, as those of GNS, that say pair forces and pushes.

    See :class:`~molgraph.particles.models.forces.ConservingSimulator` for what it keeps and how.

    Args:
        scale: sizes, units and types of the data.
        width: size of latents.
        blocks: rounds of message passing.
        embedding: size of the type embedding.
        feedback: whether each block sees the acceleration of those before it, see :class:`Feedback`; a quarter slower.
    """

    def __init__(
        self, scale: Scale, width: int = 128, blocks: int = 10, embedding: int = 16, feedback: bool = False
    ) -> None:
        super().__init__(scale, embedding)
        self.encode_nodes = latent_mlp(self.of_node, width, "silu")
        self.encode_edges = latent_mlp(self.of_edge, width, "silu")
        self.blocks = nn.ModuleList(InteractionBlock(width, "silu") for _ in range(blocks))
        self.decode_pairs = still(decoder_mlp(width, width, self.of_pair, "silu"))
        self.decode_body = still(decoder_mlp(width, width, self.of_body, "silu"))
        between = range(blocks - 1 if feedback else 0)
        self.feedback = nn.ModuleList(Feedback(width, scale.dim, self.of_pair, self.of_body) for _ in between)

    def learned_acceleration(self, around: Surroundings) -> Tensor:
        """Return the acceleration less gravity ``[N, D]``, over its spread."""
        pairs = around.pairs
        nodes = self.encode_nodes(self.node_features(around))
        links = self.encode_edges(edge_features(pairs))
        total = pairs.vector.new_zeros(())
        for block, feedback in zip_longest(self.blocks, self.feedback):
            nodes, links = message_passing([block], nodes, links, pairs.edges)
            if isinstance(feedback, Feedback):
                total = total + self.forces(around, feedback.decode_pairs(links), feedback.decode_body(nodes))
                nodes = nodes + feedback(total, pairs)
        return total + self.forces(around, self.decode_pairs(links), self.decode_body(nodes))


class Feedback(nn.Module):
    """What a block adds to the acceleration, and how the next one sees the sum so far: itself and its gradient.

    The acceleration of a particle is a small difference of large forces, and pressure has to cancel what the other
    forces would do to the density; so each block corrects those before it, as the steps of an iterative solver do.

    Args:
        width: size of latents.
        dim: dimensions of space.
        of_pair: numbers to decode for each pair.
        of_body: numbers to decode for each particle.
    """

    def __init__(self, width: int, dim: int, of_pair: int, of_body: int) -> None:
        super().__init__()
        self.decode_pairs = still(nn.Sequential(nn.Linear(width, of_pair)))
        self.decode_body = still(nn.Sequential(nn.Linear(width, of_body)))
        self.encode = nn.Linear(dim + dim**2, width)

    def forward(self, acceleration: Tensor, pairs: Pairs) -> Tensor:
        """Return what is added to node latents ``[N, F]``, from the acceleration ``[N, D]`` so far."""
        relative = acceleration[pairs.edges.src] - acceleration[pairs.edges.dst]
        gradient = pairs.around(pairs.products(relative)) / MOMENT
        return self.encode(torch.cat([acceleration, gradient], dim=1))
