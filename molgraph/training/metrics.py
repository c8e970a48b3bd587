"""Predictions and targets to numbers, in float64 and at any scale; an undefined metric is NaN, never an error."""

import math

import numpy as np
from torch import Tensor


def regression_metrics(predicted: Tensor, targets: Tensor) -> dict[str, float]:
    """Return RMSE, MAE and the coefficient of determination R² of one target ``[M]``.

    R² is ``1 - Σ(y - p)² / Σ(y - mean y)²``; NaN where the targets do not vary.
    """
    truth, said = targets.detach().double().numpy(), predicted.detach().double().numpy()
    if len(truth) == 0:
        return {"rmse": math.nan, "mae": math.nan, "r2": math.nan}
    error, spread = said - truth, truth - truth.mean()
    total = float(np.square(spread).sum())
    return {
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mae": float(np.abs(error).mean()),
        "r2": 1 - float(np.square(error).sum()) / total if total > 0 else math.nan,
    }


def classification_metrics(predicted: Tensor, targets: Tensor) -> dict[str, float]:
    """Return AUROC, average precision and accuracy of one yes-or-no target; without both classes the first two are NaN.

    Args:
        predicted: probabilities ``[M]``.
        targets: 0 or 1 ``[M]``.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels, said = targets.long().numpy(), predicted.detach().double().numpy()
    if len(labels) == 0:
        return {"auroc": math.nan, "average_precision": math.nan, "accuracy": math.nan}
    both = bool(labels.min() != labels.max())
    return {
        "auroc": float(roc_auc_score(labels, said)) if both else math.nan,
        "average_precision": float(average_precision_score(labels, said)) if both else math.nan,
        "accuracy": float(np.mean((said > 0.5) == labels)),
    }


def multiclass_metrics(predicted: Tensor, targets: Tensor) -> dict[str, float]:
    """Return accuracy and macro-averaged F1 of one target.

    Args:
        predicted: class probabilities ``[M, K]``.
        targets: class numbers ``[M]``.
    """
    from sklearn.metrics import f1_score

    if len(targets) == 0:
        return {"accuracy": math.nan, "f1": math.nan}
    labels, said = targets.long().numpy(), predicted.argmax(1).numpy()
    return {"accuracy": float(np.mean(said == labels)), "f1": float(f1_score(labels, said, average="macro"))}


def shown(value: float) -> str:
    """Return a metric as a table shows it: three decimals, or three digits where those would hide it.

    >>> shown(0.5834), shown(9.05e-6), shown(-0.0126), shown(12345.6), shown(float("nan"))
    ('0.583', '9.05e-06', '-0.0126', '1.23e+04', 'undefined')
    """
    if math.isnan(value):
        return "undefined"
    return f"{value:.3f}" if value == 0 or 0.1 <= abs(value) < 1000 else f"{value:.3g}"


BETTER = {"rmse": "↓", "mae": "↓", "r2": "↑", "auroc": "↑", "average_precision": "↑", "accuracy": "↑", "f1": "↑"}
"""Every metric, and which way is better."""
BETTER |= dict.fromkeys(("nats_per_token", "nats_per_molecule", "mse_all", "invalid"), "↓")
BETTER |= dict.fromkeys(("token_accuracy", "valid", "novelty", "top1", "top3", "top5", "top10"), "↑")
