"""Delimited text, row by row, and never a row less in silence: ``path -> open_text -> delimited_rows -> cells``."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file, gzipped or not, with or without a byte order mark.

    Raises:
        ValueError: the file is not there, damaged, or no UTF-8 text.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the path of a CSV file")
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as raw:
            yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as a UTF-8 CSV file") from error
    except (csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged, or no CSV file ({error})") from error


def delimited_rows(file: Iterable[str], path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row begins, and its cells.

    A quote that is opened and never closed makes one cell of all rows up to the next quote. That is an error here, for
    the rows would be gone in silence: a cell may hold line breaks, but not lines that are rows themselves.

    Args:
        file: lines of the table, with their line ends.
        path: for messages.
        delimiter: what separates the cells.

    Raises:
        ValueError: a quote that is not closed, or closed in the middle of a cell; names the line.
    """
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in file:
            taken.append(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    columns = 0
    while True:
        taken.clear()
        first = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {first}: a quote is opened and not closed as it should be ({error}); "
                'remove the quote, or write "" for a quote inside a quoted cell'
            ) from error
        columns = columns or len(row)
        if columns > 1 and len(taken) > 1 and _swallowed(taken, delimiter, columns):
            raise ValueError(
                f"{path}, line {first}: a quote is opened here and closed on line {reader.line_num}, and what lies "
                "between are rows; remove the quote"
            )
        yield first, row


def _swallowed(lines: list[str], delimiter: str, columns: int) -> bool:
    """Return whether a quoted cell runs over rows: a line inside it is one by itself, or its first and last both are.

    The last line alone says nothing: behind the cell, a mol block for example, the other cells of the row follow.
    """
    full = [bool(line.strip()) and line.count(delimiter) >= columns - 1 for line in lines]
    return any(full[1:-1]) or (full[0] and full[-1])
