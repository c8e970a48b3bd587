"""A file of texts, row by row: ``table | file of lines -> read_rows -> tuples of texts``."""

from collections.abc import Iterator
from pathlib import Path

from molgraph.molecules.tables import open_lines, open_table, plain_name

SMILES_FILES = (".smi", ".smiles", ".ism", ".can")
"""Endings of files in which the name of a molecule may follow its SMILES."""
TABLES = (".csv", ".tsv", ".tab", ".parquet", ".xlsx", ".sdf", ".sd")
"""Endings of files that have columns; any other file has one text a line."""


def read_rows(path: Path, columns: tuple[str, ...], prose: bool = False) -> Iterator[tuple[str, ...]]:
    """Read columns of a table (names in any case), or the lines of a file that is none.

    Args:
        path: the file, as ``tables.open_table`` takes it.
        columns: their names.
        prose: take lines whole, blanks included, unless the file's ending says that it holds SMILES; otherwise the
            first word of a line is its SMILES, and what follows is a name.

    Raises:
        ValueError: if a column is missing, or several are asked of a file of lines.
    """
    if not is_table(path):
        if len(columns) > 1:
            raise ValueError(f"{path} has one text a line and no columns {', '.join(columns)}; that takes a CSV file")
        whole = prose and not plain_name(path.name).endswith(SMILES_FILES)
        with open_lines(path) as lines:
            yield from ((line.rstrip("\r\n") if whole else line.split()[0],) for line in lines if line.strip())
        return
    with open_table(path, header=True) as table:
        header = [name.lower() for name in table.header]
        missing = [name for name in columns if name.lower() not in header]
        if missing:
            raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(header)}")
        places = [header.index(name.lower()) for name in columns]
        for row in table:
            yield tuple(row.cells[place].strip() for place in places)


def is_table(path: Path) -> bool:
    """Return whether a file has columns, by its name; any other file has one text a line."""
    return plain_name(path.name).endswith(TABLES)
