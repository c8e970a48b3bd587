"""How far a training is, and whether it got better: ``metrics -> judge -> Judgement -> Progress``."""

import math
from dataclasses import dataclass

from molgraph.training.task import Task


@dataclass
class Progress:
    """Where a run stands; saved in ``last.pt``."""

    epoch: int = 0
    """Epoch in progress."""
    batch: int = 0
    """Batches of that epoch that are done."""
    step: int = 0
    """Optimizer steps that are done."""
    best: float | None = None
    """Best validation value so far."""
    best_epoch: int = 0
    """Epoch of the best value."""
    judged_by: str = ""
    """Name of the best value: the monitored metric, or ``loss`` where that is not defined."""
    seconds: float = 0.0
    """Training time so far, over all resumptions."""
    loss_sum: float = 0.0
    """Sum of the training losses of the epoch in progress."""


class TrainingDiverged(RuntimeError):
    """A loss that is no number: what follows would be no model.

    Args:
        step: the optimizer step, from 1.
        value: its loss.
    """

    def __init__(self, step: int, value: float) -> None:
        super().__init__(
            f"the loss at step {step} is {value}: training stops, and what checkpoints there are hold good weights; "
            "lower trainer.optimizer.learning_rate, or check the targets for values far from all others"
        )


@dataclass(frozen=True)
class Judgement:
    """By what a validation is judged."""

    name: str
    """The task's monitored metric, or ``loss`` where that is not defined on these data."""
    value: float
    """Its value; NaN where nothing is defined."""
    mode: str
    """``min`` or ``max``."""

    def is_better(self, progress: "Progress") -> bool:
        """Return whether this is better than the best so far; two values of different names do not compare."""
        if progress.best is None or math.isnan(progress.best):
            return True  # also a metric that is nowhere defined leaves a best.pt
        if progress.judged_by and progress.judged_by != self.name:
            return progress.judged_by == "loss"
        return self.value < progress.best if self.mode == "min" else self.value > progress.best


def judge(metrics: dict[str, float], task: Task, step: int = 0) -> Judgement:
    """Return the monitored metric, or the loss where the metric is not defined, as AUROC without both classes.

    Raises:
        TrainingDiverged: neither is a number.
    """
    if math.isfinite(metrics[task.monitor]) or "loss" not in metrics:
        return Judgement(task.monitor, metrics[task.monitor], task.mode)
    if not math.isfinite(metrics["loss"]):
        raise TrainingDiverged(step, metrics["loss"])
    return Judgement("loss", metrics["loss"], "min")
