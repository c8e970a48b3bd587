"""What is learned of a table: ``table, training rows -> statistics -> Regression | Classification | MultiClass``.

The statistics are plain values, so that a checkpoint rebuilds the task without its data.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from molgraph.molecules.reading.table import MoleculeTable
from molgraph.training.supervised import Classification, MultiClass, Regression, Supervised

Rows = NDArray[np.int64]


def number_of_outputs(table: MoleculeTable) -> int:
    """Return how many numbers a model of the table's targets has to give."""
    return sum(map(len, table.classes)) if table.kind == "multiclass" else len(table.targets)


def check_targets(table: MoleculeTable, train: Rows) -> None:
    """Refuse a target that nothing can be learned about.

    Raises:
        ValueError: the training part has no value of it.
    """
    for target, values in zip(table.targets, table.values[train].T, strict=True):
        if np.isnan(values).all():
            raise ValueError(f"the training part has no value of {target.name}; leave it out of data.targets")


def statistics(table: MoleculeTable, train: Rows, balance: bool) -> dict[str, Any]:
    """Return what the task needs to know of the training targets, as plain values.

    Args:
        table: molecules with targets.
        train: rows of the training part.
        balance: weigh the classes of a classification so that each counts the same.
    """
    values = table.values[train]
    if table.kind == "regression":
        return {"mean": np.nanmean(values, 0).tolist(), "std": np.nanstd(values, 0).tolist()}
    if table.kind == "classification":
        positive, negative = (values == 1).sum(0), (values == 0).sum(0)
        weights = negative / np.maximum(positive, 1) if balance else np.ones(values.shape[1])
        return {"positive_weight": weights.tolist()}
    counts = class_counts(table, train)
    shares = [count.sum() / (len(count) * np.maximum(count, 1)) if balance else np.ones(len(count)) for count in counts]
    return {"classes": [len(count) for count in counts], "class_weight": np.concatenate(shares).tolist()}


def class_counts(table: MoleculeTable, rows: Rows) -> list[Rows]:
    """Return how often each class of each target occurs."""
    columns = zip(table.values[rows].T, table.classes, strict=True)
    return [np.bincount(column[~np.isnan(column)].astype(int), minlength=len(labels)) for column, labels in columns]


def mean_prediction(table: MoleculeTable, train: Rows) -> torch.Tensor:
    """Return what a model that ignores the molecule would say ``[outputs]``."""
    if table.kind != "multiclass":
        return torch.tensor(np.nanmean(table.values[train], 0))
    return torch.tensor(np.concatenate([count / count.sum() for count in class_counts(table, train)])).float()


def make_task(model: torch.nn.Module, names: list[str], kind: str, statistics: dict[str, Any]) -> Supervised:
    """Return the task for one kind of target.

    Args:
        model: the predictor.
        names: name of each target.
        kind: ``regression``, ``classification`` or ``multiclass``.
        statistics: from :func:`statistics`.
    """
    double = partial(torch.tensor, dtype=torch.float64)
    if kind == "regression":
        return Regression(model, names, double(statistics["mean"]), double(statistics["std"]))
    if kind == "classification":
        return Classification(model, names, torch.tensor(statistics["positive_weight"]))
    return MultiClass(model, names, statistics["classes"], torch.tensor(statistics["class_weight"]))
