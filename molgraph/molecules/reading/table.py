"""CSV to molecules with targets: ``file -> read_table -> MoleculeTable``, unusable rows named with their reasons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molgraph.molecules.reading.catalog import DATA_SETS, Target, find
from molgraph.molecules.reading.delimited import delimited_rows, open_text

MISSING = frozenset(("", "nan", "na", "n/a", "none", "null"))
"""Cells, in lower case, that hold no measurement."""


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used."""

    row: int
    """Line of the file, the header being line 1."""
    smiles: str
    """What stands in the SMILES column."""
    reason: str
    """Why it cannot be used."""


@dataclass(frozen=True)
class MoleculeTable:
    """Molecules with measured properties, as they stand in a file."""

    name: str
    """Name of the data set or path of the file."""
    kind: str
    """``regression``, ``classification`` or ``multiclass``."""
    targets: tuple[Target, ...]
    """Columns to predict, with units."""
    header: list[str]
    """All columns of the file."""
    rows: list[list[str]]
    """All cells of each row, as written."""
    lines: list[int]
    """Line of each row in the file."""
    smiles: list[str]
    """SMILES of each row."""
    values: NDArray[np.float64]
    """Targets ``[M, T]``; NaN where nothing was measured."""
    classes: list[list[str]] = field(default_factory=list)
    """For ``multiclass``: the labels of each target in the order of their numbers."""
    rejected: list[Rejected] = field(default_factory=list)
    """Rows that were left out."""
    notes: list[str] = field(default_factory=list)
    """How the file was read, where that was not said by whoever asked."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.smiles)

    def keep(self, indices: Sequence[int], rejected: Sequence[Rejected]) -> "MoleculeTable":
        """Return the table with some rows only, and with the reasons of those that went."""
        return MoleculeTable(
            self.name,
            self.kind,
            self.targets,
            self.header,
            [self.rows[i] for i in indices],
            [self.lines[i] for i in indices],
            [self.smiles[i] for i in indices],
            self.values[list(indices)],
            self.classes,
            sorted([*self.rejected, *rejected], key=lambda row: row.row),
            self.notes,
        )

    def column(self, name: str) -> list[str]:
        """Return the cells of one column.

        Raises:
            ValueError: there is no such column.
        """
        position = _position(self.header, name, self.name)
        return [row[position] for row in self.rows]


def check_delimiter(text: str) -> str:
    r"""Return the character that ``data.delimiter`` or ``--delimiter`` stands for.

    Raises:
        ValueError: more or fewer than one character.

    >>> check_delimiter(r"\t"), check_delimiter("tab"), check_delimiter(";")
    ('\t', '\t', ';')
    """
    if text in (r"\t", "tab"):
        return "\t"  # a shell hands over two characters where a person means the tabulator
    if len(text) != 1:
        raise ValueError(f"the delimiter {text!r} is not one character; use for example ';', '|' or tab")
    return text


def read_header(rows: Iterator[tuple[int, list[str]]], path: Path, delimiter: str) -> list[str]:
    """Return the header of a CSV file after checking it.

    Raises:
        ValueError: the file is empty, a column stands twice, or the delimiter looks wrong.
    """
    header = [name.strip() for name in next(rows, (1, []))[1]]
    if not header:
        raise ValueError(f"{path} is empty; the first line has to name the columns")
    others = [other for other in ",;\t|" if other != delimiter and other in header[0]]
    if len(header) == 1 and others:
        name = "tab" if others[0] == "\t" else others[0]
        raise ValueError(
            f"{path} has the single column {header[0]!r}; it looks as if the delimiter were {others[0]!r}: "
            f"use \"data.delimiter='{name}'\" (in predict: --delimiter '{name}')"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has the column {twice[0]!r} more than once; rename one of them")
    return header


def too_long(row: Sequence[str], header: Sequence[str]) -> str:
    """Return why a row with more cells than columns cannot be used."""
    return f"the row has {len(row)} cells, the header {len(header)}; is a cell with the delimiter in it not quoted?"


def smiles_position(header: Sequence[str], name: str, path: str) -> int:
    """Return the column with the molecules: ``name``, or the one that is written alike but for capitals.

    Raises:
        ValueError: there is no such column; lists those that there are.
    """
    alike = [column for column in header if column.lower() == name.lower()]
    return _position(header, alike[0] if name not in header and len(alike) == 1 else name, path)


def _position(header: Sequence[str], name: str, path: str) -> int:
    if name not in header:
        raise ValueError(f"{path} has no column {name!r}; its columns are {', '.join(header)}")
    return list(header).index(name)


@dataclass(frozen=True)
class Source:
    """Where a table lies and which columns matter.

    Attributes:
        name: a named set, or None.
        path: a CSV file (may be gzipped), if there is no name.
        smiles_column: column with the molecules.
        targets: columns to predict; empty takes all targets of a named set.
        kind: ``auto``, ``regression``, ``classification`` (two classes) or ``multiclass``.
        delimiter: what separates the cells.
    """

    name: str | None = None
    path: str | None = None
    smiles_column: str = "smiles"
    targets: Sequence[str] = ()
    kind: str = "auto"
    delimiter: str = ","


def read_table(source: Source) -> MoleculeTable:
    """Read a table of molecules and targets; a row whose target is not a number goes to ``rejected``.

    Raises:
        ValueError: the file, a column or the kind is wrong; the message says what exists.
    """
    path, known, kind = _resolve(source)
    with open_text(path) as file:
        delimiter = check_delimiter(source.delimiter)
        found = delimited_rows(file, path, delimiter)
        header = read_header(found, path, delimiter)
        smiles_at = smiles_position(header, source.smiles_column, str(path))
        names = list(source.targets) or [target.name for target in known.values()]
        if not names:
            raise ValueError(
                f"data.targets is empty; name the columns to predict, for example data.targets=[{header[-1]}]"
            )
        target_at = [_position(header, name, str(path)) for name in names]
        rows, lines = [], []
        for line, row in found:
            if row:
                rows.append(row + [""] * (len(header) - len(row)))
                lines.append(line)
    cells = [[row[at].strip() for row in rows] for at in target_at]
    kind = _infer_kind(cells) if kind == "auto" else kind
    values, classes, problems = _parse_targets(cells, names, kind)
    empty = f"{names[0]} is empty" if len(names) == 1 else "no target has a value"
    problems = {int(row): empty for row in np.flatnonzero(np.isnan(values).all(axis=1))} | problems
    problems |= {index: too_long(row, header) for index, row in enumerate(rows) if len(row) > len(header)}
    table = MoleculeTable(
        name=source.name or str(path),
        kind=kind,
        targets=tuple(known.get(name, Target(name)) for name in names),
        header=header,
        rows=rows,
        lines=lines,
        smiles=[row[smiles_at].strip() for row in rows],
        values=values,
        classes=classes,
        notes=_notes(source, header[smiles_at], names, cells if kind == "classification" else []),
    )
    rejected = [Rejected(lines[index], table.smiles[index], reason) for index, reason in sorted(problems.items())]
    return table.keep([index for index in range(len(rows)) if index not in problems], rejected)


def _notes(source: Source, smiles: str, names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return in sentences what was found and not said: the column of the molecules, and words read as 0 and 1."""
    notes = [] if smiles == source.smiles_column else [f"molecules are in the column {smiles!r}"]
    for name, column in zip(names, cells, strict=False):
        pair = labels_of(column)
        if pair:
            notes.append(f"{name}: {pair[0]!r} is read as 0, {pair[1]!r} as 1")
    return notes


def _resolve(source: Source) -> tuple[Path, dict[str, Target], str]:
    if source.kind not in ("auto", "regression", "classification", "multiclass"):
        raise ValueError(f"data.kind={source.kind!r} is unknown; use auto, regression, classification or multiclass")
    if source.name:
        path = find(source.name)
        data_set = DATA_SETS[source.name]
        return path, {target.name: target for target in data_set.targets}, data_set.kind
    if not source.path:
        raise ValueError("data=csv needs data.path=FILE.csv, data.smiles_column=... and data.targets=[...]")
    return Path(source.path), {}, source.kind


LABELS = (
    ("false", "true"),
    ("no", "yes"),
    ("n", "y"),
    ("f", "t"),
    ("inactive", "active"),
    ("negative", "positive"),
    ("-", "+"),
    ("fail", "pass"),
)
"""Pairs of words that people write for 0 and 1, in any case."""


def labels_of(cells: Sequence[str]) -> tuple[str, str] | None:
    """Return the pair of :data:`LABELS` that all cells of a column are made of, or None.

    >>> labels_of(["Active", "inactive", "", "active"]), labels_of(["1", "0"]), labels_of(["+", "-"])
    (('inactive', 'active'), None, ('-', '+'))
    """
    seen = {cell.lower() for cell in cells if cell.lower() not in MISSING}
    return next((pair for pair in LABELS if seen and seen <= set(pair)), None)


def _infer_kind(cells: Sequence[Sequence[str]]) -> str:
    """Take a table whose only values are 0 and 1 for a classification."""
    seen = {cell for column in cells if not labels_of(column) for cell in column if cell.lower() not in MISSING}
    if not seen and any(labels_of(column) for column in cells):
        return "classification"
    return "classification" if seen and seen <= {"0", "1", "0.0", "1.0"} else "regression"


def _parse_targets(
    cells: Sequence[Sequence[str]], names: Sequence[str], kind: str
) -> tuple[NDArray[np.float64], list[list[str]], dict[int, str]]:
    """Return the values ``[M, T]``, the labels of each target, and for each bad row the reason."""
    values = np.full((len(cells[0]), len(cells)), np.nan)
    problems: dict[int, str] = {}
    classes: list[list[str]] = []
    for column, (name, texts) in enumerate(zip(names, cells, strict=True)):
        if kind == "multiclass":
            labels = sorted({text for text in texts if text.lower() not in MISSING})
            classes.append(labels)
        pair = labels_of(texts) if kind == "classification" else None
        for row, text in enumerate(texts):
            if text.lower() in MISSING:
                continue
            if pair:
                values[row, column] = pair.index(text.lower())
                continue
            try:
                values[row, column] = labels.index(text) if kind == "multiclass" else float(text)
            except ValueError:
                problems.setdefault(row, f"{name} is {text!r}, which is not a number")
                continue
            if kind == "classification" and values[row, column] not in (0.0, 1.0):
                problems.setdefault(
                    row, f"{name} is {text!r}; a class is 0 or 1 (for more classes use data.kind=multiclass)"
                )
            elif not np.isfinite(values[row, column]):
                problems.setdefault(row, f"{name} is {text!r}, which is not a finite number")
    return values, classes, problems
