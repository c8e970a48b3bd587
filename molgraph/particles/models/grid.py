"""A coarse grid beneath the particles: what happens many radii away is carried there by convolutions.

state -> lay_grid -> Grid;  node latents -> spread -> convolutions -> sample -> node latents
"""

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgraph.particles.models.interaction import still
from molgraph.particles.models.state import ParticleState


@dataclass(frozen=True)
class Grid:
    """Where particles lie among the nodes of a grid, one grid for each group."""

    nodes: Tensor
    """Rows ``[N, 3^D]`` of the nodes around each particle, counted over all groups."""
    shares: Tensor
    """Weight ``[N, 3^D]`` of each of them, a quadratic spline of its distance; those of a particle add up to 1."""
    solid: Tensor
    """Whether each node lies on or behind a wall ``[n₁, ..]``, 0 or 1."""
    groups: int
    """Number of groups."""
    periodic: tuple[bool, ...]
    """Whether each axis is a circle."""

    @property
    def shape(self) -> torch.Size:
        """Number of nodes along each axis."""
        return self.solid.shape

    def spread(self, values: Tensor) -> Tensor:
        """Return what particles give to the nodes around them: ``[N, F] -> [G, F, n₁, ..]``; sums are kept."""
        given = (self.shares[:, :, None].to(values.dtype) * values[:, None]).flatten(0, 1)
        total = values.new_zeros(self.groups * self.shape.numel(), values.shape[1])
        total = total.index_add(0, self.nodes.flatten(), given)
        return total.view(self.groups, *self.shape, -1).movedim(-1, 1)

    def sample(self, field: Tensor) -> Tensor:
        """Return the field between its nodes, at the particles: ``[G, F, n₁, ..] -> [N, F]``."""
        rows = field.movedim(1, -1).flatten(0, -2)
        return (self.shares[:, :, None].to(rows.dtype) * rows[self.nodes]).sum(1)

    def pad(self, field: Tensor, width: int) -> Tensor:
        """Return ``width`` more nodes at each end of all axes: those of the other end on a circle, zeros elsewhere."""
        zeros: list[int] = []
        for axis, circle in enumerate(self.periodic, 2):
            if circle:
                around = torch.arange(-width, field.shape[axis] + width, device=field.device) % field.shape[axis]
                field = field.index_select(axis, around)
            zeros = [0 if circle else width] * 2 + zeros  # F.pad counts from the last axis
        return F.pad(field, zeros)


def lay_grid(state: ParticleState, spacing: float) -> Grid:
    """Return the grid beneath the newest positions, with nodes about ``spacing`` apart.

    Nodes lie on the walls, so that a scene in a mirror has the grid in the mirror; on an axis with less than two walls
    they lie at multiples of the spacing. The grid ends a node behind walls, and ``REACH`` nodes away from particles.
    Without walls it has at most ``LONGEST`` more, and a particle beyond counts as being at its end.
    """
    box, graph = state.box, state.graph
    now = box.clamp(state.positions[:, -1].nan_to_num())
    columns = zip(now.unbind(1), box.lower, box.upper, box.periodic, strict=True)
    beside, fractions, walls = zip(*(_along(*column, spacing) for column in columns), strict=True)
    solid = torch.stack(torch.meshgrid(*walls, indexing="ij")).any(0).to(now.dtype)
    nodes, shares = [], []
    for corner in product(range(3), repeat=box.dim):
        node, share = graph, torch.ones_like(now[:, 0])
        for axis, side in enumerate(corner):
            node, share = node * solid.shape[axis] + beside[axis][:, side], share * fractions[axis][:, side]
        nodes.append(node)
        shares.append(share)
    return Grid(torch.stack(nodes, dim=1), torch.stack(shares, dim=1), solid, state.num_graphs, box.periodic)


def _along(place: Tensor, low: float, high: float, circle: bool, spacing: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return one axis: the nodes beside each particle ``[N, 3]``, its shares in them, and which nodes are wall ``[n]``.

    The splines are those of material point methods (Steffen, Kirby, Berzins 2008): unlike linear weights they have no
    kinks, and neither have forces then that come from the grid.
    """
    between = max(1, round((high - low) / spacing)) if math.isfinite(high - low) else 0  # cells from end to end
    step = (high - low) / between if between else spacing
    origin = low if math.isfinite(low) else 0.0
    place = (place - origin) / step
    if circle:
        first, last = 0, between - 1
    else:
        first, last = (math.floor(end) for end in place.detach().aminmax())
        last = last if between else min(last, first + LONGEST)
        place = place.clamp(max=last + 1)
        first = int(max(first - REACH, (low - origin) / step - 1))
        last = int(min(last + 1 + REACH, (high - origin) / step + 1.999))  # a wall may lie between two nodes
    nearest = (place.detach() + 0.5).floor()
    beside = torch.stack([nearest - 1, nearest, nearest + 1], dim=1).long() - first
    aside = place - nearest
    shares = torch.stack([0.5 * (0.5 - aside) ** 2, 0.75 - aside**2, 0.5 * (0.5 + aside) ** 2], dim=1)
    nodes = origin + step * torch.arange(first, last + 1, device=place.device)
    on = 1e-6 * step
    wall = ((nodes < low + on) | (nodes > high - on)) & (not circle)
    return beside % len(nodes), shares, wall


REACH = 8
"""Nodes that the convolutions of :class:`GridContext` see far: what is empty beyond need not be there."""
LONGEST = 128
"""Nodes along an axis without walls: a particle that flies off must not fill the memory."""


class GridContext(nn.Module):
    """What particles learn of their wider surroundings, between two blocks (CoRGI: Ji et al. 2025, arXiv 2511.22938).

    Node latents spread to the grid, pass through convolutions, and come back. The convolutions see how much matter is
    at each node, and where walls are: pressure ends at a surface and piles up at a wall.

    Args:
        width: size of node latents.
        dim: dimensions of space.
        channels: size of the latents on the grid.
    """

    def __init__(self, width: int, dim: int, channels: int = 32) -> None:
        super().__init__()
        self.write = nn.Linear(width, channels)
        self.enter = Convolution(dim, channels + 2, channels)
        self.sweeps = nn.ModuleList(Sweep(dim, channels, dilation) for dilation in (1, 2, 1))
        self.read = still(nn.Linear(channels, width))

    def forward(self, nodes: Tensor, grid: Grid) -> Tensor:
        """Return what is added to node latents ``[N, F]``."""
        written = self.write(nodes).to(self.write.weight.dtype)  # sums stay in full precision
        field = grid.spread(torch.cat([written, torch.ones_like(written[:, :1])], dim=1)) / CROWD
        solid = grid.solid.to(field.dtype).expand_as(field[:, :1])
        field = F.silu(self.enter(grid.pad(torch.cat([field, solid], dim=1), 1)))
        for sweep in self.sweeps:
            field = field + sweep(field, grid)
        return self.read(grid.sample(field))


CROWD = 5.0
"""About as many particles share a node of the grid."""


class Sweep(nn.Module):
    """Two convolutions, of which the first sees ``dilation`` nodes far."""

    def __init__(self, dim: int, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.wide = Convolution(dim, channels, channels, dilation)
        self.near = Convolution(dim, channels, channels)

    def forward(self, field: Tensor, grid: Grid) -> Tensor:
        """Return what is added to the field ``[G, C, n₁, ..]``."""
        hidden = F.silu(self.wide(grid.pad(field, self.dilation)))
        return F.silu(self.near(grid.pad(hidden, 1)))


class Convolution(nn.Module):
    """Three nodes wide along each axis, without padding. Its kernel is a matrix, so that Muon takes it for one.

    Args:
        dim: dimensions of space.
        inputs: size of what it reads at each node.
        outputs: size of what it writes.
        dilation: distance in nodes of those that it reads.
    """

    def __init__(self, dim: int, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.kernel = nn.Linear(inputs * 3**dim, outputs)
        self.shape = (outputs, inputs, *[3] * dim)
        self.dilation = dilation

    def forward(self, field: Tensor) -> Tensor:
        """Return ``[G, inputs, n₁, ..] -> [G, outputs, n₁ - 2 dilation, ..]``."""
        convolve = F.conv2d if len(self.shape) == 4 else F.conv3d
        return convolve(field, self.kernel.weight.view(self.shape), self.kernel.bias, dilation=self.dilation)
