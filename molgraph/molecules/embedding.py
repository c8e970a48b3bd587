"""Learned fingerprints to a table: ``RUN, table -> columns of the input, embedding_0 ... -> table``, chunk by chunk."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from molgraph.molecules.predict import CHUNK, TrainedModel
from molgraph.molecules.reading.table import smiles_position
from molgraph.molecules.tables import TableFormat, open_table, open_writer


def embed_texts(model: TrainedModel, smiles: Sequence[str], output: Path | None) -> int:
    """Write the fingerprints of SMILES; return how many could not be read."""
    return _write(model, ["smiles"], ([text] for text in smiles), 0, output, None)


def embed_file(
    model: TrainedModel, source: Path, output: Path | None, smiles_column: str, delimiter: str | None
) -> int:
    """Copy a table with fingerprints added; a row that cannot be read has empty cells. Returns how many there are.

    Args:
        model: trained model.
        source: table, as ``tables.open_table`` takes it.
        output: file to write; None is standard output.
        smiles_column: column with the molecules.
        delimiter: what separates the cells; None finds it.

    Raises:
        ValueError: the file or the column is wrong, or the model has no learned fingerprint.
    """
    with open_table(source, delimiter) as table:
        place = smiles_position(table.header, smiles_column, table.name)
        return _write(model, table.header, (row.cells for row in table), place, output, table.format)


def _write(
    model: TrainedModel,
    header: list[str],
    rows: Iterable[list[str]],
    place: int,
    output: Path | None,
    like: TableFormat | None,
) -> int:
    width = model.embed(["C"]).shape[1]
    columns = [f"embedding_{number}" for number in range(width)]
    failed = 0
    with open_writer(output, header + columns, like, dict.fromkeys(columns, "double")) as writer:
        for chunk in _chunks(iter(rows)):
            learned = model.embed([cells[place].strip() for cells in chunk])
            for cells, values in zip(chunk, learned, strict=True):
                bad = bool(np.isnan(values[0]))
                failed += bad
                writer.write(cells + ([""] * width if bad else [f"{value:.7g}" for value in values]))
    return failed


def _chunks(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    return iter(lambda: list(islice(rows, CHUNK)), [])
