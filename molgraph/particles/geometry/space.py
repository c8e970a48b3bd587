"""Where particles live: a box that is open, walled or periodic, axis by axis.

positions -> displacement | wrap | wall distances
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in two or three dimensions.

    An axis is periodic, or has walls at its two finite bounds, or is open (infinite bounds).

    Args:
        lower: lower bound of each axis, in the length unit of the data.
        upper: upper bound of each axis.
        periodic: whether each axis is periodic; not periodic by default.

    Raises:
        ValueError: bounds of different lengths, an empty axis, or a periodic axis without finite bounds.

    >>> box = Box((0.0, 0.0), (1.0, 1.0), (True, False))
    >>> box.displacement(torch.tensor([[0.1, 0.1]]), torch.tensor([[0.9, 0.9]]))
    tensor([[ 0.2000, -0.8000]])
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    periodic: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", tuple(float(bound) for bound in self.lower))
        object.__setattr__(self, "upper", tuple(float(bound) for bound in self.upper))
        object.__setattr__(self, "periodic", tuple(bool(p) for p in self.periodic) or (False,) * len(self.lower))
        if not len(self.lower) == len(self.upper) == len(self.periodic):
            entries = f"{self.lower}, {self.upper}, {self.periodic}"
            raise ValueError(f"box needs one lower, upper and periodic entry per axis, got {entries}")
        if self.dim not in (2, 3):
            raise ValueError(f"box has {self.dim} axes; molgraph simulates 2 or 3 dimensions")
        for axis, (low, high, wraps) in enumerate(zip(self.lower, self.upper, self.periodic, strict=True)):
            if not low < high:
                raise ValueError(f"box axis {axis} is empty: lower {low} is not below upper {high}")
            if wraps and math.isinf(high - low):
                raise ValueError(f"box axis {axis} is periodic and needs finite bounds, got [{low}, {high}]")

    @classmethod
    def open(cls, dim: int) -> "Box":
        """Return the whole of space: no walls, no periods."""
        return cls((-math.inf,) * dim, (math.inf,) * dim)

    @classmethod
    def from_bounds(cls, bounds: Sequence[Sequence[float]], periodic: Sequence[bool] = ()) -> "Box":
        """Make one from ``[[lower, upper], ...]``, the form in metadata files."""
        return cls(tuple(b[0] for b in bounds), tuple(b[1] for b in bounds), tuple(periodic))

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.lower)

    @property
    def bounds(self) -> list[list[float]]:
        """``[[lower, upper], ...]``, the form in metadata files."""
        return [[low, high] for low, high in zip(self.lower, self.upper, strict=True)]

    @property
    def lengths(self) -> tuple[float, ...]:
        """Edge lengths; infinite on open axes."""
        return tuple(high - low for low, high in zip(self.lower, self.upper, strict=True))

    @property
    def walls(self) -> tuple[tuple[int, float, float], ...]:
        """The flat walls as ``(axis, position, inward sign)``."""
        bounded = [a for a in range(self.dim) if not self.periodic[a]]
        low = [(a, self.lower[a], 1.0) for a in bounded if math.isfinite(self.lower[a])]
        return (*low, *((a, self.upper[a], -1.0) for a in bounded if math.isfinite(self.upper[a])))

    def displacement(self, destination: Tensor, origin: Tensor) -> Tensor:
        """Return the vector from ``origin`` to ``destination``, ``[..., D]``: the minimum image on periodic axes."""
        return self.nearest_image(destination - origin)

    def nearest_image(self, vector: Tensor) -> Tensor:
        """Return the shortest periodic copy of each vector ``[..., D]``."""
        if not any(self.periodic):
            return vector
        period = self._period(vector)
        return vector - period * torch.round(vector / period)

    def wrap(self, positions: Tensor) -> Tensor:
        """Return positions ``[..., D]`` moved back into the box on periodic axes; others are returned as they are."""
        if not any(self.periodic):
            return positions
        low = positions.new_tensor([b if p else 0.0 for b, p in zip(self.lower, self.periodic, strict=True)])
        high = positions.new_tensor([b if p else math.inf for b, p in zip(self.upper, self.periodic, strict=True)])
        inside = torch.remainder(positions - low, self._period(positions)) + low
        # remainder of a tiny negative number rounds up to the period itself, which is the same point as the lower bound
        inside = torch.where(inside >= high, low, inside)
        return torch.where(torch.isinf(high), positions, inside)

    def wall_distances(self, positions: Tensor) -> Tensor:
        """Return the signed distance of each position ``[N, D]`` to each wall, ``[N, W]``, positive inside the box."""
        if not self.walls:
            return positions.new_zeros(len(positions), 0)
        return torch.stack([sign * (positions[:, axis] - place) for axis, place, sign in self.walls], dim=1)

    def outside(self, positions: Tensor) -> Tensor:
        """Return the depth ``[N]`` of each position ``[N, D]`` beyond its farthest-crossed wall; 0 inside."""
        if not self.walls:
            return positions.new_zeros(len(positions))
        return (-self.wall_distances(positions)).amax(dim=1).clamp(min=0)

    def clamp(self, positions: Tensor) -> Tensor:
        """Return positions ``[..., D]`` pushed back to the nearest point that is not behind a wall."""
        low, high = (
            positions.new_tensor([w if p else b for b, p in zip(bounds, self.periodic, strict=True)])
            for bounds, w in ((self.lower, -math.inf), (self.upper, math.inf))
        )
        return torch.minimum(torch.maximum(positions, low), high)

    def _period(self, like: Tensor) -> Tensor:
        # an axis without a period gets an infinite one: vector / inf rounds to zero periods, but inf * 0 is nan
        return like.new_tensor([n if p else 1e30 for n, p in zip(self.lengths, self.periodic, strict=True)])
