"""A comparison to what people read: ``rows -> terminal, Markdown, CSV, one self-contained HTML page with a plot``."""

import base64
import csv
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from molgraph.training.comparison import tukey
from molgraph.training.comparison.runs import RESAMPLES, Row
from molgraph.training.metrics import BETTER, shown


def header(monitor: str, rows: Sequence[Row]) -> list[str]:
    """Return the titles of the columns."""
    metrics = [f"{name.upper().replace('_', ' ')} {BETTER.get(name, '')}".rstrip() for name in rows[0].metrics]
    counts = ["model", "kind", "runs", "parameters", "train s", "train mol/s", "predict mol/s"]
    return [*counts, *metrics, f"{monitor.upper()} - reference [95 %]", "differs"]


def cells(row: Row) -> list[str]:
    """Return the cells of one model."""
    metrics = [
        shown(mean) + ("" if math.isnan(spread) else f" ± {shown(spread)}") for mean, spread in row.metrics.values()
    ]
    found = row.difference
    value, low, high = map(signed, (found.value, found.low, found.high))
    differs = ("yes" if row.significant else "no") if found.noise_known else "training noise unknown"
    verdict = ["reference", ""] if row.is_reference else [f"{value} [{low}, {high}]", differs]
    counts = [row.label, row.kind, str(row.runs), f"{row.parameters:,}", f"{row.seconds:.0f}"]
    return [*counts, _rate(row.train_rate), _rate(row.predict_rate), *metrics, *verdict]


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return ("+" if value >= 0 else "") + shown(value)


def _rate(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


IN_FILES_ONLY = frozenset(
    ("kind", "train mol/s", "predict mol/s", "MAE ↓", "R2 ↑", "AVERAGE PRECISION ↑", "ACCURACY ↑")
)
"""Columns that a terminal has no room for."""


def show(console: Console, monitor: str, rows: Sequence[Row]) -> None:
    """Print the columns that matter most."""
    titles = header(monitor, rows)
    places = [position for position, title in enumerate(titles) if title not in IN_FILES_ONLY]
    table = Table()
    for position in places:
        table.add_column(titles[position].replace("[", r"\["), justify="left" if position == 0 else "right")
    for row in rows:
        line = cells(row)
        table.add_row(*(line[position].replace("[", r"\[") for position in places))
    console.print(table)


def to_markdown(monitor: str, rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    titles = header(monitor, rows)
    lines = [titles, ["---"] * len(titles), *map(cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write(folder: Path, monitor: str, rows: Sequence[Row], title: str) -> list[Path]:
    """Write ``comparison.md``, ``.csv``, ``.html``, ``.png`` and, of several runs, ``tukey.png``; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"comparison.{suffix}" for suffix in ("md", "csv", "html", "png")]
    paths[0].write_text(f"# {title}\n\n{to_markdown(monitor, rows)}")
    with paths[1].open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header(monitor, rows))
        writer.writerows(map(cells, rows))
    paths[3].write_bytes(_plot(monitor, rows))
    if simultaneous := tukey.draw(monitor, rows):
        paths.append(folder / "tukey.png")
        paths[-1].write_bytes(simultaneous)
    paths[2].write_text(_page(title, monitor, rows, paths[3].read_bytes()))
    return paths


def to_results(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the numbers of each model by its label, as ``results.json`` and loggers take them."""
    return {
        row.label: {
            "runs": float(row.runs),
            "parameters": float(row.parameters),
            **{name: mean for name, (mean, _) in row.metrics.items() if math.isfinite(mean)},
            "difference": row.difference.value,
            "low": row.difference.low,
            "high": row.difference.high,
            "p": row.difference.p,
        }
        for row in rows
    }


def _page(title: str, monitor: str, rows: Sequence[Row], plot: bytes) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header(monitor, rows))
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(row)) + "</tr>" for row in rows)
    picture = base64.b64encode(plot).decode()
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 2rem auto; max-width: 78rem; padding: 0 1rem; color: #1f2328; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35rem .7rem; border-bottom: 1px solid #d0d7de; text-align: right; white-space: nowrap; }}
th:nth-child(-n+2), td:nth-child(-n+2) {{ text-align: left; }}
tr:first-child td {{ font-weight: 600; }}
</style></head><body>
<h1>{html.escape(title)}</h1>
<div style="overflow-x:auto"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
<p>Means and standard deviations over runs with other seeds. The last columns give the difference to the
reference, the model that is best on the validation part, with a 95 % interval, and whether it differs. The interval
holds the choice of test molecules ({RESAMPLES:,} paired bootstrap samples) and the noise of training (the spread
between seeds, Welch); the verdict is corrected for the number of comparisons (Holm). A single run says nothing of its
noise.</p>
<img alt="{html.escape(monitor)} of each model" src="data:image/png;base64,{picture}">
</body></html>
"""


def _plot(monitor: str, rows: Sequence[Row]) -> bytes:
    """Draw each model's metric, with its spread, and beside it the interval of its difference to the best."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.5 * len(rows) + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    colors = {"graph": "#1f6feb", "sequence": "#bf4b8a", "fingerprint": "#6e7781", "particles": "#1a7f37"}
    for place, row in enumerate(rows):
        mean, spread = row.metrics[monitor]
        left.errorbar(
            mean, place, xerr=None if math.isnan(spread) else spread, fmt="o", color=colors[row.kind], capsize=3
        )
        value, low, high = row.difference.value, row.difference.low, row.difference.high
        right.plot([low, high], [place, place], color=colors[row.kind], linewidth=2)
        right.plot(value, place, "o", color=colors[row.kind])
    left.set_yticks(range(len(rows)), [row.label for row in rows])
    left.invert_yaxis()
    left.set_xlabel(header(monitor, rows)[7 + list(rows[0].metrics).index(monitor)])
    right.axvline(0, color="0.7", linewidth=1)
    right.set_xlabel("difference to the reference, 95 % interval")
    for kind, color in colors.items():
        right.plot([], [], "o", color=color, label=kind)
    right.legend(fontsize=8)
    data = io.BytesIO()
    figure.savefig(data, dpi=110)
    return data.getvalue()
