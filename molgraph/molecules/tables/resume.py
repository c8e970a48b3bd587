"""What an interrupted prediction has left: ``FILE.part, rows of the input -> rows that need not be done again``."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from molgraph.molecules.tables.reader import Row, open_table
from molgraph.molecules.tables.text import resumable


def written_rows(path: Path, header: Sequence[str], rows: Iterator[Row]) -> int:
    """Return how many rows an interrupted call has left in ``FILE.part``, and read past them in the input.

    A last row that was cut is taken away.

    Args:
        path: the output of that call.
        header: the columns that it has.
        rows: of the input, from its beginning.

    Raises:
        ValueError: a format that cannot be gone on with, or rows of another input or model.
    """
    if not resumable(path):
        raise ValueError(f"{path}: --resume goes on with .csv and .tsv files only")
    part = path.with_name(path.name + ".part")
    if not part.exists():
        if path.exists():
            raise ValueError(f"{path} is complete: nothing is left to do")
        return 0
    content = part.read_bytes()
    whole = content.rfind(b"\n") + 1
    with part.open("rb+") as file:
        file.truncate(whole)
    if not whole:
        return 0
    count = 0
    with open_table(part, header=True) as done:
        if done.header != list(header):
            raise ValueError(f"{part} has other columns than this model writes; remove it, or leave --resume out")
        for written in done:
            row = next(rows, None)
            if row is None or written.cells[: len(row.cells)] != row.cells:
                raise ValueError(f"{part}, line {written.line} is not of this input; remove it, or leave --resume out")
            count += 1
    return count
