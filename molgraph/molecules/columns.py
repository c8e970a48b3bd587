"""Which column is what, where nobody says: ``table -> a sample of rows -> SMILES column, target``.

Only the likely is taken. Where nothing tells which column is the target, the candidates are listed with the command to
choose.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from molgraph.molecules.reading.smiles import parse_valid
from molgraph.molecules.reading.values import is_measured
from molgraph.molecules.tables import open_table

SAMPLE = 200
"""Rows that are looked at."""
WORDS = ("smiles", "smi", "structure", "molecule", "mol", "canonical", "inchi")
"""What people call the column of the molecules."""
ENDPOINTS = re.compile(
    r"\b(p?(ic|ec|ac|gi|cc|ld|lc)_?50|p?k[id]|log ?[psd]|logbb|target|label|class|activity|active|outcome|y|exp|"
    r"experimental|measured|solubility|potency|affinity|toxicity|half.?life|clearance|yield|inhibition)\b",
    re.IGNORECASE,
)
"""What people call a measured property."""
NO_TARGET = re.compile(
    r"(^|[\s_])(id|no|nr|index|split|fold|set|part|date|batch|plate|year|cas|std|sd|sem)($|[\s_.])", re.I
)
"""Columns of numbers that describe the row, and not the molecule."""


@dataclass(frozen=True)
class Columns:
    """What a table holds."""

    smiles: str
    """Column with the molecules."""
    targets: list[str]
    """Columns to predict."""
    notes: list[str]
    """What was found and not said, in sentences."""

    def settings(self, path: Path, overrides: Sequence[str], identifier: str | None = None) -> dict[str, Any]:
        """Return the keys of ``data`` for a table of one's own; rows that cannot be used do not stop it.

        Args:
            path: of the table.
            overrides: what the user says of the configuration; there ``data.on_error`` can be said otherwise.
            identifier: column with the name of each molecule.
        """
        keys = {"path": str(path), "smiles_column": self.smiles, "targets": self.targets, "id_column": identifier}
        said = any(word.startswith("data.on_error=") for word in overrides)
        return keys if said else keys | {"on_error": "skip"}


def find_columns(
    path: Path, smiles: str | None = None, targets: Sequence[str] = (), identifier: str | None = None
) -> Columns:
    """Return what the columns of a table are.

    Args:
        path: see ``tables.open_table``.
        smiles: column with the molecules; None finds it.
        targets: columns to predict; empty takes the one that it can be.
        identifier: column with the name of each molecule, which is no target.

    Raises:
        ValueError: a column that is not there, no column of molecules, or no or several candidates for the target.
    """
    with open_table(path) as table:
        header = table.header
        rows = [row.cells for row in islice(table, SAMPLE)]
    for name in [*targets, *(name for name in (smiles, identifier) if name)]:
        if name not in header:
            raise ValueError(f"{path} has no column {name!r}; its columns are {', '.join(header)}")
    if not rows:
        raise ValueError(f"{path} has a header and no rows")
    cells = {name: [row[place].strip() for row in rows] for place, name in enumerate(header)}
    notes = []
    if smiles is None:
        smiles, share = _molecules(path, cells)
        notes.append(
            f"molecules: the column {smiles!r}, {share:.0%} of the first {len(rows)} parse (else --smiles NAME)"
        )
    if not targets:
        others = {name: column for name, column in cells.items() if name not in (smiles, identifier)}
        target, beside = _target(path, others)
        targets = [target]
        choice = f"; also possible: {', '.join(beside)}" if beside else ""
        notes.append(f"target: the column {target!r} (else --target NAME{choice})")
    return Columns(smiles, list(targets), notes)


def _molecules(path: Path, cells: dict[str, list[str]]) -> tuple[str, float]:
    """Return the column of which the largest share parses, and that share; a telling name decides between equals."""
    shares = {}
    for name, column in cells.items():
        filled = [cell for cell in column if cell]
        share = len(parse_valid(filled)[0]) / len(filled) if filled else 0.0
        shares[name] = share + 0.01 * any(word in name.lower() for word in WORDS) + 0.02 * ("smiles" in name.lower())
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < 0.5:
        example = next((cell for cell in cells[best] if cell), "")
        raise ValueError(
            f"{path} has no column of which half is SMILES; its columns are {', '.join(cells)} "
            f"(the likeliest, {best!r}, begins with {example[:40]!r}): name it by --smiles"
        )
    return best, min(1.0, shares[best])


def _target(path: Path, cells: dict[str, list[str]]) -> tuple[str, list[str]]:
    """Return the column of measured values or labels, and others that it could be as well."""
    endpoint = {name for name in cells if ENDPOINTS.search(name.replace("_", " "))}
    measured = [name for name, column in cells.items() if is_measured(column, counts=name in endpoint)]
    candidates = [name for name in measured if not NO_TARGET.search(name)] or measured
    telling = [name for name in candidates if name in endpoint]
    for likely in (candidates, telling):
        if len(likely) == 1:
            return likely[0], [name for name in candidates if name != likely[0]]
    command = (
        f"molgraph train {shlex.quote(str(path))} --target {shlex.quote((candidates or list(cells) or ['NAME'])[0])}"
    )
    what = f"could be the target: {', '.join(candidates)}" if candidates else "holds numbers or labels"
    raise ValueError(f"{path}: {'several columns' if candidates else 'no column'} {what}; choose: {command}")
