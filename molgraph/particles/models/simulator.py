"""The learned simulator: particles and their neighbours -> message passing -> acceleration -> next positions.

state -> features -> encoder -> blocks -> decoder -> integrate
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from molgraph.nn.edges import Edges
from molgraph.particles.data.trajectory import Metadata
from molgraph.particles.models.interaction import InteractionBlock, decoder_mlp, latent_mlp, message_passing
from molgraph.particles.models.state import ParticleState, integrate


@dataclass(frozen=True)
class Scale:
    """What a simulator needs to know of its data: sizes, units and types. Plain values, stored with the weights."""

    dim: int
    """Dimensions of space."""
    radius: float
    """Connectivity radius in the length unit of the data."""
    history: int
    """Number of past velocities."""
    species: tuple[int, ...]
    """Particle types seen in training; a type's row is its place here."""
    velocity_std: tuple[float, ...]
    """Spread of velocities, noise included, in length per frame."""
    acceleration_std: tuple[float, ...]
    """Spread of accelerations, noise included, in length per frame squared."""
    velocity_mean: tuple[float, ...]
    """Mean velocity in length per frame."""
    acceleration_mean: tuple[float, ...]
    """Mean acceleration in length per frame squared."""
    relative_std: float
    """Spread of the relative velocities of neighbours, noise included, in length per frame."""

    @classmethod
    def of(
        cls, metadata: Metadata, radius: float, history: int, noise: float, species: Sequence[int], relative: float
    ) -> "Scale":
        """Make one from the statistics of a set; ``noise`` is the spread of the velocity noise in length per frame."""
        statistics = metadata.statistics
        spread = {k: tuple((s**2 + noise**2) ** 0.5 for s in statistics[f"{k}_std"]) for k in ("vel", "acc")}
        means = {k: tuple(statistics[f"{k}_mean"]) for k in ("vel", "acc")}
        types = tuple(sorted(int(s) for s in species))
        moments = spread["vel"], spread["acc"], means["vel"], means["acc"]
        among = (relative**2 + 2 * noise**2) ** 0.5 or max(spread["vel"])  # neighbours that never part have none
        return cls(metadata.box.dim, radius, history, types, *moments, among)

    def rows(self, species: Tensor) -> Tensor:
        """Return rows ``[N]`` of particle types ``[N]``.

        Raises:
            ValueError: a type that was not in the training data.
        """
        known = torch.tensor(self.species)
        row = torch.searchsorted(known, species.contiguous()).clamp(max=len(known) - 1)
        strange = (known[row] != species).nonzero()
        if len(strange):
            particle = int(strange[0])
            raise ValueError(
                f"particle {particle} has type {int(species[particle])}; the model knows {list(self.species)}. "
                "Train on a set with that type, or map it to a known one"
            )
        return row


class Simulator(nn.Module, ABC):
    """A model that advances particles by one frame.

    Args:
        scale: sizes, units and types of the data.
    """

    velocity_std: Tensor
    acceleration_std: Tensor
    velocity_mean: Tensor
    acceleration_mean: Tensor

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.scale = scale
        # not persistent: the checkpoint carries them as plain values in its state
        for name in ("velocity_std", "acceleration_std", "velocity_mean", "acceleration_mean"):
            self.register_buffer(name, torch.tensor(getattr(scale, name), dtype=torch.float32), persistent=False)

    @abstractmethod
    def find_edges(self, state: ParticleState) -> Edges:
        """Return the edges that the model wants."""

    @abstractmethod
    def normalized_acceleration(self, state: ParticleState, edges: Edges) -> Tensor:
        """Return the predicted acceleration ``[N, D]`` in the units of the loss, about 1 in size."""

    def center(self, state: ParticleState) -> Tensor:
        """Return the acceleration ``[D]`` or ``[N, D]`` that the loss calls zero, in length per frame squared."""
        return self.acceleration_mean

    @property
    def spread(self) -> Tensor:
        """The acceleration that is one in the units of the loss, of each axis or of all."""
        return self.acceleration_std

    def normalize(self, state: ParticleState, acceleration: Tensor) -> Tensor:
        """Return the acceleration ``[N, D]`` in length per frame squared to the units of the loss."""
        return (acceleration - self.center(state)) / self.spread

    def denormalize(self, state: ParticleState, normalized: Tensor) -> Tensor:
        """Return the inverse of :meth:`normalize`."""
        return normalized * self.spread + self.center(state)

    def constrain(self, state: ParticleState, following: Tensor) -> Tensor:
        """Return the last word on the next positions ``[N, D]``; a model without constraints returns them unchanged."""
        return following

    def acceleration(self, state: ParticleState, edges: Edges | None = None) -> Tensor:
        """Return the predicted acceleration ``[N, D]`` in length per frame squared."""
        edges = self.find_edges(state) if edges is None else edges
        return self.denormalize(state, self.normalized_acceleration(state, edges))

    def forward(self, state: ParticleState, edges: Edges | None = None) -> Tensor:
        """Return positions ``[N, D]`` one frame later, not wrapped; kinematic particles stay where they are."""
        following = self.constrain(state, integrate(state, self.acceleration(state, edges)))
        return torch.where(state.kinematic[:, None], state.positions[:, -1], following)


class GNS(Simulator):
    """Graph network simulator, as published (Sanchez-Gonzalez et al., ICML 2020, and the released code).

    Nodes: past velocities, clipped distances to the walls, a learned type embedding, gravity. Edges (with self edges):
    displacement over radius, and its length. Unshared interaction blocks with residuals, sum over edges, MLPs of two
    hidden ReLU layers with layer normalization. Gravity is the "global context" that the release adds to the nodes.

    Args:
        scale: sizes, units and types of the data.
        width: size of latents.
        blocks: rounds of message passing.
        embedding: size of the type embedding.
    """

    def __init__(self, scale: Scale, width: int = 128, blocks: int = 10, embedding: int = 16) -> None:
        super().__init__(scale)
        dim = scale.dim
        self.embedding = nn.Embedding(len(scale.species), embedding)
        self.encode_nodes = latent_mlp(scale.history * dim + 2 * dim + embedding + dim, width)
        self.encode_edges = latent_mlp(dim + 1, width)
        self.blocks = nn.ModuleList(InteractionBlock(width) for _ in range(blocks))
        self.decode = decoder_mlp(width, width, dim)

    def find_edges(self, state: ParticleState) -> Edges:
        """Return all pairs within the radius and the self edges."""
        return state.edges(self.scale.radius, self_edges=True)

    def node_features(self, state: ParticleState) -> Tensor:
        """Return ``[N, H * D + 2 D + 16 + D]``."""
        velocities = ((state.velocities - self.velocity_mean) / self.velocity_std).flatten(1)
        gravity = state.gravity / self.acceleration_std
        walls = clipped_wall_distances(state, self.scale.radius)
        features = torch.cat([velocities, walls, gravity], dim=1).to(self.velocity_std.dtype)
        return torch.cat([features, self.embedding(state.species)], dim=1)

    def edge_features(self, state: ParticleState, edges: Edges) -> Tensor:
        """Return ``[E, D + 1]``: displacement over radius and its length."""
        now = state.positions[:, -1]
        vector = state.box.displacement(now[edges.src], now[edges.dst]) / self.scale.radius
        return torch.cat([vector, vector.norm(dim=1, keepdim=True)], dim=1).to(self.velocity_std.dtype)

    def normalized_acceleration(self, state: ParticleState, edges: Edges) -> Tensor:
        """Return ``[N, D]``: acceleration less its mean, over its spread."""
        nodes = self.encode_nodes(self.node_features(state))
        links = self.encode_edges(self.edge_features(state, edges))
        nodes, links = message_passing(self.blocks, nodes, links, edges)
        return self.decode(nodes)


def clipped_wall_distances(state: ParticleState, radius: float) -> Tensor:
    """Return distances ``[N, 2 D]`` to the bounds of each axis over the radius, clipped to 1; 1 without one."""
    now = state.positions[:, -1]
    distances = now.new_ones(len(now), 2 * state.box.dim)
    for axis, place, sign in state.box.walls:
        column = axis if sign > 0 else state.box.dim + axis
        distances[:, column] = (sign * (now[:, axis] - place) / radius).clamp(-1, 1)
    return distances
