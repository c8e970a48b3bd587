"""A trained property model to what people look at: ``task + parts -> results.json, predictions.csv, plot, table``."""

import csv
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from molgraph.molecules.reading.transforms import Transform
from molgraph.training.metrics import BETTER, shown
from molgraph.training.supervised import MultiClass, Regression, Supervised
from molgraph.training.task import Batches

Metrics = dict[str, dict[str, float]]
Predicted = dict[str, tuple[Tensor, Tensor]]
"""Predictions ``[M, outputs]`` and targets ``[M, T]`` of each part."""


@dataclass(frozen=True)
class PropertyReport:
    """Results of a property model, for people and for programs."""

    task: Supervised
    """The trained task."""
    units: Sequence[str]
    """Unit of each target, empty for none."""
    console: Console
    """Where the table is printed."""
    transforms: Sequence[Transform | None] = ()
    """Change of scale of each target; empty for none."""

    def write(
        self,
        folder: Path,
        parts: dict[str, Batches],
        baseline: Tensor,
        rows: tuple[list[str], list[list[str]]],
        extra: dict[str, Any],
        limits: tuple[Tensor, Tensor] | None = None,
        judge: Callable[[Predicted], Metrics] | None = None,
        known: Predicted | None = None,
    ) -> dict[str, Any]:
        """Evaluate, write all files of the run folder, print the table, and return the content of ``results.json``.

        Args:
            folder: run folder.
            parts: batches of ``val`` and ``test``.
            baseline: what a model that ignores its input says ``[outputs]``.
            rows: header and cells of the test part.
            extra: further entries of ``results.json``.
            judge: further metrics of each target on the test part, from predictions and targets of all parts.
            limits: which values of the test part are bounds (-1, 0, 1) and all its values ``[M, T]``; None: none is.
            known: predictions and targets of parts that the model has learned from, by models that left them out.
        """
        start = time.perf_counter()
        known = known or {}
        predicted = {name: known.get(name) or self._collect(batches) for name, batches in parts.items()}
        rate = sum(len(pair[1]) for name, pair in predicted.items() if name not in known) / (
            time.perf_counter() - start
        )
        results: dict[str, Any] = {name: self.task.table(*pair) for name, pair in predicted.items()}
        trust = judge(predicted) if judge else {}
        for name, numbers in trust.items():
            results["test"][name] |= numbers
        constant = baseline.expand(len(predicted["test"][0]), -1)
        results["baseline"] = self.task.table(constant, predicted["test"][1])
        results |= (
            self._sizes(folder, extra["molecules"]["train"]) | extra | {"predict_molecules_per_second": round(rate, 1)}
        )
        results["score"] = _mean([metrics[self.task.monitor] for metrics in results["val"].values()])
        results |= self.task.judged_by
        if limits:
            results["bounds"] = self._kept(predicted["test"][0], *limits)
        (folder / "results.json").write_text(json.dumps(_defined(results), indent=2, allow_nan=False) + "\n")
        self._write_predictions(folder / "predictions.csv", predicted["test"], rows, extra.get("classes", []))
        plot = folder / ("parity.png" if isinstance(self.task, Regression) else "curves.png")
        draw(plot, self.task, self.units, *predicted["test"])
        self._print(results, predicted["test"][1])
        for name, numbers in trust.items():
            self.console.print(
                f"{name}: intervals for 90 % hold {numbers['coverage_90']:.1%} of the test part, "
                f"{shown(numbers['width_90'])} wide on average (molgraph predict --coverage 0.9)",
                highlight=False,
                markup=False,
            )
        for name, counts in results.get("bounds", {}).items():
            self.console.print(
                f"{name}: {counts['kept']:,} of {counts['rows']:,} bounds (< or >) are kept; they count in no metric",
                highlight=False,
                markup=False,
            )
        return results

    def _kept(self, predicted: Tensor, bounds: Tensor, values: Tensor) -> dict[str, dict[str, int]]:
        """Return how many bounds each target has, and how many a prediction keeps."""
        kept = (predicted - values) * bounds > 0
        counts = zip(self.task.names, (bounds != 0).sum(0).tolist(), kept.sum(0).tolist(), strict=True)
        return {name: {"rows": rows, "kept": right} for name, rows, right in counts if rows}

    def _collect(self, batches: Batches) -> tuple[Tensor, Tensor]:
        """Return predictions ``[M, outputs]`` and exactly measured targets ``[M, T]`` of a part, on the CPU."""
        device = next(iter(self.task.state_dict().values())).device
        self.task.eval()
        with torch.no_grad():
            return self.task.collect(batch.to(device) for batch in batches.epoch(0))

    def _sizes(self, folder: Path, molecules: int) -> dict[str, Any]:
        parameters = sum(p.numel() for p in self.task.parameters() if p.requires_grad)
        sizes: dict[str, Any] = {"parameters": parameters}
        if (folder / "last.pt").exists():
            from molgraph.training.checkpoint import load_checkpoint

            progress = load_checkpoint(folder / "last.pt")["progress"]
            if progress["step"]:
                sizes["train_molecules_per_second"] = round(molecules * progress["epoch"] / progress["seconds"], 1)
            sizes |= {
                "seconds": round(progress["seconds"], 2),
                "best_epoch": progress["best_epoch"],
                "steps": progress["step"],
            }
        return sizes

    def _write_predictions(
        self,
        path: Path,
        test: tuple[Tensor, Tensor],
        rows: tuple[list[str], list[list[str]]],
        classes: list[list[str]],
    ) -> None:
        columns = prediction_columns(self.task.names, classes)
        columns += [f"{change.column}_predicted" for change in self.transforms if change]
        measured = self._measured(test[1], rows, classes)
        columns += [f"{name}_measured" for name in measured]
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows[0] + columns)
            spreads = self.task.std.tolist() if isinstance(self.task, Regression) else ()
            for row, (cells, values) in enumerate(zip(rows[1], test[0], strict=True)):
                numbers = values.tolist()
                back = measured_cells(numbers, self.transforms) + [column[row] for column in measured.values()]
                writer.writerow(cells + prediction_cells(numbers, classes, spreads) + back)

    def _measured(
        self, targets: Tensor, rows: tuple[list[str], list[list[str]]], classes: list[list[str]]
    ) -> dict[str, list[str]]:
        """Return what was measured, for each target whose cells do not say so to a program that knows no chemistry.

        Such are ``1,5``, ``active``, ``>50`` (nothing was measured exactly), another scale, or a mean of several rows.
        """
        found = {}
        for column, name in enumerate(self.task.names):
            labels = classes[column] if classes else []
            values = ["" if v != v else labels[int(v)] if labels else repr(v) for v in targets[:, column].tolist()]
            place = rows[0].index(name) if name in rows[0] else -1
            cells = [row[place].strip() for row in rows[1]] if place >= 0 else []
            if [_plain_value(cell, labels) for cell in cells] != values:
                found[name] = values
        return found

    def _print(self, results: dict[str, Any], targets: Tensor) -> None:
        names = [name for name in BETTER if name in next(iter(results["test"].values()))]
        table = Table(title="test part", title_justify="left")
        for title in ("target", "unit", "metric"):
            table.add_column(title)
        for title in ("model", "mean predictor", "molecules"):
            table.add_column(title, justify="right")
        for column, name in enumerate(self.task.names):
            count = f"{int((~targets[:, column].isnan()).sum()):,}"
            for position, metric in enumerate(names):
                head = (escape(name), escape(self.units[column])) if position == 0 else ("", "")
                values = (shown(results[part][name][metric]) for part in ("test", "baseline"))
                label = f"{metric.upper().replace('_', ' ')} {BETTER[metric]}"
                table.add_row(
                    *head, label, *values, count if position == 0 else "", end_section=position == len(names) - 1
                )
        self.console.print(table)


def prediction_columns(names: Sequence[str], classes: list[list[str]]) -> list[str]:
    """Return the names of the columns that a prediction adds to a table."""
    if not classes:
        return [f"{name}_predicted" for name in names]
    columns = []
    for name, labels in zip(names, classes, strict=True):
        columns += [f"{name}_predicted", *(f"{name}_probability_{label}" for label in labels)]
    return columns


def measured_cells(values: Sequence[float], transforms: Sequence[Transform | None]) -> list[str]:
    """Return the predictions of transformed targets in the unit in which they were measured."""
    return [f"{change.back(v):.6g}" for v, change in zip(values, transforms, strict=False) if change]


def prediction_cells(values: Sequence[float], classes: list[list[str]], spreads: Sequence[float] = ()) -> list[str]:
    """Return the cells of one row: numbers, or for several classes the label and the probability of each.

    Args:
        values: predictions, or the probabilities of all classes of all targets.
        classes: labels of each target; empty for numbers.
        spreads: standard deviation of each target; a number far from zero gets the digits that its spread needs.

    >>> prediction_cells([-11179.0031234, 9.05e-06], [], [0.001, 1e-05])
    ['-11179.0031234', '9.05e-06']
    """
    if not classes:
        known = spreads or [math.inf] * len(values)
        return [f"{value:.{_digits(value, spread)}g}" for value, spread in zip(values, known, strict=True)]
    cells, start = [], 0
    for labels in classes:
        shares = values[start : start + len(labels)]
        cells += [labels[max(range(len(labels)), key=shares.__getitem__)], *(f"{share:.4f}" for share in shares)]
        start += len(labels)
    return cells


def _plain_value(cell: str, labels: Sequence[str]) -> str:
    """Return a cell as :meth:`PropertyReport._measured` writes what was measured; empty for anything else."""
    if labels:
        return cell if cell in labels else ""
    try:
        value = float(cell)
    except ValueError:
        return ""
    return repr(value) if math.isfinite(value) else ""


def _digits(value: float, spread: float) -> int:
    """Return the significant digits that resolve a millionth of the spread, at least 6."""
    if not math.isfinite(value) or value == 0 or not 0 < spread < math.inf:
        return 6
    return min(17, max(6, 6 + math.ceil(math.log10(abs(value) / spread))))


def _defined(results: Any) -> Any:
    """Return results with None for a metric that is not defined: JSON knows no NaN."""
    if isinstance(results, dict):
        return {key: _defined(value) for key, value in results.items()}
    return None if isinstance(results, float) and not math.isfinite(results) else results


def _mean(values: Sequence[float]) -> float:
    return torch.tensor(values).nanmean().item()


def draw(path: Path, task: Supervised, units: Sequence[str], predicted: Tensor, targets: Tensor) -> None:
    """Draw parity plots (regression), ROC and precision-recall curves (two classes) or confusion matrices (several)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    regression, multiclass = isinstance(task, Regression), isinstance(task, MultiClass)
    panels = len(task.names) if regression or multiclass else 2
    columns = min(3, panels)
    lines = -(-panels // columns)
    figure = Figure(figsize=(4.2 * columns, 4.2 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for axis in axes[panels:]:
        axis.set_axis_off()
    for column, name in enumerate(task.names):
        measured = ~targets[:, column].isnan()
        values, truth = task.column(predicted, column)[measured], targets[measured, column]
        if regression:
            _parity(axes[column], _plain(name), _plain(units[column]), values, truth)
        elif multiclass:
            _confusion(axes[column], _plain(name), values, truth)
        else:
            _curves(axes, _plain(name), values, truth)
    figure.savefig(path, dpi=120)


def _plain(text: str) -> str:
    """Return a text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def _parity(axis: Any, name: str, unit: str, predicted: Tensor, truth: Tensor) -> None:
    label = f"{name} [{unit}]" if unit else name
    axis.set(xlabel=f"measured {label}", ylabel=f"predicted {label}", aspect="equal")
    if len(truth) == 0:
        return  # nothing was measured in this part
    low, high = min(predicted.min(), truth.min()).item(), max(predicted.max(), truth.max()).item()
    axis.plot([low, high], [low, high], color="0.6", linewidth=1)
    axis.scatter(truth, predicted, s=8, alpha=0.4, linewidths=0, color="#1f6feb")
    error = (predicted - truth).square().mean().sqrt()
    axis.set_title(f"RMSE {error:.3g}, {len(truth):,} molecules", fontsize=10)


def _curves(axes: Any, name: str, predicted: Tensor, truth: Tensor) -> None:
    from sklearn.metrics import precision_recall_curve, roc_curve

    if len(truth) == 0 or truth.min() == truth.max():
        return  # a curve needs both classes
    wrong, right, _ = roc_curve(truth, predicted)
    precision, recall, _ = precision_recall_curve(truth, predicted)
    axes[0].plot(wrong, right, label=name)
    axes[0].plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    axes[0].set(xlabel="false positive rate", ylabel="true positive rate", title="ROC", aspect="equal")
    axes[1].plot(recall, precision, label=name)
    axes[1].set(xlabel="recall", ylabel="precision", title="precision and recall", ylim=(0, 1.02))
    axes[1].legend(fontsize=7)


def _confusion(axis: Any, name: str, predicted: Tensor, truth: Tensor) -> None:
    classes = predicted.shape[1]
    counts = torch.bincount(truth.long() * classes + predicted.argmax(1), minlength=classes**2).view(classes, classes)
    axis.imshow(counts, cmap="Blues")
    for row in range(classes):
        for column in range(classes):
            axis.text(column, row, int(counts[row, column]), ha="center", va="center", fontsize=9)
    axis.set(xlabel="predicted class", ylabel="true class", title=name, xticks=range(classes), yticks=range(classes))
