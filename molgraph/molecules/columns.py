"""Which column is what, where nobody says: ``table -> a sample of rows -> SMILES column, target``.

Only the likely is taken. Where two columns could be the target, the candidates are listed with the command to choose.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from molgraph.molecules.reading.smiles import parse_valid
from molgraph.molecules.reading.table import MISSING, labels_of
from molgraph.molecules.tables import open_table

SAMPLE = 200
"""Rows that are looked at."""
WORDS = ("smiles", "smi", "structure", "molecule", "mol", "canonical")
"""What people call the column of the molecules."""


@dataclass(frozen=True)
class Columns:
    """What a table holds."""

    smiles: str
    """Column with the molecules."""
    targets: list[str]
    """Columns to predict."""
    delimiter: str
    """What separates the cells."""
    notes: list[str]
    """What was found and not said, in sentences."""


def find_columns(path: Path, smiles: str | None = None, targets: Sequence[str] = ()) -> Columns:
    """Return what the columns of a table are.

    Args:
        path: delimited text, gzipped or not.
        smiles: column with the molecules; None finds it.
        targets: columns to predict; empty takes the one that it can be.

    Raises:
        ValueError: a column that is not there, no column of molecules, or no or several candidates for the target.
    """
    with open_table(path) as table:
        header, delimiter = table.header, table.format.delimiter
        rows = [row.cells for row in islice(table, SAMPLE)]
    for name in [*targets, *([smiles] if smiles else [])]:
        if name not in header:
            raise ValueError(f"{path} has no column {name!r}; its columns are {', '.join(header)}")
    cells = {name: [row[place].strip() for row in rows] for place, name in enumerate(header)}
    notes = []
    if smiles is None:
        smiles, share = _molecules(path, cells)
        notes.append(f"molecules: the column {smiles!r}, {share:.0%} of {len(rows)} rows parse (else --smiles NAME)")
    if not targets:
        targets = [_target(path, {name: column for name, column in cells.items() if name != smiles})]
        notes.append(f"target: the column {targets[0]!r} (else --target NAME)")
    return Columns(smiles, list(targets), delimiter, notes)


def _molecules(path: Path, cells: dict[str, list[str]]) -> tuple[str, float]:
    """Return the column of which the largest share parses, and that share; a telling name decides between equals."""
    shares = {}
    for name, column in cells.items():
        filled = [cell for cell in column if cell]
        share = len(parse_valid(filled)[0]) / len(filled) if filled else 0.0
        shares[name] = share + 0.01 * any(word in name.lower() for word in WORDS)
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < 0.5:
        raise ValueError(
            f"{path} has no column of which half is SMILES; its columns are {', '.join(cells)}: name it by --smiles"
        )
    return best, min(1.0, shares[best])


def _target(path: Path, cells: dict[str, list[str]]) -> str:
    """Return the only column of measured values or of two labels."""
    candidates = [name for name, column in cells.items() if _is_measured(column)]
    if len(candidates) == 1:
        return candidates[0]
    command = (
        f"molgraph train {shlex.quote(str(path))} --target {shlex.quote((candidates or list(cells) or ['NAME'])[0])}"
    )
    what = f"could be the target: {', '.join(candidates)}" if candidates else "is a number or a label in each row"
    raise ValueError(f"{path}: {'several columns' if candidates else 'no column'} {what}; choose: {command}")


def _is_measured(column: list[str]) -> bool:
    """Return whether a column holds numbers that are no row numbers, or two labels."""
    filled = [cell for cell in column if cell.lower() not in MISSING]
    if not filled:
        return False
    if labels_of(column):
        return True
    try:
        values = [float(cell) for cell in filled]
    except ValueError:
        return False
    counted = all(value == int(value) for value in values) and len(values) > 2
    steps = {later - earlier for earlier, later in pairwise(values)}
    return not (counted and steps == {1.0})
