"""The conservative simulator around a coarse grid, for bodies of matter.

Surroundings -> node latents -> messages, grid, messages -> pair forces + pushes in touch
"""

from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgraph.nn.edges import Edges
from molgraph.particles.models.forces import ConservingSimulator, Surroundings
from molgraph.particles.models.grid import GridContext, lay_grid
from molgraph.particles.models.interaction import decoder_mlp, latent_mlp, pair_sum, still
from molgraph.particles.models.pairs import MOMENT, Pairs, edge_features
from molgraph.particles.models.simulator import Scale


class ConservativeGridSimulator(ConservingSimulator):
    """Few and light messages between neighbours, and convolutions over a grid for what is many radii away.

    See ``forces.ConservingSimulator`` for what it keeps and how. The forces inside a body in
    flight may depend on where it lies on the grid, and on walls and bodies around; its momentum does not.

    With the grid to carry what is far, messages need not: edges keep no latents, and nothing of the size of
    ``[E, F] x [F, F]`` is computed. That is where message passing spends its time.

    Args:
        scale: sizes, units and types of the data.
        width: size of node latents.
        blocks: rounds of messages; the grid lies between them.
        channels: size of the latents on the grid.
        embedding: size of the type embedding.
    """

    def __init__(self, scale: Scale, width: int = 64, blocks: int = 2, channels: int = 32, embedding: int = 16) -> None:
        super().__init__(scale, embedding)
        self.encode_nodes = latent_mlp(self.of_node, width, "silu", hidden=1)
        self.blocks = nn.ModuleList(MessageBlock(self.of_edge, width) for _ in range(blocks))
        self.context = nn.ModuleList(GridContext(width, scale.dim, channels) for _ in range(blocks - 1))
        self.look = Look(self.of_edge, width)
        # normalized: a pair that meets faster than any in training must not be given a force beyond all of them
        self.decode_pairs = still(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, self.of_pair)))
        self.decode_body = still(decoder_mlp(width, width, self.of_body, "silu", hidden=1))

    def learned_acceleration(self, around: Surroundings) -> Tensor:
        """Return the acceleration less gravity ``[N, D]``, over its spread."""
        pairs, features = around.pairs, edge_features(around.pairs)
        nodes = self.encode_nodes(self.node_features(around))
        grid = lay_grid(around.state, SPACING * self.scale.radius)
        for block, context in zip_longest(self.blocks, self.context):
            nodes = block(nodes, features, pairs)
            if isinstance(context, GridContext):
                nodes = nodes + context(nodes, grid)
        of_pairs = self.decode_pairs(self.look(nodes, features, pairs.edges))
        return self.forces(around, of_pairs, self.decode_body(nodes))


SPACING = 0.8
"""Distance of the nodes of the grid in radii."""


class Look(nn.Module):
    """What an edge sees of itself and of its two ends: ``silu(A xᵢⱼ + B hⱼ + C hᵢ)``.

    Args:
        inputs: size of edge features.
        width: size of node latents.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.edge = nn.Linear(inputs, width)
        self.ends = nn.Linear(width, 2 * width, bias=False)

    def forward(self, nodes: Tensor, features: Tensor, edges: Edges) -> Tensor:
        """Return ``[E, F]`` from node latents ``[N, F]`` and edge features ``[E, inputs]``."""
        at_src, at_dst = self.ends(nodes).chunk(2, dim=1)  # once per node, and then gathered
        return F.silu(self.edge(features).add_(pair_sum(at_src, at_dst, edges)))


class MessageBlock(nn.Module):
    """One round of messages along edges without latents (Gilmer et al. 2017, eq. 1 and 2).

    ``hᵢ' = hᵢ + ψ(hᵢ, Σⱼ wᵢⱼ φ(xᵢⱼ, hⱼ, hᵢ))`` with ``wᵢⱼ`` that fades out towards the radius.

    Args:
        inputs: size of edge features.
        width: size of node latents.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.look = Look(inputs, width)
        self.node_mlp = latent_mlp(2 * width, width, "silu", hidden=1)

    def forward(self, nodes: Tensor, features: Tensor, pairs: Pairs) -> Tensor:
        """Return node latents ``[N, F]`` after one round."""
        received = pairs.around(self.look(nodes, features, pairs.edges)) / MOMENT
        return nodes + self.node_mlp(torch.cat([nodes, received], dim=1))
