"""What a room hands to the trainer: ``config -> Experiment -> prepare -> fit -> report``."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from molgraph.training.task import Batches, Task

if TYPE_CHECKING:
    from molgraph.training.trainer import Trainer


class Experiment(ABC):
    """Data, model and task of one run, built from its configuration.

    The ``_target_`` of ``conf/task/*.yaml`` names a subclass; its constructor receives ``data`` and ``model`` (the
    configuration nodes), ``seed``, ``folder`` (the run folder) and the other keys of that file. It checks what it is
    given and reads nothing; :meth:`prepare` does the work.

    Attributes:
        task: the model with its loss and metrics.
        train: batches to learn from.
        val: batches that choose the best checkpoint.
    """

    task: Task
    train: Batches
    val: Batches

    @abstractmethod
    def prepare(self) -> Self:
        """Read the data, build the model and make the batches: sets ``task``, ``train`` and ``val``; returns itself."""

    @abstractmethod
    def build_model(self, model: dict[str, Any]) -> nn.Module:
        """Return the untrained model that a ``model`` node describes, for the prepared data; reads nothing."""

    def fit(self, trainer: "Trainer") -> None:
        """Train ``self.task``; a model without gradient steps overrides this."""
        trainer.fit(self.task, self.train, self.val, self.state())

    def plan(self, epochs: int, steps: int | None) -> list[str]:
        """Return lines on the model and the time that so many epochs, or steps, take; comes behind :meth:`prepare`."""
        return []

    def state(self) -> dict[str, Any]:
        """Return plain values (YAML) that are needed beside the configuration to rebuild the model without its data."""
        return {}

    @abstractmethod
    def report(self, folder: Path) -> dict[str, Any]:
        """Evaluate the best weights, write results and pictures into ``folder``, print the final table.

        Returns:
            The content of ``results.json``; ``report["score"]`` is the validation value of the monitored metric.
        """
