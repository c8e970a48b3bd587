"""Rows to a table, a JSON file and a plot of cost over size."""

import json
from collections import defaultdict
from dataclasses import asdict

from rich.console import Console
from rich.table import Table


def show(rows, console=None):
    """Print rows, work by work."""
    works = defaultdict(list)
    for row in rows:
        works[row.work].append(row)
    table = Table()
    for title in ("work", "variant", "size", "median", "quartiles", "time / the first", "quartiles", "also"):
        table.add_column(title, justify="left" if title in ("work", "variant", "also") else "right", overflow="fold")
    for work, members in works.items():
        for number, row in enumerate(members):
            table.add_row(work if number == 0 else "", *cells(row), end_section=number == len(members) - 1)
    (console or Console(width=160)).print(table)


def cells(row):
    """Return the cells of one row."""
    return [
        row.name,
        f"{row.size:,}",
        f"{row.median:.4g} {row.unit}",
        "{:.4g} .. {:.4g}".format(*row.quartiles),
        f"{row.ratio:.2f}",
        "{:.2f} .. {:.2f}".format(*row.ratio_quartiles),
        ", ".join(f"{name} {value:.3g}" for name, value in row.extra.items()),
    ]


def write(folder, rows, facts):
    """Write ``benchmarks.json`` and ``curves.png``; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "benchmarks.json"
    path.write_text(json.dumps(facts | {"rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    return [path, *plot(folder / "curves.png", rows)]


def plot(path, rows):
    """Draw the median over size for each work that was measured at several sizes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = defaultdict(lambda: defaultdict(list))
    for row in rows:
        curves[row.work, row.unit][row.name].append((row.size, row.median))
    curves = {key: lines for key, lines in curves.items() if max(map(len, lines.values())) > 2}
    if not curves:
        return []
    figure = Figure(figsize=(5 * len(curves), 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(curves), squeeze=False)[0]
    for axis, ((work, unit), lines) in zip(axes, curves.items(), strict=True):
        for name, points in lines.items():
            axis.loglog(*zip(*sorted(points), strict=True), marker="o", label=name)
        sizes = sorted({size for points in lines.values() for size, _ in points})
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.set_xticks([], minor=True)
        axis.set(title=work, xlabel="size", ylabel=unit)
        axis.legend(fontsize=7)
    figure.savefig(str(path), dpi=120)
    return [path]
