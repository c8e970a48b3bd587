"""Delimited text, row by row, and never a row less in silence: ``lines -> dialect -> delimited_rows -> cells``."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

DELIMITERS = ",;\t|"
LONGEST_LINE = 10_000_000
"""Characters of a line at most: what has no line end, such as a zip bomb, is refused before it fills the memory."""


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


def bounded_lines(text: io.TextIOBase, name: str) -> Iterator[str]:
    """Yield the lines of a text with their ends.

    Raises:
        ValueError: a line without end.
    """
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
            raise ValueError(f"{name}, line {number} has more than {LONGEST_LINE:,} characters; is it a table at all?")
        yield line


def guess_delimiter(lines: list[str]) -> str:
    """Return what separates the cells: it is in the first line, and all lines agree on the number of cells."""
    scores = {}
    for delimiter in DELIMITERS:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        if counts and counts[0] > 1:
            scores[delimiter] = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
    return max(scores, key=lambda delimiter: scores[delimiter], default=",")


def guess_decimal(lines: list[str], delimiter: str) -> str:
    """Return the decimal mark that most numbers of these lines are written with."""
    cells = [cell.strip() for row in csv.reader(lines, delimiter=delimiter) for cell in row]
    commas, points = (
        sum(bool(re.fullmatch(rf"[-+<>~]?\d+{mark}\d+", cell)) for cell in cells) for mark in (",", r"\.")
    )
    return "," if delimiter != "," and commas > points else "."
