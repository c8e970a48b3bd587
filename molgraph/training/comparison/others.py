"""Runs without a table of predictions, by what they say of themselves: ``results.json -> metrics, data, sizes``.

Language models, translators, simulators and per-atom models are judged by numbers of a whole part. What is known of
their noise is the spread between seeds.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from molgraph.training.checkpoint import load_checkpoint

COUNTS = ("n", "n_valid", "n_compared", "beam", "left_out")
"""Numbers of a result that judge nothing."""


def sizes_of(folder: Path, results: dict[str, Any]) -> dict[str, float]:
    """Return the number of weights of a finished run and the seconds of its training."""
    if "parameters" in results and "seconds" in results:
        return {"parameters": results["parameters"], "seconds": results["seconds"]}
    weights, progress = load_checkpoint(folder / "best.pt")["task"], load_checkpoint(folder / "last.pt")["progress"]
    return {"parameters": sum(tensor.numel() for tensor in weights.values()), "seconds": progress["seconds"]}


def described(folder: Path, config: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """Return results in the form of a property run: its metrics under one target, and a mark of its data.

    Raises:
        ValueError: the run does not say by what it is judged.
    """
    parts = [results.get(name, {}) for name in ("validation", "generation", "test", "model")]
    metrics = {
        name: float(value)
        for part in parts
        if isinstance(part, dict)
        for name, value in part.items()
        if isinstance(value, int | float) and name not in COUNTS
    }
    monitor = results.get("monitor")
    if monitor not in metrics:
        raise ValueError(f"{folder} is judged by {monitor!r}, which its results.json does not hold; train it again")
    task = config.get("task") or {}
    data = [config.get("data"), task.get("_target_"), task.get("direction"), task.get("properties")]
    mark = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    return results | sizes_of(folder, results) | {"test": {"all": metrics}, "split": mark}


def kind_of(model: dict[str, Any]) -> str:
    """Return what a model without predictions reads: ``particles``, ``graph`` or ``sequence``."""
    if "particles" in str(model.get("_target_", "")).split("."):
        return "particles"
    return "graph" if "encoder" in model else "sequence"
