"""A table as rows, in constant memory: ``path | - -> open_table -> TableReader -> Row(line, cells, problem)``."""

import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast

from molgraph.molecules.reading.delimited import delimited_rows
from molgraph.molecules.reading.smiles import InvalidSmiles, parse
from molgraph.molecules.reading.table import check_delimiter
from molgraph.molecules.tables.text import (
    TableFormat,
    bounded_lines,
    decompress,
    guess_decimal,
    guess_delimiter,
    guess_encoding,
)

LOOKED_AT = 50
"""Lines by which a dialect is guessed."""
_NAMED = re.compile(r"smi|mol|id|name|struct|inchi", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    line: int
    """Line of the file on which it begins, the first being 1."""
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

    def __init__(self, name: str, header: list[str], form: TableFormat, rows: Iterator[tuple[int, list[str]]]) -> None:
        """Take rows that are still to be read."""
        self.name, self.header, self.format, self._rows = name, header, form, rows

    def __iter__(self) -> Iterator[Row]:
        """Yield each row; an empty line is none, but for an empty cell in a table with a single column."""
        width = len(self.header)
        for line, cells in self._rows:
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
    """Open a table of delimited text, compressed by gzip or zstd or not.

    Args:
        source: a path, or ``-`` for standard input.
        delimiter: what separates the cells; None finds it.
        encoding: of the text; None finds it.
        header: whether the first line names the columns; None finds it.

    Raises:
        ValueError: the file is not there, empty, damaged or no text; a column stands twice; a quote is not closed.
    """
    name = "standard input" if str(source) == "-" else str(source)
    with _open_bytes(source) as raw:
        try:
            compression, head, stream = decompress(raw, name)
            encoding = encoding or guess_encoding(head)
            text = io.TextIOWrapper(stream, encoding=encoding, newline="")
            yield _reader(text, name, delimiter, header, encoding, compression)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not {encoding} text ({error.reason}); save it as UTF-8") from error
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
        raise ValueError(f"{path} is a folder; give a file" if path.is_dir() else f"{path} does not exist")
    with path.open("rb") as raw:
        yield cast(BinaryIO, raw)


def _reader(
    text: io.TextIOWrapper, name: str, delimiter: str | None, header: bool | None, encoding: str, compression: str
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
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise ValueError(f"{name} has the column {twice[0]!r} more than once; rename one of them")
    form = TableFormat("csv", separator, guess_decimal(sample[1:], separator), encoding, compression, named)
    return TableReader(name, names, form, rows if named else chain([(line, first)], rows))


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
    try:
        parse(cell.strip())
    except InvalidSmiles:
        return False
    return True
