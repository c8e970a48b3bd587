"""Predictions and targets to numbers, with torchmetrics; a metric that is not defined is NaN, never an error."""

import math

from torch import Tensor


def regression_metrics(predicted: Tensor, targets: Tensor) -> dict[str, float]:
    """Return RMSE, MAE and the coefficient of determination R² of one target ``[M]``."""
    from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error, r2_score

    if len(targets) == 0:
        return {"rmse": math.nan, "mae": math.nan, "r2": math.nan}
    r2 = r2_score(predicted, targets).item() if len(targets) > 1 and targets.std() > 0 else math.nan
    return {
        "rmse": mean_squared_error(predicted, targets, squared=False).item(),
        "mae": mean_absolute_error(predicted, targets).item(),
        "r2": r2,
    }


def classification_metrics(predicted: Tensor, targets: Tensor) -> dict[str, float]:
    """Return AUROC, average precision and accuracy of one yes-or-no target; all NaN where one class is absent.

    Args:
        predicted: probabilities ``[M]``.
        targets: 0 or 1 ``[M]``.
    """
    from torchmetrics.functional.classification import binary_accuracy, binary_auroc, binary_average_precision

    labels = targets.long()
    if len(labels) == 0 or labels.min() == labels.max():
        return {"auroc": math.nan, "average_precision": math.nan, "accuracy": math.nan}
    return {
        "auroc": binary_auroc(predicted, labels).item(),
        "average_precision": binary_average_precision(predicted, labels).item(),
        "accuracy": binary_accuracy(predicted, labels).item(),
    }


def multiclass_metrics(predicted: Tensor, targets: Tensor) -> dict[str, float]:
    """Return accuracy and macro-averaged F1 of one target.

    Args:
        predicted: class probabilities ``[M, K]``.
        targets: class numbers ``[M]``.
    """
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

    if len(targets) == 0:
        return {"accuracy": math.nan, "f1": math.nan}
    classes = predicted.shape[1]
    return {
        "accuracy": multiclass_accuracy(predicted, targets.long(), classes, average="micro").item(),
        "f1": multiclass_f1_score(predicted, targets.long(), classes, average="macro").item(),
    }


BETTER = {"rmse": "↓", "mae": "↓", "r2": "↑", "auroc": "↑", "average_precision": "↑", "accuracy": "↑", "f1": "↑"}
"""Every metric, and which way is better."""
