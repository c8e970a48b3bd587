"""A table as rows, in constant memory: ``path | - -> open_table -> TableReader -> Row(line, cells, problem)``."""

import gzip
import io
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast

from rdkit import Chem, rdBase

from molgraph.molecules.tables.columnar import excel_rows, parquet_rows
from molgraph.molecules.tables.delimited import (
    bounded_lines,
    check_delimiter,
    delimited_rows,
    guess_decimal,
    guess_delimiter,
)
from molgraph.molecules.tables.sdf import STRUCTURE, TITLE, sdf_columns, sdf_rows, smi_rows
from molgraph.molecules.tables.text import TableFormat, decompress, guess_encoding, kind_of

LOOKED_AT = 50
"""Lines by which a dialect is guessed."""
_NAMED = re.compile(r"smi|mol|id|name|struct|inchi", re.IGNORECASE)
Cells = Iterator[tuple[int, list[str]]]


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    line: int
    """Where it stands in the file, the first line (Excel: row, Parquet: record) being 1."""
    cells: list[str]
    """As many as there are columns, as written."""
    problem: str = ""
    """Why the row cannot be trusted, or empty."""


class TableReader:
    """The columns of an open table, and its rows, once.

    Attributes:
        name: for messages.
        header: name of each column.
        format: how the table is written down.
    """

    def __init__(self, name: str, header: list[str], form: TableFormat, rows: Iterator[Row]) -> None:
        """Take rows that are still to be read."""
        self.name, self.header, self.format, self._rows = name, header, form, rows

    def __iter__(self) -> Iterator[Row]:
        """Yield each row, once."""
        return self._rows


def _fitted(found: Cells, width: int) -> Iterator[Row]:
    """Yield rows as wide as the header; an empty line is none, but for an empty cell in a table of a single column."""
    for line, cells in found:
        if len(cells) == width:
            problem = "the row has a NUL byte" if any("\0" in cell for cell in cells) else ""
            yield Row(line, cells, problem)
        elif cells or width == 1:
            reason = f"the row has {len(cells)} cells, the header {width}" if cells else ""
            if len(cells) > width:
                reason += "; is a cell with the delimiter in it not quoted?"
            yield Row(line, (cells + [""] * width)[:width], reason)


@contextmanager
def open_table(
    source: str | Path, delimiter: str | None = None, encoding: str | None = None, header: bool | None = None
) -> Iterator[TableReader]:
    """Open a table: delimited text, SDF, SMI (each plain, gzip or zstd), Parquet or Excel, found by its content.

    Args:
        source: a path, or ``-`` for standard input.
        delimiter: what separates the cells; None finds it.
        encoding: of the text; None finds it.
        header: whether the first line names the columns; None finds it.

    Raises:
        ValueError: the file is not there, empty, damaged or no table; a column stands twice; a quote is not closed.
    """
    name = _name(source)
    with _open_bytes(source) as raw, _damage_named(name):
        compression, head, stream = decompress(raw, name)
        kind = kind_of(head, name, asked=delimiter is not None)
        if kind in ("parquet", "excel"):
            with _seekable(raw, stream, compression) as file:
                yield _stored(file, name, TableFormat(kind, compression=compression))
            return
        form = TableFormat(kind, encoding=encoding or guess_encoding(head), compression=compression)
        if kind == "sdf":
            with _seekable(raw, stream, compression) as file:
                yield _structures(file, name, form)
            return
        text = io.TextIOWrapper(stream, encoding=form.encoding, newline="")
        if kind == "smi":
            yield TableReader(name, [STRUCTURE, TITLE], form, _fitted(smi_rows(bounded_lines(text, name)), 2))
            return
        yield _delimited(text, name, delimiter, header, form)


@contextmanager
def open_lines(source: str | Path) -> Iterator[Iterator[str]]:
    """Open a text as lines with their ends: plain, gzip or zstd, in any encoding that can be told.

    Raises:
        ValueError: the file is not there, damaged or no text.
    """
    name = _name(source)
    with _open_bytes(source) as raw, _damage_named(name):
        _, head, stream = decompress(raw, name)
        yield bounded_lines(io.TextIOWrapper(stream, encoding=guess_encoding(head), newline=""), name)


def _name(source: str | Path) -> str:
    return "standard input" if str(source) == "-" else str(source)


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Turn what libraries say of damage into one line that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not {error.encoding} text ({error.reason}); save it as UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is damaged ({error})") from error
    except LookupError as error:
        if "encoding" not in str(error):
            raise
        raise ValueError(f"{name}: {error}; use for example utf-8 or latin-1") from error


@contextmanager
def _open_bytes(source: str | Path) -> Iterator[BinaryIO]:
    if str(source) == "-":
        yield cast(BinaryIO, sys.stdin.buffer)
        return
    path = Path(source)
    if path.is_dir() or not path.exists():
        raise ValueError(
            f"{path} is a folder; give a file" if path.is_dir() else f"{path} does not exist; give the path of a file"
        )
    with path.open("rb") as raw:
        yield cast(BinaryIO, raw)


@contextmanager
def _seekable(raw: BinaryIO, stream: BinaryIO, compression: str) -> Iterator[BinaryIO]:
    """Give a file that can be read from any place: the file itself, or a copy on disk of what only flows."""
    if not compression and isinstance(raw, io.BufferedReader) and raw.seekable():
        raw.seek(0)
        yield raw
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def _stored(file: BinaryIO, name: str, form: TableFormat) -> TableReader:
    if form.kind == "parquet":
        header, types, rows = parquet_rows(file, name)
        form = replace(form, types=types)
    else:
        rows = excel_rows(file, name)
        _, first = next(rows, (1, []))
        if not first:
            raise ValueError(f"{name} is empty; the first row has to name the columns")
        header = [cell.strip() for cell in first]
        rows = ((number, cells + [""] * (len(header) - len(cells))) for number, cells in rows)
    _check_header(name, header)
    return TableReader(name, header, form, _fitted(rows, len(header)))


def _structures(file: BinaryIO, name: str, form: TableFormat) -> TableReader:
    text = io.TextIOWrapper(file, encoding=form.encoding)
    columns = sdf_columns(bounded_lines(text, name))
    text.seek(0)
    rows = (Row(*found) for found in sdf_rows(bounded_lines(text, name), columns))
    return TableReader(name, columns, form, rows)


def _delimited(
    text: io.TextIOWrapper, name: str, delimiter: str | None, header: bool | None, form: TableFormat
) -> TableReader:
    lines = bounded_lines(text, name)
    sample = list(islice(lines, LOOKED_AT))
    separator = check_delimiter(delimiter) if delimiter else guess_delimiter(sample)
    rows = delimited_rows(chain(sample, lines), Path(name), separator)
    line, first = next(rows, (1, []))
    if not first:
        raise ValueError(f"{name} is empty; the first line has to name the columns")
    named = header if header is not None else not _is_data(first)
    names = [cell.strip() for cell in first] if named else [f"column_{at + 1}" for at in range(len(first))]
    _check_header(name, names)
    form = replace(form, delimiter=separator, decimal=guess_decimal(sample[1:], separator), header=named)
    return TableReader(name, names, form, _fitted(rows if named else chain([(line, first)], rows), len(names)))


def _check_header(name: str, names: list[str]) -> None:
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        what = repr(twice[0]) if twice[0] else "without a name"
        raise ValueError(f"{name} has the column {what} more than once; rename one of them")


def _is_data(cells: list[str]) -> bool:
    """Return whether a first line is a row: it has a number or a molecule in it, and no name of such a column."""
    if any(_NAMED.search(cell) for cell in cells):
        return False
    return any(_is_number(cell) or _is_molecule(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(r"\s*[-+]?\d+([.,]\d+)?(e[-+]?\d+)?\s*", cell, re.IGNORECASE))


def _is_molecule(cell: str) -> bool:
    if not re.search(r"[\[(=#1-9]", cell) or len(cell) > 1000:  # CNS and NCI are SMILES, too, and names of columns
        return False
    with rdBase.BlockLogs():
        return cell.isascii() and Chem.MolFromSmiles(cell.strip()) is not None
