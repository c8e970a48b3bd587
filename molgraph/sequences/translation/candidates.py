"""A trained translator to candidates: read, search with a beam, write; no source is lost.

Translator, SourceTable -> translations -> candidates of each source -> CSV
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import islice
from pathlib import Path

from rich.console import Console

from molgraph.molecules.tables import open_lines, open_table, open_writer, text_of
from molgraph.sequences.evaluation.metrics import comparable
from molgraph.sequences.text.rows import is_table
from molgraph.sequences.translation.translator import Search, Translator, draw_example

CHUNK = 512
"""Sources that are read, translated and written together."""
SAID = 5
"""Remarks that are printed when a file is written; the file has them all."""


@dataclass(frozen=True)
class Candidate:
    """One translation of a source; its fields are columns of the file."""

    rank: int
    """1 is the best."""
    text: str
    """As written by the model; empty if the source cannot be read."""
    canonical: str
    """In the form in which it is scored, without atom maps; empty if it is no SMILES."""
    log_prob: float
    """Natural logarithm of the model's probability."""
    note: str = ""
    """What is to be said about the source."""
    error: str = ""
    """Why there is no translation, or what is wrong with it."""


@dataclass(frozen=True)
class SourceTable:
    """Sources in the rows in which they stand."""

    header: list[str]
    """Names of the columns."""
    place: int
    """Column of the sources."""
    rows: Iterator[list[str]]
    """Cells of each row, read when they are needed."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "SourceTable":
        """Return texts alone."""
        return cls(["source"], 0, ([text] for text in texts))


@dataclass(frozen=True)
class Translated:
    """A source and its candidates, the best first: at least one, which says why if there is none."""

    cells: list[str]
    """The row of the source."""
    source: str
    """The source."""
    candidates: list[Candidate]
    """Best first."""

    @property
    def remarks(self) -> str:
        """What is to be said of the source."""
        best = self.candidates[0]
        return best.note if best.text else best.error


def translate(
    translator: Translator,
    table: SourceTable,
    beam: Search = 5,
    out: Path | None = None,
    picture: Path | None = None,
    console: Console | None = None,
) -> int:
    """Return what ``molgraph translate`` does: candidates of each source; a source that cannot be read keeps its row.

    Args:
        translator: of a run.
        table: sources.
        beam: candidates for each, by a beam of that width; or how else they are found.
        out: CSV file to write, with the columns of the table; otherwise candidates are printed.
        picture: PNG file for the attention of the first translation.
        console: where to print.

    Returns:
        How many sources there were.

    Raises:
        ValueError: if there are none.
    """
    console = console or Console()
    found = translations(translator, table, beam)
    done, first = _print(found, console) if out is None else _write(found, table.header, out, console)
    if not done:
        raise ValueError("there is nothing to translate; give texts, or a file with -i")
    if picture is not None:
        drawn = bool(first) and draw_example(translator, translator.read_source(first)[0], picture)
        said = f"attention: {picture}" if drawn else "there is no attention to draw"
        _say(console, said)
    return done


def translations(translator: Translator, table: SourceTable, beam: Search) -> Iterator[Translated]:
    """Yield the sources of a table with their candidates, in order, in constant memory."""
    for chunk in iter(lambda: list(islice(table.rows, CHUNK)), []):
        texts = [cells[table.place] for cells in chunk]
        yield from map(Translated, chunk, texts, candidates(translator, texts, beam))


def candidates(translator: Translator, texts: Sequence[str], beam: Search) -> list[list[Candidate]]:
    """Return translations of each text, the best first; one that cannot be read has a single one, with its error."""
    clean: dict[int, str] = {}
    notes, errors = [""] * len(texts), [""] * len(texts)
    for row, text in enumerate(texts):
        try:
            clean[row], said = translator.read_source(text)
            notes[row] = "; ".join(said)
        except ValueError as error:
            errors[row] = str(error)
    found = dict(zip(clean, translator.translate(list(clean.values()), beam), strict=True))
    nothing = [("", float("nan"))]
    return [
        [
            _candidate(translator, rank, written, log_prob, notes[row], errors[row])
            for rank, (written, log_prob) in enumerate(found.get(row, nothing), start=1)
        ]
        for row in range(len(texts))
    ]


def _candidate(translator: Translator, rank: int, text: str, log_prob: float, note: str, error: str) -> Candidate:
    form = comparable(text, translator.direction.writes_smiles) if text else ""
    wrong = "" if form else "the candidate is not a SMILES" if text else "the candidate is empty"
    return Candidate(rank, text, form, log_prob, note, error or wrong)


def read_sources(path: Path, column: str, first_word: bool = True) -> SourceTable:
    """Return the sources of a CSV file, or of a file with one text a line. An empty line is an empty source.

    Args:
        path: may be gzipped.
        column: of the sources, in any case.
        first_word: of a line without columns take the first word alone: what follows a SMILES is its name.

    Raises:
        ValueError: if the file or the column does not exist.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the file of the sources with -i")
    if not is_table(path):
        lines = ((line.split() or [""])[0] if first_word else line.strip() for line in _lines(path))
        return SourceTable([column], 0, ([line] for line in lines))
    rows = _rows(path)
    header = next(rows, [])
    names = [name.lower() for name in header]
    if column.lower() not in names:
        raise ValueError(f"{path} has no column {column!r}; it has {', '.join(header)} (choose one with --column)")
    return SourceTable(header, names.index(column.lower()), rows)


def _lines(path: Path) -> Iterator[str]:
    with open_lines(path) as lines:
        yield from lines


def _rows(path: Path) -> Iterator[list[str]]:
    """Yield the header, and the cells of each row."""
    with open_table(path, header=True) as table:
        yield table.header
        yield from (row.cells for row in table)


def _print(found: Iterator[Translated], console: Console) -> tuple[int, str]:
    """Show candidates below their source; returns how many sources there were, and the first that was translated."""
    done, first = 0, ""
    for one in found:
        done += 1
        _say(console, one.source + (f"  ({one.remarks})" if one.remarks else ""))
        for candidate in one.candidates if one.candidates[0].text else []:
            text = candidate.canonical or f"{candidate.text} ({candidate.error})"
            _say(console, f"{candidate.rank:>3}  {candidate.log_prob:8.3f}  {text}")
        first = first or (one.source if one.candidates[0].text else "")
    return done, first


def _write(found: Iterator[Translated], header: list[str], out: Path, console: Console) -> tuple[int, str]:
    """Write a row for each candidate; returns as ``_print``."""
    done, remarks, first = 0, 0, ""
    with open_writer(out, header + [field.name for field in fields(Candidate)]) as writer:
        for done, one in enumerate(found, start=1):
            for candidate in one.candidates:
                writer.write([*one.cells, *map(text_of, astuple(candidate))])
            first = first or (one.source if one.candidates[0].text else "")
            remarks += bool(one.remarks)
            if one.remarks and remarks <= SAID:
                _say(console, f"row {done} ({one.source[:60]!r}): {one.remarks}")
    if remarks > SAID:
        _say(console, f"and {remarks - SAID:,} more such rows; see the columns note and error")
    _say(console, f"{done:,} sources, written to {out}")
    return done, first


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
