"""Rows to a table, whole or not at all: ``open_writer -> write(cells) -> FILE.part -> FILE``."""

import csv
import gzip
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

from molgraph.molecules.tables.columnar import ExcelWriter, ParquetWriter
from molgraph.molecules.tables.sdf import SdfWriter
from molgraph.molecules.tables.text import TableFormat, plain_name, resumable


class TableWriter(Protocol):
    """A table that is being written, row by row."""

    def write(self, cells: Sequence[str]) -> None:
        """Write one row."""
        ...


class TextWriter:
    """Rows to delimited text."""

    def __init__(self, file: TextIO, delimiter: str) -> None:
        """Write to an open text file."""
        self._plain = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        self._quoted = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, cells: Sequence[str]) -> None:
        """Write one row."""
        # Python quotes a line feed by itself, but no carriage return, which any reader takes for the end of a row.
        (self._quoted if any("\r" in cell for cell in cells) else self._plain).writerow(cells)


@contextmanager
def open_writer(
    path: str | Path | None,
    header: Sequence[str],
    like: TableFormat | None = None,
    types: Mapping[str, str] | None = None,
    keep: bool = False,
    append: bool = False,
) -> Iterator[TableWriter]:
    """Open a table for writing, in the format that the ending of its name says; its folder is made.

    The file appears when all rows are written: an older one survives a mistake. A pipe or ``/dev/null`` is written as
    it is.

    Args:
        path: file; None is standard output.
        header: names of the columns.
        like: format of the input; its delimiter is kept where the ending allows it, and its columns of numbers.
        keep: leave what was written in ``FILE.part`` when the work ends early.
        append: go on in ``FILE.part``; see ``resume.written_rows``.
        types: ``int64`` or ``double`` of further columns, for formats that store numbers.

    Raises:
        ValueError: the ending names a format that is not written, or the folder cannot be made.
    """
    like = like or TableFormat()
    if path is None:
        writer = TextWriter(sys.stdout, like.delimiter)
        writer.write(header)
        yield writer
        return
    path = Path(path)
    delimiter, compression = _by_ending(path, like)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{path.parent} cannot be made ({error.strerror}); choose another folder for -o") from error
    part = path.with_name(path.name + ".part") if path.is_file() or not path.exists() else path
    try:
        with _opened(path, part, header, delimiter, compression, {**like.types, **(types or {})}, append) as opened:
            yield opened
        if part != path:
            part.replace(path)
    finally:
        if part != path and not (keep and resumable(path)):
            part.unlink(missing_ok=True)


def _by_ending(path: Path, like: TableFormat) -> tuple[str, str]:
    """Return the delimiter and the compression that a name asks for."""
    name = path.name.lower()
    compression = {".gz": "gzip", ".zst": "zstd"}.get(Path(name).suffix, "")
    ending = Path(plain_name(name)).suffix
    if ending in (".xls", ".smi", ".smiles", ".json", ".mol") or (compression and ending in (".parquet", ".xlsx")):
        raise ValueError(f"{path}: tables are not written so; choose .csv, .tsv, .parquet, .xlsx or .sdf")
    if ending in (".tsv", ".tab"):
        return "\t", compression
    return ("," if ending == ".csv" and like.delimiter == "\t" else like.delimiter), compression


@contextmanager
def _opened(
    path: Path,
    part: Path,
    header: Sequence[str],
    delimiter: str,
    compression: str,
    types: Mapping[str, str],
    append: bool,
) -> Iterator[TableWriter]:
    """Open ``part`` for the format of ``path``."""
    ending = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file")
    if ending in (".parquet", ".xlsx"):
        stored = ParquetWriter(part, header, types) if ending == ".parquet" else ExcelWriter(part, header)
        yield stored
        stored.close()
        return
    with _open_text(part, compression, append) as file:
        if plain_name(path.name).endswith(".sdf"):
            yield SdfWriter(file, header)
            return
        writer = TextWriter(file, delimiter)
        if not append:
            writer.write(header)
        yield writer


@contextmanager
def _open_text(path: Path, compression: str, append: bool = False) -> Iterator[TextIO]:
    with ExitStack() as stack:
        raw: Any = stack.enter_context(path.open("ab" if append else "wb"))
        if compression == "gzip":
            raw = stack.enter_context(gzip.GzipFile(fileobj=raw, mode="wb"))
        elif compression == "zstd":
            try:
                import zstandard
            except ModuleNotFoundError as error:
                raise ValueError(f"{path} is to be compressed by zstd; pip install zstandard") from error
            raw = stack.enter_context(zstandard.ZstdCompressor().stream_writer(raw, closefd=False))
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="", write_through=False)
        yield cast(TextIO, text)
        text.flush()
        text.detach()
