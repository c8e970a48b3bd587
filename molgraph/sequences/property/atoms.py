"""A value for each atom, read off the token that writes it (the "frame by frame" pattern) or off its graph node.

texts -> AtomPredictor | AtomGraphPredictor -> [atoms, outputs] -> squared error against what RDKit computes
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from molgraph.molecules.reading import atom_properties, canonicalize_all
from molgraph.sequences.property.atom_graphs import AtomGraphPredictor, AtomGraphs
from molgraph.sequences.property.sequence_predictor import AtomPredictor
from molgraph.sequences.property.texts import EncodedSmiles
from molgraph.sequences.text.corpora import open_texts
from molgraph.sequences.text.dataset import bucket, number_of_batches
from molgraph.training.experiment import Experiment
from molgraph.training.supervised import SupervisedBatch
from molgraph.training.task import Task


@dataclass(frozen=True)
class AtomBatches:
    """Batches of similar lengths whose order depends on (seed, epoch) alone."""

    encoded: EncodedSmiles | AtomGraphs
    """Molecules."""
    values: list[np.ndarray]
    """Values of the atoms of each molecule [atoms, P]."""
    batch_size: int
    """Molecules of a batch."""
    seed: int = 0
    """Of the order."""
    shuffle: bool = True
    """Whether the order changes with the epoch; False for evaluation."""

    def __len__(self) -> int:
        return number_of_batches(len(self.encoded), self.batch_size)

    def epoch(self, number: int) -> Iterator[SupervisedBatch]:
        """Yield the batches of an epoch; targets are the values of all atoms in order [atoms, P]."""
        for rows in bucket(self.encoded.sizes, self.batch_size, self.seed, number if self.shuffle else None):
            targets = np.concatenate([self.values[row] for row in rows])
            yield SupervisedBatch(self.encoded.atom_batch(rows.tolist()), torch.from_numpy(targets).float())


class AtomTask(Task):
    """Mean squared error of standardized values of atoms.

    Args:
        model: predicts [atoms, P].
        names: of the properties.
        mean: of each over the training atoms [P].
        std: of each over the training atoms [P].
    """

    monitor, mode = "rmse", "min"

    def __init__(
        self, model: AtomPredictor | AtomGraphPredictor, names: Sequence[str], mean: Tensor, std: Tensor
    ) -> None:
        super().__init__()
        self.model, self.names = model, list(names)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("std", torch.where(std > 0, std, 1.0))

    def loss(self, batch: SupervisedBatch) -> Tensor:
        """See ``Task.loss``."""
        return (self.model(batch.inputs).float() - (batch.targets - self.mean) / self.std).square().mean()

    def evaluate(self, batches: Iterable[SupervisedBatch]) -> dict[str, float]:
        """Return ``rmse`` and ``r2`` (mean over properties), and ``rmse_NAME``, ``r2_NAME`` of each in its unit."""
        pairs = [(self.model(batch.inputs).float() * self.std + self.mean, batch.targets) for batch in batches]
        predicted, targets = (torch.cat(parts).cpu() for parts in zip(*pairs, strict=True))
        mse = (predicted - targets).square().mean(0)
        r2 = 1 - mse / targets.var(0, correction=0).clamp(min=1e-12)
        result = {"rmse": mse.sqrt().mean().item(), "r2": r2.mean().item()}
        for name, error, score in zip(self.names, mse.sqrt().tolist(), r2.tolist(), strict=True):
            result |= {f"rmse_{name}": error, f"r2_{name}": score}
        return result


class AtomExperiment(Experiment):
    """Properties of each atom that RDKit computes: a test of what a sequence or a graph model sees of atoms.

    Args:
        data: see ``corpora.open_texts``; texts that are no molecule, or too long, are left out and counted.
        model: options of ``AtomPredictor.build``, or (with ``encoder``) of ``AtomGraphPredictor.build``.
        seed: of the order of batches.
        folder: run folder.
        console: where progress is shown.
        properties: names of ``chemistry.ATOM_PROPERTIES``.
        batch_size: molecules of a batch.
    """

    def __init__(
        self,
        data: dict[str, Any],
        model: dict[str, Any],
        seed: int,
        folder: Path,
        console: Console | None = None,
        properties: Sequence[str] = ("logp", "charge", "aromatic"),
        batch_size: int = 64,
    ) -> None:
        self.console, self.names = console or Console(), list(properties)
        self.data, self.model_config, self.batch_size, self.seed = data, model, batch_size, seed
        if "encoder" not in model and "shape" not in model:
            raise ValueError(
                f"this model ({', '.join(model)}) has no state for each atom; "
                "use task=atoms with model=gcn, gine, dmpnn, ... (graphs) or rnn, lstm, gru, transformer (strings)"
            )
        if model.get("notation", "smiles") != "smiles":
            raise ValueError(
                f"atoms are found in SMILES tokens; model.notation={model['notation']} has none, use smiles"
            )

    def prepare(self) -> Self:
        """Read the texts, compute the values of their atoms, make vocabulary, batches and model."""
        texts = open_texts(self.data)
        texts.say(self.console)
        parts = {part: self._readable([text for text, *_ in texts.rows(part)]) for part in ("train", "val", "test")}
        if not parts["train"] or not parts["val"]:
            raise ValueError(f"{texts.name} leaves no molecules to train on, or none to validate")
        self.known = parts["train"]
        self.model = self.build_model(self.model_config)
        self.train = self._batches(parts["train"], self.batch_size, self.seed)
        self.val = self._batches(parts["val"], 4 * self.batch_size, None)
        self.test = self._batches(parts["test"], 4 * self.batch_size, None) if parts["test"] else self.val
        atoms = torch.from_numpy(np.concatenate(self.train.values)).float()
        self.task = AtomTask(self.model, self.names, atoms.mean(0), atoms.std(0))
        return self

    def build_model(self, model: dict[str, Any]) -> AtomPredictor | AtomGraphPredictor:
        """Return the untrained predictor that a configuration node describes, for the tokens of the training part."""
        options = {key: value for key, value in model.items() if key not in ("_target_", "randomize", "average")}
        kind = AtomGraphPredictor if "encoder" in model else AtomPredictor
        return kind.build(self.known, len(self.names), **options)

    def _readable(self, texts: list[str]) -> list[str]:
        canonical = canonicalize_all(texts, workers=None)
        good = [text for text, (form, _) in zip(texts, canonical, strict=True) if form]
        if len(good) < len(texts):
            self.console.print(f"{len(texts) - len(good)} texts are no molecules and are left out", highlight=False)
        return good

    def _batches(self, texts: list[str], batch_size: int, seed: int | None) -> AtomBatches:
        encoded, errors = self.model.featurizer()(texts)
        if errors:
            self.console.print(f"{len(errors)} molecules are too long and are left out", highlight=False)
        values = [atom_properties(text, self.names) for text in encoded.smiles]
        return AtomBatches(encoded, values, batch_size, seed or 0, shuffle=seed is not None)

    def state(self) -> dict[str, Any]:
        """Return what rebuilds the model beside its configuration."""
        return {"task": "atoms", "model": self.model.state(), "properties": self.names}

    def report(self, folder: Path) -> dict[str, Any]:
        """Judge the best weights on the test part."""
        self.task.eval()
        device = next(self.task.parameters()).device
        with torch.no_grad():
            scores = {
                part: self.task.evaluate(batch.to(device) for batch in batches.epoch(0))
                for part, batches in (("validation", self.val), ("test", self.test))
            }
        results = {"score": scores["validation"][self.task.monitor], **self.task.judged_by, **scores}
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        table = Table(title="values of atoms", title_justify="left")
        table.add_column("metric")
        table.add_column("test", justify="right")
        for name, value in scores["test"].items():
            table.add_row(name, f"{value:.4f}")
        self.console.print(table)
        return results
