"""A trained translator to candidates: read, search with a beam, write.

run folder -> Translator -> translate -> candidates of each source -> CSV
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from molgraph.sequences.corpora import read_rows
from molgraph.sequences.metrics import comparable
from molgraph.sequences.translator import Translator, draw_example


def translate(
    run: Path,
    sources: Sequence[str],
    beam: int = 5,
    inputs: Path | None = None,
    out: Path | None = None,
    picture: Path | None = None,
    console: Console | None = None,
) -> list[dict[str, Any]]:
    """What `molgraph translate` does: candidates of each source; a source that cannot be read keeps its row.

    Args:
        run: run folder of a translator.
        sources: texts; or none with `inputs`.
        beam: candidates for each.
        inputs: CSV file with the column of the sources, or one text a line.
        out: CSV file to write; otherwise a table is printed.
        picture: PNG file for the attention of the first translation.
        console: where to print.

    Returns:
        One row a candidate: source, rank, text, comparable form, log-probability, error.
    """
    console = console or Console()
    translator = Translator.load(run)
    texts = list(sources) or [row[0] for row in read_rows(Path(inputs or ""), (translator.direction.source,))]
    if not texts:
        raise ValueError("there is nothing to translate; give texts, or a file with -i")
    clean, errors = _read_all(translator, texts, console)
    good = [row for row, text in enumerate(clean) if text]
    found = dict(zip(good, translator.translate([clean[row] for row in good], beam), strict=True))
    rows = []
    for row, text in enumerate(texts):
        for rank, (written, log_prob) in enumerate(found.get(row, [("", float("nan"))]), start=1):
            form = comparable(written, translator.direction.writes_smiles) if written else ""
            error = errors.get(row, "" if form else "the candidate is not a SMILES")
            rows.append(
                {"source": text, "rank": rank, "text": written, "canonical": form, "log_prob": log_prob, "error": error}
            )
    _write(rows, out, console)
    if picture is not None and good:
        drawn = draw_example(translator, clean[good[0]], picture)
        console.print(f"attention: {picture}" if drawn else "this model has no attention to draw", highlight=False)
    return rows


def _read_all(translator: Translator, texts: Sequence[str], console: Console) -> tuple[list[str], dict[int, str]]:
    """Cleaned sources (empty where one cannot be read) and the errors by row."""
    clean, errors = [], {}
    for row, text in enumerate(texts):
        try:
            source, notes = translator.read_source(text)
            translator._encoded(source, row)
            clean.append(source)
        except ValueError as error:
            clean.append("")
            errors[row], notes = str(error), [str(error)]
        for note in notes:
            console.print(f"row {row} ({text[:60]!r}): {note}", highlight=False, soft_wrap=True)
    return clean, errors


def _write(rows: Sequence[dict[str, Any]], out: Path | None, console: Console) -> None:
    if out is None:
        for row in rows:
            text = row["canonical"] or f"{row['text']} ({row['error']})"
            console.print(
                f"{row['rank']:>3}  {row['log_prob']:8.3f}  {text}", highlight=False, markup=False, soft_wrap=True
            )
        return
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    console.print(f"translations: [bold]{out}[/]", highlight=False, soft_wrap=True)
