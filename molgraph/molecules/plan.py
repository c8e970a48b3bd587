"""What was understood of a table, before anything is learned: ``table, split, settings -> at most fifteen lines``."""

from collections import Counter
from pathlib import Path

import numpy as np

from molgraph.molecules.reading.duplicates import repeats
from molgraph.molecules.reading.splits import PARTS, Split
from molgraph.molecules.reading.table import MoleculeTable, smiles_position
from molgraph.molecules.reading.transforms import molar_unit
from molgraph.molecules.settings import DataConfig
from molgraph.training.metrics import shown

TARGETS, REASONS = 4, 3
"""Targets and reasons that are told one by one."""
DECADES = 3
"""A positive target that spans more is better learned as a logarithm."""
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}


def plan_lines(
    table: MoleculeTable, canonical: list[str], split: Split, config: DataConfig, rejected: Path
) -> list[str]:
    """Return how a table of one's own was read, and how to read it otherwise.

    Args:
        table: the usable rows.
        canonical: canonical SMILES of each.
        split: its parts.
        config: what the user set.
        rejected: file that lists the rows that were left out.
    """
    lines = [f"{table.name}: {_written(table, config)}", _rows(table, rejected)]
    for column in range(min(TARGETS, len(table.targets))):
        lines += _target(table, column, config)
    if len(table.targets) > TARGETS:
        lines.append(f"and {len(table.targets) - TARGETS} more targets")
    lines += _molecules(table, canonical, config)
    parts = ", ".join(f"{len(getattr(split, part)):,} {part}" for part in PARTS)
    other = "scaffold" if config.split == "random" else "random"
    lines.append(f"split: {config.split}, {parts} (else data.split={other})")
    return lines


def _written(table: MoleculeTable, config: DataConfig) -> str:
    form = table.format
    column = table.header[smiles_position(table.header, config.smiles_column, table.name)]
    if form.kind != "csv":
        text = {"sdf": "SDF", "smi": "SMILES with names", "parquet": "Parquet", "excel": "Excel"}[form.kind]
    else:
        text = f"{_DELIMITERS.get(form.delimiter, repr(form.delimiter))} between cells, {form.encoding}"
        text += "" if form.header else ", no header (columns are column_1, column_2, ...)"
    return text + (f", {form.compression}" if form.compression else "") + f"; molecules in the column {column!r}"


def _rows(table: MoleculeTable, rejected: Path) -> str:
    if not table.rejected:
        return f"rows: {len(table):,}, all used"
    reasons = Counter(_kind_of(row.reason) for row in table.rejected).most_common()
    told = ", ".join(f"{count:,} {reason}" for reason, count in reasons[:REASONS])
    more = sum(count for _, count in reasons[REASONS:])
    first = table.rejected[0]
    where = (
        f"; each with its reason in {rejected}; the first: row {first.row}, {first.smiles[:40]!r}, {first.reason[:80]}"
    )
    told += f", {more:,} others" if more else ""
    return f"rows: {len(table):,} used, {len(table.rejected):,} left out ({told}){where}"


def _kind_of(reason: str) -> str:
    """Return a reason without the value that makes it one of its kind."""
    if reason.startswith("not a SMILES"):
        return "without a SMILES that can be read"
    if "a date and not" in reason:
        return "dates"
    if "is empty" in reason or "no target has a value" in reason:
        return "without a measurement"
    if reason.startswith("the row has"):
        return "rows too long or too short"
    return "that are no number" if "not a number" in reason or "unit" in reason or "range" in reason else "others"


def _target(table: MoleculeTable, column: int, config: DataConfig) -> list[str]:
    name, values = table.targets[column].name, table.values[:, column]
    known = values[~np.isnan(values)]
    missing = f", {len(values) - len(known):,} missing" if len(known) < len(values) else ""
    notes = [note.partition(": ")[2] for note in table.notes if note.startswith(f"{_source(table, column)}: ")]
    said = "".join(f"; {note}" for note in notes)
    if table.kind != "regression":
        counts = np.bincount(known.astype(int), minlength=2).tolist()
        labels = table.classes[column] if table.classes else _labels(notes)
        shares = ", ".join(f"{label}: {count:,}" for label, count in zip(labels, counts, strict=False))
        return [f"target {name}: {len(labels)} classes ({shares}){missing}{said}"]
    span = f"{shown(float(known.min()))} .. {shown(float(known.max()))}, median {shown(float(np.median(known)))}"
    lines = [f"target {name}: numbers, {span}{missing}{said}"]
    if config.transform == "none" and known.min() > 0 and np.log10(known.max() / known.min()) > DECADES:
        way = "p" if molar_unit(name) else "log10"
        decades = np.log10(known.max() / known.min())
        lines.append(f"  it spans {decades:.1f} decades and is better learned as a logarithm: data.transform={way}")
    return lines


def _labels(notes: list[str]) -> list[str]:
    """Return what 0 and 1 were called in the file."""
    words = next((note.split("'") for note in notes if "is read as 0" in note), [])
    return [words[1], words[3]] if len(words) > 4 else ["0", "1"]


def _source(table: MoleculeTable, column: int) -> str:
    change = table.transforms[column] if table.transforms else None
    return change.column if change else table.targets[column].name


def _molecules(table: MoleculeTable, canonical: list[str], config: DataConfig) -> list[str]:
    lines = []
    found = repeats(table, canonical)
    if found.molecules:
        agree = next((value for value in found.disagreement if not np.isnan(value)), None)
        unit = "of each other (standard deviation)" if table.kind == "regression" else "of them disagree"
        measure = shown(agree) if table.kind == "regression" and agree is not None else f"{agree or 0:.0%}"
        apart = f", their values within {measure} {unit}" if table.kind == "regression" else f", {measure} {unit}"
        apart = apart if agree is not None else ""
        lines.append(
            f"repeats: {_counted(found.molecules, 'molecule')} on {found.rows:,} rows{apart}; "
            "kept (data.duplicates=mean, median or refuse)"
        )
    salts = sum("." in text for text in canonical)
    if salts and config.salts == "keep":
        lines.append(f"salts and mixtures: {salts:,}, kept whole (data.salts=largest keeps the largest part)")
    return lines


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def expected_time(seconds: float) -> str:
    """Return a duration as a person says it.

    >>> expected_time(40), expected_time(150), expected_time(9000)
    ('under a minute', 'about 2 to 3 minutes', 'about 2.5 hours')
    """
    if seconds < 50:
        return "under a minute"
    minutes = seconds / 60
    if minutes < 90:
        low = max(1, round(minutes * 0.8))
        return f"about {low} to {max(low + 1, round(minutes * 1.2))} minutes"
    return f"about {minutes / 60:.1f} hours"
