"""Training a property: ``data + model -> checked table -> split -> task -> fit -> results on the test part``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from molgraph.molecules.graphs.dataset import PropertyBatches, check_molecules
from molgraph.molecules.models.baselines import Baseline
from molgraph.molecules.reading import splits
from molgraph.molecules.reading.smiles import Standardization
from molgraph.molecules.reading.table import MoleculeTable, Source, read_table
from molgraph.molecules.report import PropertyReport
from molgraph.training.config import check_keys, locate
from molgraph.training.experiment import Experiment
from molgraph.training.supervised import Classification, MultiClass, Regression, Supervised
from molgraph.training.trainer import Trainer


@dataclass
class DataConfig:
    """The keys of ``data=`` for molecules.

    Attributes:
        name: a named set (``molgraph data`` lists them), or null for ``path``.
        path: a CSV file of one's own.
        smiles_column: column with the molecules.
        targets: columns to predict; empty takes all targets of a named set.
        kind: ``auto``, ``regression``, ``classification`` or ``multiclass``.
        delimiter: what separates the cells.
        split: ``random``, ``scaffold``, ``kfold``, ``column`` or ``file``.
        split_column: column with train, val or test, for ``split=column``.
        split_file: ``split.csv`` of another run, for ``split=file``.
        split_seed: repeats a random or k-fold split.
        fractions: shares of train, val and test.
        folds: number of folds, for ``split=kfold``.
        fold: the fold that tests.
        on_error: ``raise`` or ``skip`` rows that cannot be used.
        hydrogens: write hydrogens as atoms.
        salts: ``keep`` or ``largest`` (drop counter-ions).
        stereo: keep stereochemistry.
        batch_size: molecules in a batch.
        workers: processes for reading molecules (null: one for each core).
    """

    name: str | None = None
    path: str | None = None
    smiles_column: str = "smiles"
    targets: list[str] = field(default_factory=list)
    kind: str = "auto"
    delimiter: str = ","
    split: str = "random"
    split_column: str | None = None
    split_file: str | None = None
    split_seed: int = 0
    fractions: list[float] = field(default_factory=lambda: [0.8, 0.1, 0.1])
    folds: int = 5
    fold: int = 0
    on_error: str = "raise"
    hydrogens: bool = False
    salts: str = "keep"
    stereo: bool = True
    batch_size: int = 64
    workers: int | None = None

    def source(self) -> Source:
        """Return where the table lies."""
        return Source(self.name, self.path, self.smiles_column, tuple(self.targets), self.kind, self.delimiter)

    def standardization(self) -> Standardization:
        """Return what is done to each molecule."""
        return Standardization(self.hydrogens, self.salts, self.stereo)


def make_split(config: DataConfig, table: MoleculeTable, canonical: list[str]) -> splits.Split:
    """Return the split that the configuration asks for.

    Raises:
        ValueError: unknown kind of split, or one that does not fit the table.
    """
    if config.split == "random":
        return splits.random_split(canonical, config.fractions, config.split_seed)
    if config.split == "scaffold":
        return splits.scaffold_split(canonical, config.fractions)
    if config.split == "kfold":
        return splits.kfold_split(canonical, config.folds, config.fold, config.split_seed)
    if config.split == "column":
        if not config.split_column:
            raise ValueError("data.split=column needs data.split_column=NAME, a column with train, val and test")
        return splits.column_split(table.column(config.split_column))
    if config.split == "file":
        return splits.file_split(Path(config.split_file or ""), table.smiles)
    raise ValueError(f"data.split={config.split!r} is unknown; use random, scaffold, kfold, column or file")


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
        self.model_config = model
        self.table, self.canonical = self._read(folder)
        self.split = make_split(self.config, self.table, self.canonical)
        self.split_hash = self.split.save(folder / "split.csv", self.table.smiles)
        self._describe()
        self.task = self._build_task()
        encoded = self.model.encode(self.table.smiles, self.config.workers, console)
        size = self.config.batch_size
        self.train = PropertyBatches(encoded, self.table.values, self.split.train, size, seed, shuffle=True)
        self.val = PropertyBatches(encoded, self.table.values, self.split.val, 2 * size)
        self.test = PropertyBatches(encoded, self.table.values, self.split.test, 2 * size)

    def _read(self, folder: Path) -> tuple[MoleculeTable, list[str]]:
        # The rows that a published set is known to have wrong do not stop it: they are skipped, and said.
        on_error = "skip" if self.config.name else self.config.on_error
        table = read_table(self.config.source())
        table, canonical = check_molecules(
            table, self.config.standardization(), on_error, self.config.workers, self.console
        )
        if table.rejected:
            path = folder / "rejected.csv"
            write_rejected(path, table)
            first = table.rejected[0]
            self.console.print(
                f"[yellow]{len(table.rejected)} rows are left out[/], reasons in {path.name}; the first: "
                f"row {first.row}, {escape(repr(first.smiles))}, {escape(first.reason)}",
                highlight=False,
            )
        return table, canonical

    def _describe(self) -> None:
        counts = " + ".join(f"{len(getattr(self.split, part)):,} {part}" for part in splits.PARTS)
        names = ", ".join(
            f"{target.name} [{target.unit}]" if target.unit else target.name for target in self.table.targets
        )
        self.console.print(
            f"[bold]{escape(self.table.name)}[/]: {len(self.table):,} molecules, {self.table.kind} of {escape(names)}\n"
            f"{self.config.split} split {self.split_hash[:12]}: {counts}",
            highlight=False,
        )
        doubled = splits.straddling(self.split, self.canonical)
        if doubled:
            self.console.print(
                f"[yellow]{doubled} molecules have rows in more than one part[/]: the table's own split says so",
                highlight=False,
            )

    def _build_task(self) -> Supervised:
        train = self.split.train
        for target, values in zip(self.table.targets, self.table.values[train].T, strict=True):
            if np.isnan(values).all():
                raise ValueError(f"the training part has no value of {target.name}; leave it out of data.targets")
        outputs = sum(map(len, self.table.classes)) if self.table.kind == "multiclass" else len(self.table.targets)
        if "_target_" not in self.model_config:
            raise ValueError(
                f"this model ({', '.join(self.model_config)}) predicts no property; it is for task=translate"
            )
        predictor = locate(self.model_config["_target_"])
        options = {key: value for key, value in self.model_config.items() if key != "_target_"}
        smiles = [self.table.smiles[index] for index in train]
        self.model = predictor.build(smiles, outputs, standardization=self.config.standardization(), **options)
        self.outputs = outputs
        names = [target.name for target in self.table.targets]
        return make_task(self.model, names, self.table.kind, self.statistics(train))

    def statistics(self, train: NDArray[np.int64]) -> dict[str, Any]:
        """Return what the task needs to know of the training targets, as plain values."""
        values = self.table.values[train]
        if self.table.kind == "regression":
            return {"mean": np.nanmean(values, 0).tolist(), "std": np.nanstd(values, 0).tolist()}
        if self.table.kind == "classification":
            positive, negative = (values == 1).sum(0), (values == 0).sum(0)
            weights = negative / np.maximum(positive, 1) if self.balance else np.ones(values.shape[1])
            return {"positive_weight": weights.tolist()}
        counts = self._class_counts(train)
        weights = [
            count.sum() / (len(count) * np.maximum(count, 1)) if self.balance else np.ones(len(count))
            for count in counts
        ]
        return {"classes": [len(count) for count in counts], "class_weight": np.concatenate(weights).tolist()}

    def _class_counts(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return how often each class of each target occurs."""
        columns = zip(self.table.values[rows].T, self.table.classes, strict=True)
        return [np.bincount(column[~np.isnan(column)].astype(int), minlength=len(labels)) for column, labels in columns]

    def fit(self, trainer: Trainer) -> None:
        """Train by gradient steps, or fit a baseline in one go."""
        if not isinstance(self.model, Baseline):
            super().fit(trainer)
            return
        features = self.train.encoded.batch(self.split.train)
        values = torch.from_numpy(self.table.values[self.split.train]).float()
        wanted = self.task.standardize(values) if isinstance(self.task, Regression) else values
        trainer.fit_at_once(self.task, lambda: self.model.fit(features, wanted, self.table.kind), self.val, self.state)

    def state(self) -> dict[str, Any]:
        """Return what rebuilds the model without its data."""
        return {
            "kind": self.table.kind,
            "targets": [{"name": target.name, "unit": target.unit} for target in self.table.targets],
            "classes": self.table.classes,
            "outputs": self.outputs,
            "statistics": self.statistics(self.split.train),
            "model": self.model.state(),
            "split": self.split_hash,
        }

    def report(self, folder: Path) -> dict[str, Any]:
        """Evaluate on the test part; write results.json, predictions.csv and a plot; print the table."""
        report = PropertyReport(self.task, [target.unit for target in self.table.targets], self.console)
        return report.write(
            folder,
            parts={"val": self.val, "test": self.test},
            baseline=self._mean_prediction(),
            rows=([*self.table.header], [self.table.rows[index] for index in self.split.test]),
            extra={
                "split": self.split_hash,
                "data": self.table.name,
                "molecules": {part: len(getattr(self.split, part)) for part in splits.PARTS},
                "classes": self.table.classes,
            },
        )

    def _mean_prediction(self) -> torch.Tensor:
        """Return what a model that ignores the molecule would say ``[outputs]``."""
        values = self.table.values[self.split.train]
        if self.table.kind != "multiclass":
            return torch.tensor(np.nanmean(values, 0)).float()
        counts = self._class_counts(self.split.train)
        return torch.tensor(np.concatenate([count / count.sum() for count in counts])).float()


def make_task(model: torch.nn.Module, names: list[str], kind: str, statistics: dict[str, Any]) -> Supervised:
    """Return the task for one kind of target.

    Args:
        model: the predictor.
        names: name of each target.
        kind: ``regression``, ``classification`` or ``multiclass``.
        statistics: from :meth:`PropertyExperiment.statistics`.
    """
    if kind == "regression":
        return Regression(model, names, torch.tensor(statistics["mean"]), torch.tensor(statistics["std"]))
    if kind == "classification":
        return Classification(model, names, torch.tensor(statistics["positive_weight"]))
    return MultiClass(model, names, statistics["classes"], torch.tensor(statistics["class_weight"]))


def write_rejected(path: Path, table: MoleculeTable) -> None:
    """Write the rows that were left out, with reasons."""
    import csv

    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "smiles", "reason"])
        writer.writerows([row.row, row.smiles, row.reason] for row in table.rejected)
