"""Runs side by side: ``run folders -> one split -> metrics over seeds, paired differences with intervals -> table``.

A difference is paired: both models are judged on the same resampled molecules, so that an easy or hard draw moves both.
The spread between seeds is added to that over molecules; see ``difference``.
"""

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgraph.training.comparison.difference import Difference, difference, holm
from molgraph.training.comparison.others import described, kind_of
from molgraph.training.config import read_config
from molgraph.training.metrics import BETTER

RESAMPLES = 2000
"""Bootstrap draws behind an interval."""

KINDS = {"sequences": "sequence", "baselines": "fingerprint", "trees": "fingerprint"}
"""Where a model is at home, and what it reads; all others read graphs."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One finished run."""

    folder: Path
    """Where it lies."""
    label: str
    """Name of its model."""
    kind: str
    """``graph``, ``sequence``, ``fingerprint`` or ``particles``."""
    settings: str
    """Everything in its configuration but the seed; runs that share it are repetitions."""
    seed: int
    """Of the training."""
    results: dict[str, Any]
    """Content of ``results.json``."""
    truth: Floats
    """Measured targets of the test part ``[M, T]``; no row where a run is judged as a whole."""
    predicted: Floats
    """Predictions ``[M, T]``."""


@dataclass(frozen=True)
class Row:
    """One model in the table: the repetitions of one setting, over all targets."""

    label: str
    """Name of the model."""
    kind: str
    """``graph``, ``sequence``, ``fingerprint`` or ``particles``."""
    runs: int
    """Repetitions with other seeds."""
    parameters: int
    """Trained numbers."""
    seconds: float
    """Mean training time."""
    train_rate: float
    """Molecules a second in training; NaN for a model that is fitted at once."""
    predict_rate: float
    """Molecules a second in prediction."""
    metrics: dict[str, tuple[float, float]]
    """Mean and standard deviation over the repetitions of each metric, averaged over targets."""
    difference: Difference
    """Main metric minus that of the reference."""
    is_reference: bool = False
    """Whether the others are compared with this one: the best on the validation part."""
    scores: tuple[float, ...] = ()
    """Main metric of each run, on all molecules."""

    @property
    def significant(self) -> bool:
        """Whether the model differs from the reference, noise of training and number of comparisons counted."""
        return self.difference.differs


def rmse(truth: Floats, predicted: Floats) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


def auroc(truth: Floats, predicted: Floats) -> float:
    """Return the share of (positive, negative) pairs in the right order, ties half; NaN if a class is absent."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    return float((rankdata(predicted)[truth == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def accuracy(truth: Floats, predicted: Floats) -> float:
    """Return the share of classes, as numbers, that are right; NaN without any."""
    return float(np.mean(truth == predicted)) if len(truth) else float("nan")


MEASURES: dict[str, Callable[[Floats, Floats], float]] = {"rmse": rmse, "auroc": auroc, "accuracy": accuracy}
"""How a run with a table of predictions can be judged on resampled molecules."""


def mode_of(results: dict[str, Any]) -> str:
    """Return the better direction of the monitored metric, ``min`` or ``max``.

    Runs before 0.2 do not say it: those that monitored a metric of classes wanted it large, all others wanted less of a
    loss or an error.
    """
    return results.get("mode") or ("max" if BETTER.get(results.get("monitor", "")) == "↑" else "min")


def _with_nan(node: dict[str, Any]) -> dict[str, Any]:
    """Read a metric that is not defined, which JSON writes as null."""
    return {key: math.nan if value is None else value for key, value in node.items()}


def read_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        ValueError: the folder is no finished run, or one that cannot be compared.
    """
    config = read_config(folder)
    if not (folder / "results.json").is_file():
        raise ValueError(f"{folder} has no results.json: it did not finish; `molgraph resume {folder}` does the rest")
    results = json.loads((folder / "results.json").read_text(), object_hook=_with_nan)
    if (config.get("task") or {}).get("_target_", "").endswith(".Study"):
        raise ValueError(f"{folder} is a comparison itself; its table is comparison.md, and its runs lie below it")
    has_table = (folder / "predictions.csv").is_file()
    if not has_table:
        results = described(folder, config, results)
    elif results.get("monitor") not in MEASURES:
        raise ValueError(f"{folder} is judged by {results.get('monitor')!r}; compare knows {', '.join(MEASURES)}")
    truth, predicted = _predictions(folder, results) if has_table else (np.zeros((0, 1)), np.zeros((0, 1)))
    target = config["model"].get("_target_", "translator")
    kind = next((KINDS[word] for word in target.split(".") if word in KINDS), "graph")
    kind = kind if has_table else kind_of(config["model"])
    model = {key: value for key, value in config["model"].items() if key != "seed"}
    data = {key: value for key, value in (config.get("data") or {}).items() if key != "workers"}
    settings = json.dumps([model, config["trainer"], config["task"], config.get("label"), data], sort_keys=True)
    return Run(
        folder,
        config.get("label") or target.rpartition(".")[2],
        kind,
        settings,
        config["seed"],
        results,
        truth,
        predicted,
    )


def _predictions(folder: Path, results: dict[str, Any]) -> tuple[Floats, Floats]:
    """Return what was measured and what was predicted ``[M, T]``; several classes by their numbers."""
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = set(rows[0]) if rows else set()
    names = list(results["test"])
    classes = dict(zip(names, results.get("classes") or [], strict=False))

    def column(name: str, suffix: str = "") -> list[float]:
        if name + suffix not in told:
            raise ValueError(f"{folder / 'predictions.csv'} has no column {name + suffix!r}; train again")
        cells = [row[name + suffix] for row in rows]
        if name not in classes:
            return [_number(cell) for cell in cells]
        return [float(classes[name].index(cell)) if cell in classes[name] else math.nan for cell in cells]

    measured = np.array([column(name, "_measured" if f"{name}_measured" in told else "") for name in names]).T
    return measured, np.array([column(name, "_predicted") for name in names]).T


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def expand(paths: Sequence[Path]) -> list[Path]:
    """Return run folders; a folder of several runs (``molgraph train -m``) stands for all of them.

    Raises:
        ValueError: a path holds no run.
    """
    folders: list[Path] = []
    for path in paths:
        below = (
            [path] if (path / "config.yaml").is_file() else sorted(file.parent for file in path.glob("*/config.yaml"))
        )
        if not below:
            raise ValueError(f"{path} holds no run; give run folders, or the folder of a multirun")
        folders += below
    return folders


def compare(folders: Sequence[Path], seed: int = 0) -> tuple[str, list[Row]]:
    """Compare finished runs on one test part.

    Args:
        folders: run folders, in any order.
        seed: repeats the bootstrap.

    Returns:
        The name of the main metric, and one row for each model, the best on the test part first. The others are
        compared with the one that is best on the validation part, so that the test part chooses nothing.

    Raises:
        ValueError: the runs were tested on different splits (the message says which), or by different metrics, or one
            of them is given twice.
    """
    runs = [read_run(folder) for folder in folders]
    _check_splits(runs)
    _check_twins(runs)
    monitor = runs[0].results["monitor"]
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.settings, []).append(run)
    draws = _draws(runs[0].truth, seed)
    sampled = {key: _sampled_metric(group, monitor, draws) for key, group in groups.items()}
    sign = 1.0 if mode_of(runs[0].results) == "min" else -1.0
    order = sorted(groups, key=lambda key: sign * sampled[key].mean[0])
    scores = {key: np.mean([run.results.get("score", np.nan) for run in group]) for key, group in groups.items()}
    known = all(np.isfinite(score) for score in scores.values())
    reference = min(order, key=lambda key: sign * scores[key]) if known else order[0]
    others = [key for key in order if key != reference]
    theirs = sampled[reference]
    found = [difference(sampled[k].runs, theirs.runs, sampled[k].mean[1:] - theirs.mean[1:]) for k in others]
    differences = dict(zip(others, holm(found), strict=True))
    none = Difference(0.0, 0.0, 0.0, 1.0, len(groups[reference]) > 1)
    names = _shared_metrics(runs)
    rows = [_row(groups[key], names, differences.get(key, none), key == reference) for key in order]
    return monitor, [replace(row, scores=tuple(sampled[key].runs)) for row, key in zip(rows, order, strict=True)]


def _shared_metrics(runs: Sequence[Run]) -> list[str]:
    """Return the metrics that all runs have: of generated molecules some are named by their number."""
    each = [next(iter(run.results["test"].values())) for run in runs]
    return [name for name in each[0] if all(name in metrics for metrics in each)]


def _check_twins(runs: Sequence[Run]) -> None:
    seen: dict[tuple[str, int], Path] = {}
    for run in runs:
        twin = seen.setdefault((run.settings, run.seed), run.folder)
        if twin is not run.folder:
            raise ValueError(
                f"{twin} and {run.folder} are one run twice: the same settings and the same seed; give each once"
            )


def _check_splits(runs: Sequence[Run]) -> None:
    splits: dict[str, list[str]] = {}
    for run in runs:
        splits.setdefault(run.results["split"], []).append(str(run.folder))
    if len(splits) > 1:
        listed = "\n".join(f"  {split[:12]}: {', '.join(folders)}" for split, folders in splits.items())
        raise ValueError(f"these runs were tested on different splits, so their numbers cannot be compared:\n{listed}")
    monitors = {run.results["monitor"] for run in runs}
    if len(monitors) > 1:
        raise ValueError(f"these runs are judged by different metrics: {', '.join(sorted(monitors))}")


def _draws(truth: Floats, seed: int) -> list[NDArray[np.int64]]:
    """Return row numbers: first all rows in order, then the bootstrap samples."""
    generator = np.random.default_rng(seed)
    rows = len(truth)
    if not rows:
        return [np.arange(0)] * (1 + RESAMPLES)
    return [np.arange(rows), *(generator.integers(0, rows, rows) for _ in range(RESAMPLES))]


@dataclass(frozen=True)
class Sampled:
    """The main metric of one model, averaged over targets."""

    mean: Floats
    """On each draw of molecules, averaged over runs ``[1 + RESAMPLES]``; the first draw is all of them."""
    runs: list[float]
    """Of each run, on all molecules."""


def _sampled_metric(group: Sequence[Run], monitor: str, draws: Sequence[NDArray[np.int64]]) -> Sampled:
    if not len(group[0].truth):  # judged as a whole: what is known of the noise is that between seeds
        scores = [float(run.results["test"]["all"][monitor]) for run in group]
        return Sampled(np.full(len(draws), np.mean(scores)), scores)
    measure = MEASURES[monitor]
    values = np.full((len(draws), len(group), group[0].truth.shape[1]), np.nan)
    for number, rows in enumerate(draws):
        for repetition, run in enumerate(group):
            for target in range(run.truth.shape[1]):
                truth = run.truth[rows, target]
                measured = ~np.isnan(truth)
                values[number, repetition, target] = measure(truth[measured], run.predicted[rows, target][measured])
    return Sampled(np.nanmean(values, axis=(1, 2)), np.nanmean(values[0], axis=1).tolist())


def _row(group: Sequence[Run], names: Sequence[str], difference: Difference, is_reference: bool) -> Row:
    results = [run.results for run in group]
    metrics = {}
    for name in names:
        values = [np.nanmean([target[name] for target in result["test"].values()]) for result in results]
        metrics[name] = (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"))

    def mean(key: str) -> float:
        return float(np.mean([result.get(key, float("nan")) for result in results]))

    return Row(
        group[0].label,
        group[0].kind,
        len(group),
        results[0]["parameters"],
        mean("seconds"),
        mean("train_molecules_per_second"),
        mean("predict_molecules_per_second"),
        metrics,
        difference,
        is_reference,
    )
