"""A trained model against known values: ``TrainedModel + table -> predictions -> metrics of each target``."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from molgraph.molecules.predict import TrainedModel
from molgraph.molecules.reading.table import Source, read_table
from molgraph.molecules.settings import DataConfig
from molgraph.training.metrics import shown


def evaluate_file(
    model: TrainedModel, source: Path, smiles_column: str, delimiter: str | None = None
) -> dict[str, dict[str, float]]:
    """Measure a model on a table that holds the true values, print the result, and return the metrics of each target.

    Raises:
        ValueError: the file or one of its columns is wrong, or no row can be used.
    """
    trained = DataConfig(**model.config["data"])
    how = (trained.decimal, trained.transform, trained.unit)
    kind = model.state["kind"]
    table = read_table(Source(None, str(source), smiles_column, tuple(model.measured), kind, delimiter, *how))
    predictions = model.predict_texts(table.smiles)
    used = [row for row, prediction in enumerate(predictions) if prediction.values is not None]
    if not used:
        raise ValueError(f"{source} has no row that can be predicted; the first says: {predictions[0].error}")
    values = _relabel(table.values[used], table.classes, model.classes)
    if table.bounds is not None:  # a bound has no error: it is counted apart
        values[table.bounds[used] != 0] = float("nan")
    targets = torch.from_numpy(values)
    predicted = torch.tensor([predictions[row].values for row in used], dtype=torch.float64)
    metrics = model.task.table(predicted, targets)
    left_out = len(predictions) - len(used) + len(table.rejected)
    table_shown = Table(title=f"{escape(str(source))}: {len(used):,} molecules, {left_out} left out")
    for title in ("target", "unit", *(name.upper() for name in metrics[model.names[0]])):
        table_shown.add_column(title)
    for name, unit in zip(model.names, model.units, strict=True):
        table_shown.add_row(escape(name), escape(unit), *(shown(value) for value in metrics[name].values()))
    console = Console()
    console.print(table_shown)
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
