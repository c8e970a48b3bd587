"""Several rows of one molecule: ``table, canonical SMILES -> Repeats | merged table``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from molgraph.molecules.reading.table import MoleculeTable

WAYS = ("keep", "mean", "median", "refuse")


@dataclass(frozen=True)
class Repeats:
    """How often a table measures the same molecule, and how far its values agree."""

    molecules: int
    """Molecules with more than one row."""
    rows: int
    """Their rows."""
    disagreement: list[float]
    """For each target the root mean squared deviation from the molecule's mean (classes: the share of molecules whose
    rows are not of one class); NaN where no molecule has two values."""


def groups_of(canonical: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the rows of each molecule, molecules in the order of their first row."""
    places: dict[str, list[int]] = {}
    for row, text in enumerate(canonical):
        places.setdefault(text, []).append(row)
    return [np.array(rows) for rows in places.values()]


def repeats(table: MoleculeTable, canonical: Sequence[str]) -> Repeats:
    """Return how often a table measures the same molecule, and how far its values agree."""
    several = [rows for rows in groups_of(canonical) if len(rows) > 1]
    disagreement = []
    for column in range(len(table.targets)):
        values = [known for rows in several if len(known := _exact(table, rows, column)) > 1]
        if not values:
            disagreement.append(float("nan"))
        elif table.kind == "regression":
            squares = np.concatenate([(known - known.mean()) ** 2 for known in values])
            disagreement.append(float(np.sqrt(squares.sum() / (len(squares) - len(values)))))
        else:
            disagreement.append(float(np.mean([len(set(known.tolist())) > 1 for known in values])))
    return Repeats(len(several), sum(map(len, several)), disagreement)


def merge(table: MoleculeTable, canonical: Sequence[str], way: str) -> tuple[MoleculeTable, list[str]]:
    """Return the table with one row for each molecule, the first, and the canonical SMILES that remain.

    Numbers are averaged (mean or median); of bounds the tightest counts where no value is exact. Classes take the
    vote of the rows; a tie is a missing value. A molecule that keeps no value is left out.

    Args:
        table: checked molecules.
        canonical: canonical SMILES of each row.
        way: ``keep``, ``mean``, ``median`` or ``refuse``.

    Raises:
        ValueError: an unknown way, or ``refuse`` and there is a molecule with two rows.
    """
    if way not in WAYS:
        raise ValueError(f"data.duplicates={way!r} is unknown; use {', '.join(WAYS[:-1])} or {WAYS[-1]}")
    groups = groups_of(canonical)
    if way == "keep" or len(groups) == len(canonical):
        return table, list(canonical)
    if way == "refuse":
        first = next(rows for rows in groups if len(rows) > 1)
        lines = ", ".join(str(table.lines[row]) for row in first)
        raise ValueError(
            f"{table.name}: {canonical[first[0]]} stands on rows {lines}, and data.duplicates=refuse; "
            "use data.duplicates=mean, median or keep"
        )
    values, bounds = table.values.copy(), None if table.bounds is None else table.bounds.copy()
    for rows in groups:
        for column in range(values.shape[1]):
            value, bound = _merged(table, rows, column, way)
            values[rows[0], column] = value
            if bounds is not None:
                bounds[rows[0], column] = bound
    merged = replace(table, values=values, bounds=bounds)
    firsts = [int(rows[0]) for rows in groups]
    kept = [row for row in firsts if not np.isnan(values[row]).all()]
    tied = [
        table.reject(row, "the rows of this molecule are of different classes, as many each")
        for row in sorted(set(firsts) - set(kept))
    ]
    return merged.keep(kept, tied), [canonical[row] for row in kept]


def _exact(table: MoleculeTable, rows: NDArray[np.int64], column: int) -> NDArray[np.float64]:
    values = table.values[rows, column]
    known = ~np.isnan(values)
    return values[known if table.bounds is None else known & (table.bounds[rows, column] == 0)]


def _merged(table: MoleculeTable, rows: NDArray[np.int64], column: int, way: str) -> tuple[float, int]:
    exact = _exact(table, rows, column)
    if not len(exact):
        return _tightest(table, rows, column)
    if table.kind == "regression":
        return float(exact.mean() if way == "mean" else np.median(exact)), 0
    classes, votes = np.unique(exact, return_counts=True)
    winners = classes[votes == votes.max()]
    return (float(winners[0]), 0) if len(winners) == 1 else (float("nan"), 0)


def _tightest(table: MoleculeTable, rows: NDArray[np.int64], column: int) -> tuple[float, int]:
    if table.bounds is None:
        return float("nan"), 0
    values, bounds = table.values[rows, column], table.bounds[rows, column]
    above, below = values[bounds > 0], values[bounds < 0]
    if len(above) >= len(below):
        return (float(above.max()), 1) if len(above) else (float("nan"), 0)
    return float(below.min()), -1
