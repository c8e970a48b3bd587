"""Tables with predictions or learned fingerprints beside their columns: ``RUN, table -> stream of rows -> table``."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from molgraph.molecules.predict import CHUNK, Prediction, TrainedModel
from molgraph.molecules.reading.table import smiles_position
from molgraph.molecules.tables import Row, TableFormat, open_table, open_writer
from molgraph.molecules.tables.resume import written_rows


def predict_file(
    model: TrainedModel,
    source: Path,
    output: Path | None,
    smiles_column: str = "smiles",
    delimiter: str | None = None,
    workers: int | None = None,
    resume: bool = False,
) -> Iterator[Prediction]:
    """Copy a table with predictions added: columns, rows and order stay. Yields each prediction once it is written.

    Args:
        model: trained model.
        source: table, as `tables.open_table` takes it; ``-`` is standard input.
        output: file to write; None is standard output. What an interrupted call has written stays in ``OUTPUT.part``.
        smiles_column: column with the molecules.
        delimiter: what separates the cells; None finds it.
        workers: processes that read molecules.
        resume: go on behind the rows of ``OUTPUT.part``.

    Raises:
        ValueError: the file, its header or the column is wrong, or what lies there does not belong to this input.
    """
    with open_table(source, delimiter) as table:
        try:
            position = smiles_position(table.header, smiles_column, table.name)
        except ValueError as error:
            raise ValueError(f"{error} (--smiles-column)") from error
        header = table.header + model.columns()
        rows = iter(table)
        written = written_rows(output, header, rows) if resume and output else 0
        pending: deque[Row] = deque()

        def texts() -> Iterator[str]:
            for row in rows:
                pending.append(row)
                yield row.cells[position].strip()

        numbers = dict.fromkeys(model.number_columns(), "double")
        with open_writer(output, header, table.format, numbers, keep=True, append=written > 0) as writer:
            for prediction in model.stream(texts(), workers):
                row = pending.popleft()
                if row.problem:
                    prediction = Prediction(prediction.smiles, None, row.problem)
                writer.write(row.cells + model.cells(prediction))
                yield prediction


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
                bad = not np.isfinite(values).any()
                failed += bad
                writer.write(cells + ([""] * width if bad else [f"{value:.7g}" for value in values]))
    return failed


def _chunks(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    return iter(lambda: list(islice(rows, CHUNK)), [])
