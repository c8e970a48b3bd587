"""A table to molecules with targets: ``file -> read_table -> MoleculeTable``; unusable rows keep their reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from molgraph.molecules.reading.catalog import DATA_SETS, Target, find
from molgraph.molecules.reading.transforms import Transform, make_transform
from molgraph.molecules.reading.values import DECIMALS, MISSING, Numbers, labels_of, read_numbers, words_of
from molgraph.molecules.tables import TableFormat, open_table

KINDS = ("auto", "regression", "classification", "multiclass")


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used."""

    row: int
    """Where it stands in the file, the header being line 1."""
    smiles: str
    """What stands in the SMILES column."""
    reason: str
    """Why it cannot be used."""
    cells: tuple[str, ...] = ()
    """All cells of the row, as written."""


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
    bounds: NDArray[np.int8] | None = None
    """-1 where the truth lies below the value, 1 where above, else 0 ``[M, T]``; None if all values are exact."""
    transforms: tuple[Transform | None, ...] = ()
    """Change of scale of each target; empty for none."""
    format: TableFormat = field(default_factory=TableFormat)
    """How the file is written."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.smiles)

    def keep(self, indices: Sequence[int], rejected: Sequence[Rejected]) -> "MoleculeTable":
        """Return the table with some rows only, and with the reasons of those that went."""
        chosen = list(indices)
        return replace(
            self,
            rows=[self.rows[i] for i in chosen],
            lines=[self.lines[i] for i in chosen],
            smiles=[self.smiles[i] for i in chosen],
            values=self.values[chosen],
            bounds=None if self.bounds is None else self.bounds[chosen],
            rejected=sorted([*self.rejected, *rejected], key=lambda row: row.row),
        )

    def reject(self, row: int, reason: str) -> Rejected:
        """Return one row as what cannot be used."""
        return Rejected(self.lines[row], self.smiles[row], reason, tuple(self.rows[row]))

    def column(self, name: str) -> list[str]:
        """Return the cells of one column.

        Raises:
            ValueError: there is no such column.
        """
        position = _position(self.header, name, self.name)
        return [row[position] for row in self.rows]


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
        path: a file, if there is no name; see ``tables.open_table``.
        smiles_column: column with the molecules.
        targets: columns to predict; empty takes all targets of a named set.
        kind: ``auto``, ``regression``, ``classification`` (two classes) or ``multiclass``.
        delimiter: what separates the cells; None finds it.
        decimal: ``auto``, ``point`` or ``comma``.
        transform: ``none``, ``log10`` or ``p``, of every target.
        unit: unit of concentration, for ``transform=p`` where the column's name does not tell.
        encoding: of the text; None finds it.
    """

    name: str | None = None
    path: str | None = None
    smiles_column: str = "smiles"
    targets: Sequence[str] = ()
    kind: str = "auto"
    delimiter: str | None = None
    decimal: str = "auto"
    transform: str = "none"
    unit: str | None = None
    encoding: str | None = None


def read_table(source: Source) -> MoleculeTable:
    """Read a table of molecules and targets; a row whose target cannot be understood goes to ``rejected``.

    Raises:
        ValueError: the file, a column or the kind is wrong; the message says what exists.
    """
    path, known, kind = _resolve(source)
    with open_table(path, source.delimiter, source.encoding) as opened:
        header, form = opened.header, opened.format
        smiles_at = smiles_position(header, source.smiles_column, str(path))
        names = list(source.targets) or [target.name for target in known.values()]
        if not names:
            raise ValueError(
                f"data.targets is empty; name the columns to predict, for example data.targets=[{header[-1]}]"
            )
        target_at = [_position(header, name, str(path)) for name in names]
        found = list(opened)
    rows = [row.cells for row in found]
    cells = [[row[at].strip() for row in rows] for at in target_at]
    kind = infer_kind(cells) if kind == "auto" else kind
    targets = _read_targets(cells, names, kind, source)
    problems = {int(row): _empty(names) for row in np.flatnonzero(np.isnan(targets.values).all(axis=1))}
    problems |= targets.problems | {index: row.problem for index, row in enumerate(found) if row.problem}
    table = MoleculeTable(
        name=source.name or str(path),
        kind=kind,
        targets=tuple(
            Target(change.name, "") if change else known.get(name, Target(name))
            for name, change in zip(names, targets.transforms, strict=True)
        ),
        header=header,
        rows=rows,
        lines=[row.line for row in found],
        smiles=[row[smiles_at].strip() for row in rows],
        values=targets.values,
        classes=targets.classes,
        notes=_column_notes(source, header[smiles_at]) + targets.notes,
        bounds=targets.bounds if targets.bounds.any() else None,
        transforms=targets.transforms if any(targets.transforms) else (),
        format=form,
    )
    rejected = [table.reject(row, reason) for row, reason in sorted(problems.items())]
    return table.keep([index for index in range(len(rows)) if index not in problems], rejected)


def _empty(names: Sequence[str]) -> str:
    return f"{names[0]} is empty" if len(names) == 1 else "no target has a value"


def _column_notes(source: Source, smiles: str) -> list[str]:
    return [] if smiles == source.smiles_column else [f"molecules are in the column {smiles!r}"]


def _resolve(source: Source) -> tuple[Path, Mapping[str, Target], str]:
    if source.kind not in KINDS:
        raise ValueError(f"data.kind={source.kind!r} is unknown; use auto, regression, classification or multiclass")
    if source.decimal not in DECIMALS:
        raise ValueError(f"data.decimal={source.decimal!r} is unknown; use auto, point or comma")
    if source.name:
        path = find(source.name)
        data_set = DATA_SETS[source.name]
        return path, {target.name: target for target in data_set.targets}, data_set.kind
    if not source.path:
        raise ValueError("data=csv needs data.path=FILE.csv, data.smiles_column=... and data.targets=[...]")
    return Path(source.path), {}, source.kind


def infer_kind(cells: Sequence[Sequence[str]]) -> str:
    """Return ``classification`` for 0 and 1 or two words, ``multiclass`` for a few words, else ``regression``."""
    words = [words_of(column) for column in cells]
    if all(words) and any(len(found) > 2 for found in words):
        return "multiclass"
    if all(
        labels_of(column) or len(found) == 2 or _is_binary(column) for column, found in zip(cells, words, strict=True)
    ):
        return "classification"
    return "regression"


def _is_binary(column: Sequence[str]) -> bool:
    seen = {cell for cell in column if cell.lower() not in MISSING}
    return bool(seen) and seen <= {"0", "1", "0.0", "1.0"}


@dataclass(frozen=True)
class _Targets:
    """The targets of a table, as read."""

    values: NDArray[np.float64]
    bounds: NDArray[np.int8]
    classes: list[list[str]]
    transforms: tuple[Transform | None, ...]
    problems: dict[int, str]
    notes: list[str]


def _read_targets(cells: Sequence[Sequence[str]], names: Sequence[str], kind: str, source: Source) -> _Targets:
    """Return the values ``[M, T]``, their bounds, the labels of each target, and for each bad row the reason."""
    shape = (len(cells[0]), len(cells))
    read = _Targets(np.full(shape, np.nan), np.zeros(shape, np.int8), [], _transforms(names, kind, source), {}, [])
    for column, (name, texts) in enumerate(zip(names, cells, strict=True)):
        if kind == "multiclass":
            labels = sorted({text for text in texts if text.lower() not in MISSING})
            read.classes.append(labels)
            numbers = _numbers_of(texts, {label: number for number, label in enumerate(labels)})
        elif kind == "classification":
            numbers = _read_classes(texts)
        else:
            numbers = read_numbers(texts, source.decimal)
            change = read.transforms[column]
            if change:
                numbers = _transformed(numbers, change, texts)
        read.values[:, column], read.bounds[:, column] = numbers.values, numbers.bounds
        for row, reason in numbers.problems.items():
            read.problems.setdefault(row, f"{name} is {reason}")
        read.notes.extend(f"{name}: {note}" for note in numbers.notes)
    return read


def _transforms(names: Sequence[str], kind: str, source: Source) -> tuple[Transform | None, ...]:
    if kind != "regression":
        if source.transform != "none":
            raise ValueError(f"data.transform={source.transform} is for numbers; these targets are classes")
        return (None,) * len(names)
    return tuple(make_transform(source.transform, name, source.unit) for name in names)


def _transformed(numbers: Numbers, change: Transform, texts: Sequence[str]) -> Numbers:
    """Return a column on its new scale; a value that has no logarithm is a problem."""
    values = change.forward(numbers.values)
    lost = np.flatnonzero(np.isnan(values) & ~np.isnan(numbers.values))
    problems = {int(row): f"{texts[int(row)]!r}, and a logarithm needs a positive value" for row in lost}
    bounds = -numbers.bounds if change.flips else numbers.bounds
    note = f"learned as {change.name}, predicted in both"
    return Numbers(values, bounds.astype(np.int8), numbers.problems | problems, [*numbers.notes, note])


def _numbers_of(texts: Sequence[str], known: Mapping[str, float]) -> Numbers:
    """Return the number of each label; what is missing is NaN, any other text a problem."""
    values, problems = np.full(len(texts), np.nan), {}
    for row, text in enumerate(texts):
        if text in known:
            values[row] = known[text]
        elif text.lower() in known:
            values[row] = known[text.lower()]
        elif text.lower() not in MISSING:
            problems[row] = f"{text!r}; a class is 0 or 1 (for more classes use data.kind=multiclass)"
    return Numbers(values, np.zeros(len(texts), np.int8), problems, [])


def _read_classes(texts: Sequence[str]) -> Numbers:
    """Return 0 and 1 of a column of two classes: numbers, a known pair of words, or two words in alphabetical order."""
    pair: Sequence[str] = labels_of(texts) or ()
    if not pair and len(words_of(texts)) == 2:
        pair = words_of(texts)
    if pair:
        numbers = _numbers_of(texts, {pair[0]: 0.0, pair[1]: 1.0})
        return replace(numbers, notes=[f"{pair[0]!r} is read as 0, {pair[1]!r} as 1"])
    numbers = read_numbers(texts)
    strange = np.flatnonzero(~np.isnan(numbers.values) & ~np.isin(numbers.values, (0.0, 1.0)) | (numbers.bounds != 0))
    other = {
        int(r): f"{texts[int(r)]!r}; a class is 0 or 1 (for more classes use data.kind=multiclass)" for r in strange
    }
    return replace(numbers, problems=numbers.problems | other, notes=[], bounds=np.zeros_like(numbers.bounds))
