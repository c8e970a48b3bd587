"""Regression and classification with missing labels: ``model(inputs) [B, outputs] -> masked loss | metrics``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgraph.training.metrics import classification_metrics, multiclass_metrics, regression_metrics
from molgraph.training.task import Diagnosed, Task


@dataclass(frozen=True)
class SupervisedBatch:
    """What a model reads, and what it should say."""

    inputs: Any
    """The model's input; has ``.to(device)``."""
    targets: Tensor
    """Targets ``[B, T]``; NaN where nothing was measured."""
    bounds: Tensor | None = None
    """-1 where the truth lies below the target, 1 where above, 0 where it is the target ``[B, T]``; None: all exact."""

    def to(self, device: torch.device) -> Self:
        """Return the batch on ``device``."""
        bounds = None if self.bounds is None else self.bounds.to(device)
        return type(self)(self.inputs.to(device), self.targets.to(device), bounds)

    def exact(self) -> Tensor:
        """Return the targets ``[B, T]`` with NaN in place of bounds, which have no error."""
        return self.targets if self.bounds is None else torch.where(self.bounds == 0, self.targets, torch.nan)

    def padded(self) -> Self:
        """Return the batch in one of a few shapes; what is added has no measured target and counts nowhere."""
        inputs = self.inputs.padded()
        added = inputs.num_graphs - self.targets.shape[0]
        bounds = None if self.bounds is None else F.pad(self.bounds, (0, 0, 0, added))
        return type(self)(inputs, F.pad(self.targets, (0, 0, 0, added), value=float("nan")), bounds)


class Supervised(Task):
    """A model that predicts one or more targets.

    Args:
        model: maps ``batch.inputs`` to ``[B, outputs]``.
        names: name of each target.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, list(names)

    def diagnose(self, batch: SupervisedBatch) -> dict[str, float]:
        """Return what the model says of itself, if it does."""
        return self.model.diagnose(batch.inputs) if isinstance(self.model, Diagnosed) else {}

    def terms(self, batch: SupervisedBatch) -> Tensor:
        """Return the number of measured targets."""
        return (~batch.targets.isnan()).sum().float()

    def loss(self, batch: SupervisedBatch) -> Tensor:
        """Return the mean loss over the measured targets; a bound counts only where the output is on its wrong side."""
        outputs = self.model(batch.inputs).float()
        return self.loss_of(outputs, one_sided(self, outputs, batch))

    def loss_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of outputs ``[B, outputs]`` over the measured targets ``[B, T]``."""
        raise NotImplementedError

    def predict(self, inputs: Any) -> Tensor:
        """Return predictions in the targets' own units, or probabilities ``[B, outputs]``."""
        return self.in_units(self.model(inputs))

    def in_units(self, outputs: Tensor) -> Tensor:
        """Return the model's outputs ``[..., outputs]`` in the targets' own units, or as probabilities."""
        raise NotImplementedError

    def target_metrics(self, predicted: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the metrics of one target from its measured rows."""
        raise NotImplementedError

    def table(self, predicted: Tensor, targets: Tensor) -> dict[str, dict[str, float]]:
        """Return the metrics of each target, over the rows where it was measured.

        Args:
            predicted: as :meth:`predict` returns, for all rows.
            targets: ``[M, T]`` with NaN.
        """
        metrics = {}
        for column, name in enumerate(self.names):
            measured = ~targets[:, column].isnan()
            metrics[name] = self.target_metrics(self.column(predicted, column)[measured], targets[measured, column])
        return metrics

    def column(self, predicted: Tensor, column: int) -> Tensor:
        """Return the predictions of one target."""
        return predicted[:, column]

    def collect(self, batches: Iterable[SupervisedBatch]) -> tuple[Tensor, Tensor]:
        """Return predictions and targets over all batches, on the CPU."""
        pairs = [(self.predict(batch.inputs), batch.exact()) for batch in batches]
        return torch.cat([p for p, _ in pairs]).double().cpu(), torch.cat([t for _, t in pairs]).double().cpu()

    def evaluate(self, batches: Iterable[SupervisedBatch]) -> dict[str, float]:
        """Return each metric averaged over the targets for which it is defined; where one is nowhere, ``loss`` too."""
        outputs, targets = [], []
        for batch in batches:
            outputs.append(self.model(batch.inputs).float().detach())
            targets.append(batch.exact())
        raw, wanted = torch.cat(outputs), torch.cat(targets)
        predicted = self.in_units(raw)
        per_target = list(self.table(predicted.double().cpu(), wanted.double().cpu()).values())
        means = {"loss": self.loss_of(raw, wanted).item()}
        for name in per_target[0]:
            values = torch.tensor([metrics[name] for metrics in per_target])
            means[name] = values.nanmean().item()
        return means


def one_sided(task: Supervised, outputs: Tensor, batch: SupervisedBatch) -> Tensor:
    """Return the targets ``[B, T]`` with the prediction itself where it keeps a bound, so that no error is left there.

    As in chemprop, a bound that is kept still counts as a row of the mean.
    """
    if batch.bounds is None:
        return batch.targets
    predicted = task.in_units(outputs.detach()).to(batch.targets.dtype)
    kept = (predicted - batch.targets) * batch.bounds > 0
    return torch.where(kept, predicted, batch.targets)


class Regression(Supervised):
    """Mean squared error of standardized targets.

    Args:
        model: maps inputs to ``[B, T]``.
        names: name of each target.
        mean: mean of each target over the training part ``[T]``.
        std: standard deviation of each target over the training part ``[T]``.
    """

    monitor, mode = "rmse", "min"

    def __init__(self, model: nn.Module, names: Sequence[str], mean: Tensor, std: Tensor) -> None:
        super().__init__(model, names)
        self.mean: Tensor
        self.std: Tensor
        # float64: an energy of -11179 with a spread of 0.001 has no digits left in float32
        self.register_buffer("mean", mean.double())
        self.register_buffer("std", torch.where(std > 0, std, 1.0).double())

    def loss_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error over the measured targets."""
        wanted = self.standardize(targets)
        measured = ~wanted.isnan()
        # The mask enters before the square: NaN times zero would still be NaN, in the gradient too.
        error = torch.where(measured, outputs - wanted.nan_to_num(), 0.0)
        return error.square().sum() / measured.sum().clamp(min=1)

    def standardize(self, targets: Tensor) -> Tensor:
        """Return targets ``[B, T]`` in standard deviations from their mean over the training part."""
        return ((targets.double() - self.mean) / self.std).float()

    def in_units(self, outputs: Tensor) -> Tensor:
        """Return predictions in the targets' units ``[..., T]``."""
        return outputs.double() * self.std + self.mean

    def target_metrics(self, predicted: Tensor, targets: Tensor) -> dict[str, float]:
        """Return RMSE, MAE and R²."""
        return regression_metrics(predicted, targets)


class Classification(Supervised):
    """Binary cross-entropy, one or several yes-or-no targets.

    Args:
        model: maps inputs to logits ``[B, T]``.
        names: name of each target.
        positive_weight: weight of a positive row ``[T]``, for rare classes; ones for none.
    """

    monitor, mode = "auroc", "max"

    def __init__(self, model: nn.Module, names: Sequence[str], positive_weight: Tensor) -> None:
        super().__init__(model, names)
        self.positive_weight: Tensor
        self.register_buffer("positive_weight", positive_weight.float())

    def loss_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy over the measured targets."""
        measured = ~targets.isnan()
        losses = F.binary_cross_entropy_with_logits(
            outputs,
            targets.nan_to_num().float(),
            pos_weight=self.positive_weight,
            reduction="none",
        )
        return torch.where(measured, losses, 0.0).sum() / measured.sum().clamp(min=1)

    def in_units(self, outputs: Tensor) -> Tensor:
        """Return the probability of each target ``[..., T]``."""
        return outputs.sigmoid()

    def target_metrics(self, predicted: Tensor, targets: Tensor) -> dict[str, float]:
        """Return AUROC, average precision and accuracy; NaN where all rows are of one class."""
        return classification_metrics(predicted, targets)


class MultiClass(Supervised):
    """Cross-entropy over several classes for each target.

    Args:
        model: maps inputs to logits ``[B, sum of classes]``, the classes of target 0 first.
        names: name of each target.
        classes: number of classes of each target.
        class_weight: weight of each class, in the order of the logits; ones for none.
    """

    monitor, mode = "accuracy", "max"

    def __init__(self, model: nn.Module, names: Sequence[str], classes: Sequence[int], class_weight: Tensor) -> None:
        super().__init__(model, names)
        self.classes = list(classes)
        self.class_weight: Tensor
        self.register_buffer("class_weight", class_weight.float())

    def loss_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy over the measured targets."""
        total = outputs.new_zeros(())
        logits = outputs.split(self.classes, dim=1)
        weights = self.class_weight.split(self.classes)
        for column, (scores, weight) in enumerate(zip(logits, weights, strict=True)):
            wanted = targets[:, column]
            labels = torch.where(wanted.isnan(), -1, wanted).long()
            losses = F.cross_entropy(scores, labels, weight=weight, ignore_index=-1, reduction="none")
            total = total + losses.sum()
        return total / (~targets.isnan()).sum().clamp(min=1)

    def in_units(self, outputs: Tensor) -> Tensor:
        """Return the probability of each class ``[..., sum of classes]``."""
        logits = outputs.float().split(self.classes, dim=-1)
        return torch.cat([scores.softmax(dim=-1) for scores in logits], dim=-1)

    def column(self, predicted: Tensor, column: int) -> Tensor:
        """Return the class probabilities of one target ``[B, classes]``."""
        return predicted.split(self.classes, dim=1)[column]

    def target_metrics(self, predicted: Tensor, targets: Tensor) -> dict[str, float]:
        """Return accuracy and macro-averaged F1."""
        return multiclass_metrics(predicted, targets)
