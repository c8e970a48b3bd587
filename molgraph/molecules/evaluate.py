"""A trained model against known values: ``TrainedModel + table -> predictions -> metrics of each target``."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from molgraph.molecules.predict import TrainedModel
from molgraph.molecules.reading.table import Source, read_table


def evaluate_file(model: TrainedModel, source: Path, smiles_column: str, delimiter: str) -> dict[str, dict[str, float]]:
    """Measure a model on a table that holds the true values, print the result, and return the metrics of each target.

    Raises:
        ValueError: the file or one of its columns is wrong, or no row can be used.
    """
    kind = model.state["kind"]
    table = read_table(Source(None, str(source), smiles_column, tuple(model.names), kind, delimiter))
    predictions = model.predict(table.smiles)
    used = [row for row, prediction in enumerate(predictions) if prediction.values is not None]
    if not used:
        raise ValueError(f"{source} has no row that can be predicted; the first says: {predictions[0].error}")
    targets = torch.from_numpy(_relabel(table.values[used], table.classes, model.classes)).float()
    metrics = model.task.table(torch.tensor([predictions[row].values for row in used]), targets)
    shown = Table(
        title=f"{source}: {len(used):,} molecules, {len(predictions) - len(used) + len(table.rejected)} left out"
    )
    for title in ("target", "unit", *(name.upper() for name in metrics[model.names[0]])):
        shown.add_column(title)
    for name, unit in zip(model.names, model.units, strict=True):
        shown.add_row(name, unit, *(f"{value:.3f}" for value in metrics[name].values()))
    console = Console()
    console.print(shown)
    for rejected in table.rejected:
        console.print(f"row {rejected.row}: {rejected.reason}", highlight=False, markup=False)
    for row, prediction in enumerate(predictions):
        if prediction.error:
            console.print(f"row {table.lines[row]}: not a SMILES: {prediction.error}", highlight=False, markup=False)
    return metrics


def _relabel(values: Any, seen: list[list[str]], known: list[list[str]]) -> Any:
    """Give the classes of another table the numbers that they had in training; an unknown class counts as missing."""
    for column, (labels, order) in enumerate(zip(seen, known, strict=True)):
        numbers = [order.index(label) if label in order else float("nan") for label in labels]
        values[:, column] = [value if value != value else numbers[int(value)] for value in values[:, column]]
    return values
