"""A file of texts, row by row: ``CSV file | file of lines -> read_rows -> tuples of texts``."""

from collections.abc import Iterator
from pathlib import Path

from molgraph.molecules.reading import delimited_rows, open_text

SMILES_FILES = (".smi", ".smiles", ".ism", ".can")
"""Endings of files in which the name of a molecule may follow its SMILES."""


def read_rows(path: Path, columns: tuple[str, ...], prose: bool = False) -> Iterator[tuple[str, ...]]:
    """Read columns of a CSV file (gzipped or not, names in any case), or the lines of a file that is no CSV.

    Args:
        path: the file.
        columns: their names.
        prose: take lines whole, blanks included, unless the file's ending says that it holds SMILES; otherwise the
            first word of a line is its SMILES, and what follows is a name.

    Raises:
        ValueError: if a column is missing, or several are asked of a file of lines.
    """
    with open_text(path) as file:
        if not is_table(path):
            if len(columns) > 1:
                raise ValueError(
                    f"{path} has one text a line and no columns {', '.join(columns)}; that takes a CSV file"
                )
            whole = prose and not path.name.removesuffix(".gz").lower().endswith(SMILES_FILES)
            yield from ((line.rstrip("\r\n") if whole else line.split()[0],) for line in file if line.strip())
            return
        rows = delimited_rows(file, path)
        header = [name.strip().lower() for name in next(rows, (1, []))[1]]
        missing = [name for name in columns if name.lower() not in header]
        if missing:
            raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(header)}")
        places = [header.index(name.lower()) for name in columns]
        for _, row in rows:
            if row:  # a cell that is missing at the end of a row is an empty one
                yield tuple(row[place].strip() if place < len(row) else "" for place in places)


def is_table(path: Path) -> bool:
    """Return whether a file has columns, by its name; any other file has one text a line."""
    return path.name.removesuffix(".gz").endswith(".csv")
