"""What a user sets of learning particles, checked before anything is simulated.

task.windows, task.space -> WindowConfig, SpaceConfig
"""

import math
from dataclasses import dataclass
from typing import Any

from molgraph.particles.data.statistics import NOISE_FRACTION
from molgraph.training.config import check_keys, require


@dataclass(frozen=True)
class WindowConfig:
    """How training and validation windows are drawn; see ``learning.windows.TrainingWindows``."""

    batch_size: int = 4
    steps_per_epoch: int = 250
    reflect: bool = True
    unrolls: tuple[float, ...] = (18, 2, 1)
    unroll_from: int = 4
    through_time: bool = False
    emphasis: float = 0.0
    validation_steps: int = 60
    validation_starts: int = 2

    def __post_init__(self) -> None:
        for name in ("batch_size", "steps_per_epoch", "validation_steps", "validation_starts"):
            require(getattr(self, name) >= 1, f"task.windows.{name}", getattr(self, name), "at least 1")
        object.__setattr__(self, "unrolls", tuple(self.unrolls))
        chances = all(share >= 0 for share in self.unrolls) and 0 < sum(self.unrolls) < math.inf
        require(chances, "task.windows.unrolls", list(self.unrolls), "frequencies, not all of them 0")
        require(0 <= self.emphasis <= 1, "task.windows.emphasis", self.emphasis, "a share between 0 and 1")

    @classmethod
    def of(cls, values: dict[str, Any]) -> "WindowConfig":
        """Make one from plain values.

        Raises:
            ValueError: a key that does not exist, or a value that no window can have.
        """
        return cls(**check_keys("task.windows", cls, values))


@dataclass(frozen=True)
class SpaceConfig:
    """What is computed from the data unless it is given."""

    radius: float | None = None
    """Connectivity radius in the length unit of the data; about 20 neighbours by default."""
    history: int = 5
    """Past velocities that the model sees."""
    noise: float = NOISE_FRACTION
    """Spread of the velocity noise, as a fraction of the spread of velocities."""

    def __post_init__(self) -> None:
        positive = self.radius is None or (isinstance(self.radius, (int, float)) and 0 < self.radius < math.inf)
        require(positive, "task.space.radius", self.radius, "a positive length, or null for about 20 neighbours")
        require(self.history >= 1, "task.space.history", self.history, "at least 1: a particle flies on as it flew")
        require(0 <= self.noise < math.inf, "task.space.noise", self.noise, "0 or more")

    @classmethod
    def of(cls, values: dict[str, Any]) -> "SpaceConfig":
        """Make one from plain values.

        Raises:
            ValueError: a key that does not exist, or a value that no space can have.
        """
        return cls(**check_keys("task.space", cls, values))
