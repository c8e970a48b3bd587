"""All models against all: ``scores of runs -> Tukey's honestly significant difference -> simultaneous intervals``.

Ash et al. 2024 ("Practically significant method comparison protocols for machine learning in small molecule drug
discovery") ask for it: a picture in which all pairs may be looked at, with 5 % of errors in all of them together.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from molgraph.training.comparison.difference import LEVEL
from molgraph.training.comparison.runs import Row


@dataclass(frozen=True)
class Simultaneous:
    """The difference of one model to the reference, with an interval that holds for all pairs at once."""

    label: str
    """Name of the model."""
    value: float
    """Mean over runs minus that of the reference."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out zero."""
        return not self.low <= 0 <= self.high


def against_reference(rows: Sequence[Row]) -> list[Simultaneous]:
    """Return the differences of all models to the reference; empty where a model has a single run, or all are equal.

    Tukey's intervals hold the spread between runs alone, pooled over models (Kramer's form where counts differ).
    """
    from scipy.stats import tukey_hsd

    ordered = sorted(rows, key=lambda row: not row.is_reference)
    scores = [row.scores for row in ordered]
    if len(ordered) < 2 or any(len(values) < 2 for values in scores) or all(len(set(v)) == 1 for v in scores):
        return []
    found = tukey_hsd(*scores)
    interval = found.confidence_interval(1 - LEVEL)
    return [
        Simultaneous(row.label, *(float(table[place, 0]) for table in (found.statistic, interval.low, interval.high)))
        for place, row in enumerate(ordered)
        if place
    ]


def draw(monitor: str, rows: Sequence[Row]) -> bytes:
    """Return a PNG of the differences to the reference with their simultaneous intervals; empty if there are none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = against_reference(rows)
    if not found:
        return b""
    figure = Figure(figsize=(6, 0.5 * len(found) + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for place, one in enumerate(found):
        color = "#cf222e" if one.differs else "#6e7781"
        axis.plot([one.low, one.high], [place, place], color=color, linewidth=2)
        axis.plot(one.value, place, "o", color=color)
    axis.axvline(0, color="0.7", linewidth=1)
    axis.set_yticks(range(len(found)), [one.label.replace("$", r"\$") for one in found])
    axis.invert_yaxis()
    reference = next(row.label for row in rows if row.is_reference).replace("$", r"\$")
    runs = min(len(row.scores) for row in rows)
    axis.set_xlabel(f"{monitor.upper()} minus that of {reference}: Tukey's HSD, 95 %, {runs} or more runs", fontsize=9)
    data = io.BytesIO()
    figure.savefig(data, dpi=110)
    return data.getvalue()
