"""Tables that other programs store: ``Parquet | Excel -> cells as text -> rows``, in batches, and back."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, BinaryIO

BATCH = 4096
"""Rows of a Parquet file that are held at a time."""
Rows = Iterator[tuple[int, list[str]]]


def text_of(value: Any) -> str:
    """Return a stored value as a person would write it.

    >>> text_of(None), text_of(True), text_of(2.50), text_of(3.0), text_of([1, 2])
    ('', 'True', '2.5', '3.0', '[1, 2]')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def parquet_rows(file: BinaryIO, name: str) -> tuple[list[str], dict[str, str], Rows]:
    """Return the columns of a Parquet file, which of them are numbers, and its rows with their numbers from 1.

    Raises:
        ValueError: the file is damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        stored = parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{name} is a damaged Parquet file ({str(error).splitlines()[0]})") from error

    def rows() -> Rows:
        number = 0
        try:
            for batch in stored.iter_batches(BATCH):
                columns = [_texts(column) for column in batch.columns]
                for cells in zip(*columns, strict=True) if columns else ():
                    number += 1
                    yield number, list(cells)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{name} is damaged behind row {number} ({str(error).splitlines()[0]})") from error

    kinds = {field.name: _numeric(field.type) for field in stored.schema_arrow}
    return list(kinds), {name: kind for name, kind in kinds.items() if kind}, rows()


def _numeric(kind: Any) -> str:
    import pyarrow

    if pyarrow.types.is_integer(kind):
        return "int64"
    return "double" if pyarrow.types.is_floating(kind) else ""


def _texts(column: Any) -> list[str]:
    import pyarrow

    kind = column.type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return [value or "" for value in column.to_pylist()]
    return [text_of(value) for value in column.to_pylist()]


def excel_rows(file: BinaryIO, name: str) -> Rows:
    """Yield the rows of the first sheet that holds any, with their numbers in the sheet, the header among them.

    Raises:
        ValueError: the file is damaged, or no workbook.
    """
    import warnings
    from zipfile import BadZipFile

    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that play no role here
            book = load_workbook(file, read_only=True, data_only=True)
            for sheet in book.worksheets:
                empty = True
                for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
                    cells = [text_of(value) for value in values]
                    while cells and not cells[-1].strip():
                        cells.pop()
                    if cells:
                        empty = False
                        yield number, cells
                if not empty:
                    return
    except (BadZipFile, KeyError, OSError, EOFError) as error:
        raise ValueError(f"{name} is no Excel workbook, or a damaged one ({error})") from error


class ParquetWriter:
    """Rows to a Parquet file: cells of text, and of numbers in the columns that ``types`` names."""

    def __init__(self, path: Path, header: Sequence[str], types: Mapping[str, str]) -> None:
        import pyarrow
        from pyarrow import parquet

        self._arrow = pyarrow
        kinds = {"int64": pyarrow.int64(), "double": pyarrow.float64()}
        self._schema = pyarrow.schema([(name, kinds.get(types.get(name, ""), pyarrow.string())) for name in header])
        self._file = parquet.ParquetWriter(path, self._schema)
        self._rows: list[Sequence[str]] = []

    def write(self, cells: Sequence[str]) -> None:
        """Write one row."""
        self._rows.append(cells)
        if len(self._rows) == BATCH:
            self._flush()

    def _flush(self) -> None:
        columns = [
            self._arrow.array(
                list(column) if field.type == "string" else [_stored(cell, field.type) for cell in column]
            ).cast(field.type)
            for field, column in zip(self._schema, zip(*self._rows, strict=True), strict=True)
        ]
        self._file.write_table(self._arrow.table(columns, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        if self._rows:
            self._flush()
        self._file.close()


class ExcelWriter:
    """Rows to the sheet of a new workbook; a cell that is a number is stored as one."""

    LONGEST_CELL = 32_767
    MOST_ROWS = 1_048_576

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        from openpyxl import Workbook

        self._path, self._book = path, Workbook(write_only=True)
        self._sheet, self._count = self._book.create_sheet("molgraph"), 0
        self.write(header)

    def write(self, cells: Sequence[str]) -> None:
        """Write one row.

        Raises:
            ValueError: more rows, or a longer text, than Excel takes.
        """
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, WriteOnlyCell

        self._count += 1
        if self._count > self.MOST_ROWS:
            raise ValueError(f"Excel holds {self.MOST_ROWS:,} rows at most; choose .csv or .parquet for -o")
        row = []
        for text in cells:
            if len(text) > self.LONGEST_CELL:
                raise ValueError(
                    f"row {self._count} has a cell of {len(text):,} characters and Excel takes {self.LONGEST_CELL:,}; "
                    "choose .csv or .parquet for -o"
                )
            number = _number(text)
            cell = WriteOnlyCell(self._sheet, ILLEGAL_CHARACTERS_RE.sub("", text) if number is None else number)
            if number is None:
                cell.data_type = "s"  # never a formula: a text may begin with '='
            row.append(cell)
        self._sheet.append(row)

    def close(self) -> None:
        """Write the workbook."""
        self._book.save(self._path)


def _stored(text: str, kind: Any) -> int | float | None:
    number = _number(text)
    return int(text) if kind == "int64" and number is not None else number


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
