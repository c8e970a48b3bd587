"""Training a property: ``data + model -> checked table -> split -> task -> fit -> results on the test part``."""

import csv
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape

from molgraph.molecules.graphs.dataset import Encoded, PropertyBatches, check_molecules
from molgraph.molecules.graphs.dgl_files import read_graphs
from molgraph.molecules.members import School
from molgraph.molecules.models.baselines import Baseline
from molgraph.molecules.models.committee import Committee
from molgraph.molecules.models.graph_predictor import GraphPredictor
from molgraph.molecules.plan import expected_time, plan_lines
from molgraph.molecules.reading import splits
from molgraph.molecules.reading.duplicates import merge
from molgraph.molecules.reading.table import MoleculeTable, read_table
from molgraph.molecules.report import Predicted, PropertyReport
from molgraph.molecules.settings import DataConfig, make_split
from molgraph.molecules.tasks import check_targets, make_task, mean_prediction, number_of_outputs, statistics
from molgraph.molecules.trust import Neighbors, Trust
from molgraph.training.checkpoint import load_checkpoint, save_checkpoint
from molgraph.training.config import check_keys, locate
from molgraph.training.experiment import Experiment
from molgraph.training.supervised import Regression, Supervised
from molgraph.training.trainer import Trainer

REJECTED = "rejected.csv"
"""File of a run folder that lists the rows that were left out."""
COVERAGE = 0.9
"""Of the intervals that the report judges."""
FORWARD_AND_BACKWARD = 3.5
"""A training step takes so many times a prediction."""


class PropertyExperiment(Experiment):
    """Predict properties of molecules with any model that reads SMILES: graph, sequence or fingerprint.

    Args:
        data: keys of :class:`DataConfig`.
        model: ``_target_`` of the predictor and its options.
        seed: fixes the order of batches.
        folder: run folder; the split and the rejected rows are written there.
        console: where to print.
        balance: weigh the classes of a classification so that each counts the same.
    """

    task: Supervised
    train: PropertyBatches
    val: PropertyBatches
    test: PropertyBatches

    def __init__(
        self,
        data: dict[str, Any],
        model: dict[str, Any],
        seed: int,
        folder: Path,
        console: Console,
        balance: bool = False,
    ) -> None:
        if "_target_" in data:
            raise ValueError(
                "this data set is not a table of molecules; choose data=aqsoldb, data=csv, ... or another task"
            )
        self.config, self.console, self.balance = DataConfig(**check_keys("data", DataConfig, data)), console, balance
        self.model_config, self.seed, self.folder = model, seed, folder
        self.left_out: Predicted = {}
        self.members: dict[str, Any] = {}
        self.trust: Trust | None = None
        predictor_class(model)

    def prepare(self) -> Self:
        """Read and split the table, build the model, and encode the molecules as it reads them."""
        self.table, self.canonical = self._read(self.folder)
        self.split = make_split(self.config, self.table, self.canonical)
        self.split_hash = self.split.save(self.folder / "split.csv", self.table.smiles)
        self._describe()
        check_targets(self.table, self.split.train)
        self.statistics = statistics(self.table, self.split.train, self.balance)
        self.model = self.build_model(self.model_config)
        names = [target.name for target in self.table.targets]
        self.task = self.make_task(names)
        encoded = self._encode()
        size = self.config.batch_size
        batches = partial(PropertyBatches, encoded, self.table.values, bounds=self.table.bounds)
        self.train = batches(self.split.train, size, self.seed, shuffle=True)
        self.val, self.test = batches(self.split.val, 2 * size), batches(self.split.test, 2 * size)
        return self

    def _encode(self) -> Encoded:
        if not self.config.graphs:
            return self.model.encode(self.table.smiles, self.config.workers, self.console)
        if not isinstance(self.model, GraphPredictor):
            raise ValueError("data.graphs holds graphs and no SMILES; use a model of graphs, such as model=gcn")
        return self.model.encode_graphs(self.graphs)

    def build_model(self, model: dict[str, Any]) -> Any:
        """Return the untrained predictor that a configuration node describes, for the prepared table."""
        options = {key: value for key, value in model.items() if key != "_target_"}
        smiles = [self.table.smiles[index] for index in self.split.train]
        outputs, standardization = number_of_outputs(self.table), self.config.standardization()
        return predictor_class(model).build(smiles, outputs, standardization=standardization, **options)

    def make_task(self, names: list[str]) -> Supervised:
        """Return the task of the prepared model; a subclass with a loss of its own overrides this."""
        return make_task(self.model, names, self.table.kind, self.statistics)

    def _read(self, folder: Path) -> tuple[MoleculeTable, list[str]]:
        if self.config.graphs:
            if self.config.split == "scaffold":
                raise ValueError("data.graphs holds no scaffolds; use data.split=column (the label part), random")
            table, self.graphs = read_graphs(Path(self.config.graphs), self.config.targets, self.config.kind)
            return table, table.smiles
        # The rows that a published set is known to have wrong do not stop it: they are skipped, and said.
        on_error = "skip" if self.config.name else self.config.on_error
        table = locate(self.config.reader)() if self.config.reader else read_table(self.config.source())
        checked = check_molecules(table, self.config.standardization(), on_error, self.config.workers, self.console)
        table, canonical = merge(*checked, self.config.duplicates)
        if table.rejected:
            path = folder / REJECTED
            write_rejected(path, table, self.config.id_column)
            first = table.rejected[0]
            if not self.config.path:  # else the plan tells of them
                self.console.print(
                    f"[yellow]{len(table.rejected)} rows are left out[/], reasons in {path.name}; the first: "
                    f"row {first.row}, {escape(repr(first.smiles))}, {escape(first.reason)}",
                    highlight=False,
                )
        return table, canonical

    def _describe(self) -> None:
        if self.config.path:
            lines = plan_lines(self.table, self.canonical, self.split, self.config, self.folder / REJECTED)
            for line in lines:
                self.console.print(line, highlight=False, markup=False, soft_wrap=True)
            self._say_straddling()
            return
        counts = " + ".join(f"{len(getattr(self.split, part)):,} {part}" for part in splits.PARTS)
        names = ", ".join(
            f"{target.name} [{target.unit}]" if target.unit else target.name for target in self.table.targets
        )
        self.console.print(
            f"[bold]{escape(self.table.name)}[/]: {len(self.table):,} molecules, {self.table.kind} of {escape(names)}\n"
            f"{self.config.split} split {self.split_hash[:12]}: {counts}",
            highlight=False,
        )
        for note in self.table.notes:
            self.console.print(note, highlight=False, markup=False)
        self._say_straddling()

    def _say_straddling(self) -> None:
        doubled = splits.straddling(self.split, self.canonical)
        if doubled:
            self.console.print(
                f"[yellow]{doubled} molecules have rows in more than one part[/]: the table's own split says so",
                highlight=False,
            )

    def fit(self, trainer: Trainer) -> None:
        """Train by gradient steps, fit a baseline in one go, or teach a committee."""
        if isinstance(self.model, Committee):
            trainer.fit_at_once(self.task, lambda: self._teach(trainer), self.val, self.state)
            return
        if not isinstance(self.model, Baseline):
            super().fit(trainer)
            return
        features = self.train.encoded.batch(self.split.train)
        values = torch.from_numpy(self.table.values[self.split.train])
        wanted = self.task.standardize(values) if isinstance(self.task, Regression) else values
        trainer.fit_at_once(self.task, lambda: self.model.fit(features, wanted, self.table.kind), self.val, self.state)

    def _teach(self, trainer: Trainer) -> dict[str, float]:
        """Teach a committee; return the metrics of what it says of the validation part by models that left it out."""
        school = School(self, trainer)
        outputs = school.teach()[len(self.split.train) :]
        self.members = school.results
        encoded = self.model.encode(self.table.smiles, self.config.workers)  # a member may have been left out
        self.val, self.test = replace(self.val, encoded=encoded), replace(self.test, encoded=encoded)
        device = next(iter(self.task.state_dict().values())).device
        predicted = self.task.in_units(outputs.to(device)).double().cpu()
        targets = torch.from_numpy(self.table.values[self.split.val].copy())
        targets[predicted.isnan().any(1)] = torch.nan  # every member has seen it
        if self.table.bounds is not None:  # a bound has no error
            targets[torch.from_numpy(self.table.bounds[self.split.val] != 0)] = torch.nan
        self.left_out = {"val": (predicted.nan_to_num(), targets)}
        metrics = list(self.task.table(*self.left_out["val"]).values())
        return {name: torch.tensor([target[name] for target in metrics]).nanmean().item() for name in metrics[0]}

    def plan(self, epochs: int, steps: int | None) -> list[str]:
        """Return the model, its size, and the time that a training on a table of one's own takes at most."""
        if not self.config.path:
            return []
        size = f"{sum(p.numel() for p in self.model.parameters() if p.requires_grad):,} parameters"
        as_values = "" if self.table.bounds is None else "; it takes bounds (< and >) for values"
        if isinstance(self.model, Committee):
            return [f"a committee, taught in about {self.model.budget:g} minutes{as_values}"]
        if isinstance(self.model, Baseline):
            return [f"fitted at once{as_values}"]
        epochs = min(epochs, -(-steps // len(self.train))) if steps else epochs
        with torch.no_grad():
            self.task.eval()
            batch = next(iter(self.val.epoch(0)))
            seconds = min(self._seconds(batch) for _ in range(4)) / len(batch.targets)
        passes = FORWARD_AND_BACKWARD * len(self.split.train) + len(self.split.val)
        return [f"{size}, {epochs} epochs at most, {expected_time(seconds * passes * epochs)} on this CPU"]

    def _seconds(self, batch: Any) -> float:
        start = time.perf_counter()
        self.task.predict(batch.inputs)
        return time.perf_counter() - start

    def state(self) -> dict[str, Any]:
        """Return what rebuilds the model without its data."""
        return {
            "kind": self.table.kind,
            "targets": [{"name": target.name, "unit": target.unit} for target in self.table.targets],
            "transforms": [change and change.state() for change in self.table.transforms],
            "classes": self.table.classes,
            "outputs": number_of_outputs(self.table),
            "statistics": self.statistics,
            "model": self.model.state(),
            "split": self.split_hash,
        }

    def report(self, folder: Path) -> dict[str, Any]:
        """Evaluate on the test part; write results.json, predictions.csv and a plot; print the table."""
        units = [target.unit for target in self.table.targets]
        report = PropertyReport(self.task, units, self.console, self.table.transforms)
        results = report.write(
            folder,
            parts={"val": self.val, "test": self.test},
            baseline=mean_prediction(self.table, self.split.train),
            rows=([*self.table.header], [self.table.rows[index] for index in self.split.test]),
            extra={
                "split": self.split_hash,
                "data": self.table.name,
                "molecules": {part: len(getattr(self.split, part)) for part in splits.PARTS},
                "classes": self.table.classes,
            }
            | ({"committee": self.members} if self.members else {}),
            known=self.left_out,
            limits=self._limits(),
            judge=None if self.config.graphs else self._judge,
        )
        if self.trust:
            save_checkpoint(folder / "best.pt", load_checkpoint(folder / "best.pt") | {"trust": self.trust.state()})
        return results

    def _judge(self, predicted: Predicted) -> dict[str, dict[str, float]]:
        """Calibrate intervals on the validation part; return their coverage and width on the test part."""
        smiles = {part: [self.table.smiles[row] for row in getattr(self.split, part)] for part in splits.PARTS}
        neighbors = Neighbors.of(smiles["train"], self.table.values[self.split.train])
        if self.table.kind != "regression":
            nothing = np.zeros((len(smiles["val"]), 0))
            self.trust = Trust.learn(neighbors, smiles["val"], nothing, nothing)
            return {}
        (known, measured), (said, truth) = [[t.numpy() for t in predicted[part]] for part in ("val", "test")]
        self.trust = Trust.learn(neighbors, smiles["val"], known, measured)
        half = self.trust.intervals(smiles["test"], said, COVERAGE)
        judged = {}
        for column, name in enumerate(self.task.names):
            tested = ~np.isnan(truth[:, column]) & ~np.isnan(half[:, column])
            if tested.any():
                inside = np.abs(said - truth)[tested, column] <= half[tested, column]
                width = 2 * half[tested, column].mean()
                judged[name] = {"coverage_90": float(inside.mean()), "width_90": float(width)}
        return judged

    def _limits(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return bounds and values of the test part, if any of them is a bound."""
        rows = self.split.test
        if self.table.bounds is None:
            return None
        return torch.from_numpy(self.table.bounds[rows]), torch.from_numpy(self.table.values[rows])


def predictor_class(model: dict[str, Any]) -> Any:
    """Return the class of the predictor that a ``model`` node names.

    Raises:
        ValueError: it names none, or one that does not exist.
    """
    if "_target_" not in model:
        raise ValueError(f"this model ({', '.join(model)}) predicts no property; it is for task=translate")
    return locate(model["_target_"])


def write_rejected(path: Path, table: MoleculeTable, id_column: str | None = None) -> None:
    """Write the rows that were left out, with reasons."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        named = [id_column] if id_column in table.header else []
        writer.writerow(["row", *named, "smiles", "reason"])
        place = table.header.index(id_column) if named and id_column else 0
        for row in table.rejected:
            name = [row.cells[place] if row.cells else ""] if named else []
            writer.writerow([row.row, *name, row.smiles, row.reason])
