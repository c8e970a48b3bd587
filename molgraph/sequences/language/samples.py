"""A trained language model to molecules: sample, judge, write a table and pictures.

run folder -> Generator -> decode in batches -> Generated -> CSV, metrics, grid
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from molgraph.molecules.reading import PROPERTIES, UNITS, draw_grid, properties
from molgraph.sequences.evaluation.metrics import (
    Generated,
    asked_and_got,
    frechet_chemnet_distance,
    generation_metrics,
    invalid_reasons,
    is_known,
    property_distances,
)
from molgraph.sequences.evaluation.pictures import draw_asked_and_got, draw_distributions
from molgraph.sequences.language.generator import Choosing, Condition, Generator

COMPARED = ("logp", "qed", "weight", "tpsa")
"""Properties whose distributions are compared."""


def generate(
    run: Path,
    count: int,
    choosing: Choosing | None = None,
    asked: dict[str, float] | None = None,
    out: Path | None = None,
    with_fcd: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Write molecules, and beside the table their metrics (``NAME.json``) and pictures: ``molgraph generate``.

    The log-likelihood of a molecule is that of what follows the start.

    Args:
        run: run folder of a language model.
        count: molecules.
        choosing: how they are chosen.
        asked: asked-for properties.
        out: CSV file; by default ``generated.csv`` in the run folder.
        with_fcd: add the Fréchet ChemNet distance (needs the extra ``fcd``).
        console: where the table is shown.

    Returns:
        The metrics.
    """
    console, out = console or Console(), Path(out) if out else Path(run) / "generated.csv"
    generator = Generator.load(run)
    wanted = None
    if generator.conditions or asked:
        wanted, notes = generator.wanted(asked or {})
        for note in notes:
            console.print(note, highlight=False, markup=False)
    written = generator.write(count, choosing, wanted)
    generated = Generated.read([text for text, _ in written], workers=None)
    known, reference = generator.known(), generator.reference()
    write_table(out, generated, [log_prob for _, log_prob in written], known)
    metrics: dict[str, Any] = generation_metrics(generated, known, reference, workers=None)
    metrics["invalid_reasons"] = invalid_reasons(generated)
    metrics |= _compare(generated, reference, out.with_name(out.stem + "_properties.png"))
    if with_fcd:
        metrics |= frechet_chemnet_distance(generated.valid, reference)
    if wanted is not None and generated.valid:
        metrics["asked"] = _asked(generated, generator.conditions, wanted, out.parent, f"{out.stem}_")
    if generated.valid:
        draw_grid(generated.valid[:25], out.with_suffix(".png"))
    out.with_suffix(".json").write_text(json.dumps(metrics, indent=2) + "\n")
    show(metrics, console)
    console.print(f"molecules: [bold]{escape(str(out))}[/]", highlight=False, soft_wrap=True)
    return metrics


def judge(generator: Generator, count: int, seed: int, console: Console) -> dict[str, Any]:
    """Judge and draw samples at temperature 1, as a run does at its end; asked against got for conditions."""
    known, reference = generator.known(), generator.reference()
    if known is not None and not len(known):
        return _show_prose(generator, count, seed, console)
    wanted = None
    if generator.conditions:
        # Values of real molecules, so that what is asked for together occurs together.
        names = [condition.name for condition in generator.conditions if condition.name in PROPERTIES]
        if len(names) == len(generator.conditions) and reference:
            source = reference[:count]
            wanted = properties((source * (count // len(source) + 1))[:count], names)
        else:
            wanted = np.array([[condition.mean for condition in generator.conditions]])
    written = generator.write(count, Choosing(seed=seed), wanted)
    generated = Generated.read([text for text, _ in written], workers=None)
    write_table(generator.folder / "samples.csv", generated, [log_prob for _, log_prob in written], known)
    metrics: dict[str, Any] = generation_metrics(generated, known, reference, workers=None)
    metrics["invalid_reasons"] = invalid_reasons(generated)
    metrics |= _compare(generated, reference, generator.folder / "properties.png")
    if wanted is not None and len(wanted) == count:
        metrics["asked"] = _asked(generated, generator.conditions, wanted, generator.folder)
    if generated.valid:
        draw_grid(generated.valid[:25], generator.folder / "samples.png")
    show(metrics, console)
    return metrics


def _show_prose(generator: Generator, count: int, seed: int, console: Console) -> dict[str, Any]:
    """Write samples of a model whose training part holds no molecule: there is nothing in them that RDKit can judge."""
    written = generator.write(count, Choosing(seed=seed))
    with open(generator.folder / "samples.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "log_likelihood"])
        writer.writerows((text, f"{log_prob:.4f}") for text, log_prob in written)
    console.print("the training part holds no molecule: samples are texts, and are not judged", highlight=False)
    for text, _ in written[:5]:
        console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)
    return {"n": float(len(written))}


def _compare(generated: Generated, reference: Sequence[str], path: Path) -> dict[str, float]:
    """Return distances of the property distributions, and their picture."""
    ours, theirs = generated.valid[:2000], list(reference[:2000])
    if len(ours) < 20 or len(theirs) < 20:
        return {}
    labels = [_label(name) for name in COMPARED]
    draw_distributions(properties(ours, COMPARED), properties(theirs, COMPARED), labels, path)
    return property_distances(ours, theirs, COMPARED)


def _asked(
    generated: Generated, conditions: Sequence[Condition], wanted: np.ndarray, folder: Path, prefix: str = ""
) -> dict[str, dict[str, float]]:
    """Return how well each computable property meets what was asked; draw it as ``PREFIXasked_NAME.png``."""
    valid = np.array([bool(text) for text in generated.canonical])
    scores = {}
    for column, name in enumerate(condition.name for condition in conditions):
        if name not in PROPERTIES:
            continue
        asked = np.broadcast_to(wanted[:, column], len(valid))[valid]
        got = properties(generated.valid, [name])[:, 0]
        scores[name] = asked_and_got(asked, got)
        if len(asked):
            draw_asked_and_got(asked, got, _label(name), scores[name], folder / f"{prefix}asked_{name}.png")
    return scores


def _label(name: str) -> str:
    return f"{name} [{UNITS[name]}]" if name in UNITS else name


def write_table(path: Path, generated: Generated, log_probs: Sequence[float], known: np.ndarray | None) -> None:
    """Write one row a molecule: smiles, canonical, valid, log_likelihood, novel, reason."""
    new = ~is_known(generated.canonical, known) if known is not None else None
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "canonical", "valid", "log_likelihood", "novel", "reason"])
        for row, (text, canonical, reason) in enumerate(
            zip(generated.smiles, generated.canonical, generated.reasons, strict=True)
        ):
            novel = "" if new is None or not canonical else int(new[row])
            writer.writerow([text, canonical, int(bool(canonical)), f"{log_probs[row]:.4f}", novel, reason])


def show(metrics: dict[str, Any], console: Console) -> None:
    """Print the numbers as a table."""
    table = Table(title="generated molecules", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        if isinstance(value, float):
            table.add_row(
                name, f"{value:,.0f}" if name.startswith("n") and name != "novelty" and value >= 1 else f"{value:.4f}"
            )
    for name, score in metrics.get("asked", {}).items():
        for key, value in score.items():
            table.add_row(escape(f"{name} {key}"), f"{value:.0f}" if key == "n" else f"{value:.3f}")
    for reason, count in list(metrics.get("invalid_reasons", {}).items())[:5]:
        table.add_row(escape(f"invalid: {reason}"), str(count))
    console.print(table)
