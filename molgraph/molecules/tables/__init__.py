"""Tables as people keep them, row by row: ``file | stdin -> bytes -> text -> dialect -> Row``, and rows to a file."""

from molgraph.molecules.tables.columnar import text_of
from molgraph.molecules.tables.reader import Row, TableReader, open_lines, open_table
from molgraph.molecules.tables.text import TableFormat, plain_name
from molgraph.molecules.tables.writer import TableWriter, open_writer

__all__ = [
    "Row",
    "TableFormat",
    "TableReader",
    "TableWriter",
    "open_lines",
    "open_table",
    "open_writer",
    "plain_name",
    "text_of",
]
