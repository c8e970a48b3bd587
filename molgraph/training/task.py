"""What the trainer needs to know of a problem: a loss to lower, a metric to judge by, and batches in a fixed order.

``batch -> Task.loss -> scalar`` while training, ``batches -> Task.evaluate -> {metric: value}`` after each epoch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn


class Batch(Protocol):
    """Whatever a task's model reads; the trainer only moves it to the device."""

    def to(self, device: torch.device) -> Self:
        """Return the batch with its tensors on ``device``."""
        ...


class Batches(Protocol):
    """Batches whose order and content depend on the epoch number alone, so that a resumed run can repeat them."""

    def __len__(self) -> int:
        """Return the number of batches in one epoch."""
        ...

    def epoch(self, number: int) -> Iterator[Any]:
        """Yield the batches of epoch ``number``; two calls with one number yield the same batches."""
        ...


@runtime_checkable
class Resident(Protocol):
    """Batches, or a data set, that can be made on a device as a whole."""

    def on(self, device: torch.device) -> Any:
        """Return the same, made on ``device``."""
        ...


@runtime_checkable
class Shared(Protocol):
    """Batches that several processes can share."""

    def shard(self, rank: int, size: int) -> Any:
        """Return the same batches of which process ``rank`` of ``size`` reads its share."""
        ...


@runtime_checkable
class Diagnosed(Protocol):
    """A model that says how its training stands."""

    def diagnose(self, batch: Any) -> dict[str, float]:
        """Return numbers about the state of training."""
        ...


class Task(nn.Module, ABC):
    """A model together with its loss and its metrics.

    Attributes:
        monitor: name of the validation metric by which the best checkpoint is chosen.
        mode: ``"min"`` or ``"max"``, the better direction of ``monitor``.
    """

    monitor: str = "loss"
    mode: str = "min"

    @property
    def judged_by(self) -> dict[str, str]:
        """What ``results.json`` says of the score: ``monitor`` and ``mode``."""
        return {"monitor": self.monitor, "mode": self.mode}

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Return the mean loss of one batch, a scalar with gradient."""

    def terms(self, batch: Any) -> Tensor:
        """Return how much the mean loss of ``batch`` counts among those of other processes: its number of terms."""
        return torch.ones(())

    def evaluate(self, batches: Iterable[Any]) -> dict[str, float]:
        """Return the metrics over ``batches``, which already lie on the task's device; must contain ``monitor``."""
        losses = [self.loss(batch) for batch in batches]
        return {"loss": torch.stack(losses).mean().item()}

    def diagnose(self, batch: Any) -> dict[str, float]:
        """Return numbers about the state of training, logged after each validation if ``trainer.diagnose`` asks."""
        return {}
