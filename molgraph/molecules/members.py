"""Training a committee: ``rows -> folds -> members, each judged on what it left out -> weights -> one model``.

Every molecule of the training and validation parts teaches. What the committee is worth is known from predictions of
molecules that a member has not seen: a kernel leaves out one at a time, trees and networks a fold. Each finished member
lies in a file of its own, so that a killed run goes on with the next one.
"""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from molgraph.molecules.graphs.dataset import Encoded, PropertyBatches
from molgraph.molecules.models.baselines import Baseline
from molgraph.molecules.models.committee import Committee, EncodedTogether
from molgraph.molecules.models.predictor import Predictor
from molgraph.molecules.reading.parallel import available_cores
from molgraph.molecules.reading.splits import Split, folds_of
from molgraph.molecules.reading.table import MoleculeTable
from molgraph.molecules.settings import DataConfig
from molgraph.molecules.tasks import make_task
from molgraph.molecules.weighing import Weighing, account, shown_account
from molgraph.training.checkpoint import load_checkpoint, save_checkpoint
from molgraph.training.hardware.precision import choose_device
from molgraph.training.supervised import Regression, Supervised
from molgraph.training.trainer import Trainer

Rows = NDArray[np.int64]

SHARE = 0.3
"""Of the budget, what trees may take."""
TOGETHER = 1.25
"""How much longer a step takes while other threads work."""
WORTHWHILE = 0.05
"""A network that could take only this share of its steps is left out."""


class Prepared(Protocol):
    """What a school needs of an experiment: data, their split and encoding, and the task with the committee."""

    table: MoleculeTable
    canonical: list[str]
    split: Split
    statistics: dict[str, Any]
    config: DataConfig
    task: Supervised
    model: Any
    train: PropertyBatches
    console: Console


@dataclass
class Taught:
    """A member that has learned."""

    parts: list[Predictor]
    """Its models: several where each left out a fold."""
    left_out: Tensor
    """Outputs for each row by a model that has not seen it ``[M, outputs]``; NaN where there is none."""
    seconds: float
    """Time of a core that it took."""


@dataclass
class School:
    """Teaches the members of a committee on one table.

    Attributes:
        experiment: prepared, with the committee as its model.
        trainer: how networks are trained, and the run folder.
        results: what each member adds, once all are taught.
        readings: the molecules as each member reads them.
    """

    experiment: Prepared
    trainer: Trainer
    results: dict[str, Any] = field(default_factory=dict)
    readings: dict[str, Encoded] = field(default_factory=dict)

    @property
    def committee(self) -> Committee:
        """The model of the experiment."""
        return self.experiment.model

    @cached_property
    def rows(self) -> Rows:
        """Rows of the table that teach."""
        split = self.experiment.split
        return np.concatenate([split.train, split.val])

    @cached_property
    def values(self) -> Tensor:
        """Targets of these rows ``[M, T]``."""
        return torch.from_numpy(self.experiment.table.values[self.rows])

    @cached_property
    def wanted(self) -> Tensor:
        """Standardized targets or class numbers ``[M, T]``."""
        task = self.experiment.task
        return task.standardize(self.values) if isinstance(task, Regression) else self.values

    @cached_property
    def fold(self) -> Rows:
        """Number of the fold of each row; rows with one molecule share it."""
        canonical = [self.experiment.canonical[row] for row in self.rows]
        return folds_of(canonical, self.committee.folds, self.committee.seed)

    @property
    def folder(self) -> Path:
        """Where finished members lie."""
        return self.trainer.folder / "members"

    @property
    def kind(self) -> str:
        """Kind of the targets."""
        return self.experiment.table.kind

    def teach(self) -> Tensor:
        """Train all members, weigh them, and let the committee hold them.

        Returns:
            What the committee says of each row by models that have not seen it ``[M, outputs]``.

        Raises:
            ValueError: started in several processes, or no member can learn these targets.
        """
        if self.trainer.world.size > 1:
            raise ValueError("a committee trains in one process; start it without torchrun, or choose one model")
        self.folder.mkdir(exist_ok=True)
        encoded, untrained = self.experiment.train.encoded, self.committee
        reading = dict(zip(untrained.names, untrained.readings(), strict=True))
        if not isinstance(encoded, EncodedTogether):
            raise TypeError("a committee reads what its own encode made")
        self.readings = {name: encoded.readings[number] for name, number in reading.items()}
        at_once = [
            name for name, part in zip(untrained.names, untrained.parts, strict=True) if isinstance(part, Baseline)
        ]
        by_steps = [name for name in untrained.names if name not in at_once]
        start = time.process_time()
        taught: dict[str, Taught] = {}
        if self.kind != "multiclass":  # no baseline knows several classes
            fitted = {name: self._fit(name) for name in at_once}
            # A forest that has seen one class only has nothing to say.
            taught |= {name: self._say(name, one) for name, one in fitted.items() if not one.left_out.isnan().all()}
        for name in by_steps:
            left = (60 * self.committee.budget - (time.process_time() - start)) / len(by_steps)
            networks = self._train(name, left, needed=not taught)
            if networks is not None:
                taught[name] = self._say(name, networks)
        if not taught:
            raise ValueError("none of model.members knows several classes; add a graph or sequence model")
        return self._weigh(taught)

    def _say(self, name: str, taught: Taught) -> Taught:
        self.experiment.console.print(
            f"{name}: {len(taught.parts)} model{'s' if len(taught.parts) > 1 else ''}, {taught.seconds:.0f} s",
            highlight=False,
            markup=False,
        )
        return taught

    def _fit(self, name: str) -> Taught:
        """Fit a baseline to all rows, and to all but a fold where it does not know what it left out."""
        path = self.folder / f"{name}.pt"
        changes = self._affordable(name)
        model = self._build(name, self.rows, **changes)
        if path.exists():
            return self._read(path, name)
        start = time.process_time()
        left_out = torch.full((len(self.rows), self.committee.outputs), torch.nan)
        chosen = model.sample(np.arange(len(self.rows)))
        model.fit(self._batch(name, chosen), self.wanted[chosen], self.kind)
        if model.held_out is not None:
            left_out[chosen] = model.held_out
        else:
            for number in range(self.committee.folds):
                rest, fold = np.flatnonzero(self.fold != number), np.flatnonzero(self.fold == number)
                if len(fold) and self._can_teach(rest):
                    other = self._build(name, self.rows[rest], **changes)
                    other.fit(self._batch(name, rest), self.wanted[rest], self.kind)
                    left_out[fold] = self._said(other, name, fold)
        return self._write(path, Taught([model], left_out, time.process_time() - start))

    def _can_teach(self, rows: Rows) -> bool:
        """Return whether rows hold values of each target, and both of two classes."""
        values = self.values[rows]
        if self.kind == "classification":
            return bool(((values == 0).any(0) & (values == 1).any(0)).all())
        return bool((~values.isnan()).any(0).all())

    def _affordable(self, name: str) -> dict[str, int]:
        """Return as many trees as :data:`SHARE` of the budget allows, from the time that a few take."""
        trees = self.committee.members[name].get("trees")
        plan = self._plan()
        if trees is None or name in plan:
            return plan.get(name, {})
        each = 0.0
        for number in (1, 4):  # the first one also loads the library
            model, start = self._build(name, self.rows, trees=number), time.process_time()
            model.fit(self._batch(name, np.arange(len(self.rows))), self.wanted, self.kind)
            each = (time.process_time() - start) / number / available_cores()
        allowed = SHARE * 60 * self.committee.budget / (each * (1 + self.committee.folds))
        return self._plan(name, {"trees": int(max(4, min(trees, allowed)))})

    def _train(self, name: str, seconds: float, needed: bool) -> Taught | None:
        """Train as many networks as fit into ``seconds``, each leaving out a fold; None if none is worthwhile."""
        device = choose_device(self.trainer.config.device)
        workers = 1 if device.type != "cpu" else self.trainer.config.threads or available_cores()
        plan = self._plan().get(name) or self._plan(name, self._networks(name, seconds, workers, needed))
        if plan["networks"] == 0:
            self.experiment.console.print(
                f"{name}: left out, the budget has no time for it", highlight=False, markup=False
            )
            return None
        config = replace(self.trainer.config, max_steps=plan["max_steps"], evaluate_every=self.trainer.config.epochs)
        # One after another, so that each draws the same weights whatever the others do.
        jobs = [(number, self._network(name, number)) for number in range(plan["networks"])]
        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                done = list(pool.map(lambda job: self._follow(name, job[0], job[1], config), jobs))
        finally:
            torch.set_num_threads(before)
        left_out = torch.full((len(self.rows), self.committee.outputs), torch.nan)
        for taught in done:
            left_out = torch.where(left_out.isnan(), taught.left_out, left_out)
        return Taught([taught.parts[0] for taught in done], left_out, sum(taught.seconds for taught in done))

    def _networks(self, name: str, seconds: float, workers: int, needed: bool) -> dict[str, int]:
        """Return how many networks to train and for how many steps, from the time of a few steps."""
        config = self.trainer.config
        task, batches = self._network(name, 0)
        steps = len(batches) * config.epochs
        steps = min(steps, config.max_steps or steps)
        optimizer = torch.optim.AdamW(task.parameters(), fused=True)
        times = []
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        for _, batch in zip(range(8), (batch for _ in range(8) for batch in batches.epoch(0)), strict=False):
            start = time.thread_time()  # what others do on a busy machine does not count
            task.loss(batch).backward()
            optimizer.step()
            times.append(time.thread_time() - start)
        torch.set_num_threads(before)
        each = float(np.median(times)) * (TOGETHER if workers > 1 else 1)
        rounds = int(max(0.0, seconds) / (each * steps))
        if rounds:
            return {"networks": min(self.committee.folds, workers * rounds), "max_steps": steps}
        affordable = int(max(0.0, seconds) / each)
        if affordable < WORTHWHILE * steps and not needed:
            return {"networks": 0, "max_steps": 0}
        return {
            "networks": min(self.committee.folds, workers),
            "max_steps": max(1, affordable, int(WORTHWHILE * steps)),
        }

    def _network(self, name: str, number: int) -> tuple[Supervised, PropertyBatches]:
        """Return an untrained network with its task, and the batches of all folds but one."""
        experiment, rest = self.experiment, self.rows[self.fold != number]
        torch.manual_seed(1000 * self.committee.seed + number)
        task = make_task(self._build(name, rest), experiment.task.names, self.kind, experiment.statistics)
        size, encoded = experiment.config.batch_size, self.readings[name]
        seed = self.committee.seed + number
        return task, PropertyBatches(encoded, experiment.table.values, rest, size, seed, shuffle=True)

    def _follow(self, name: str, number: int, job: tuple[Supervised, PropertyBatches], config: Any) -> Taught:
        """Train one network to its last step, or go on where it was interrupted."""
        path, (task, batches) = self.folder / f"{name}_{number}.pt", job
        if path.exists():
            return self._read(path, name)
        folder = self.folder / f"{name}_{number}"
        folder.mkdir(exist_ok=True)
        start = time.thread_time()
        fold = np.flatnonzero(self.fold == number)
        val = replace(batches, indices=self.rows[fold], shuffle=False)
        trainer = Trainer(config, folder, self.trainer.run_config, [], Console(quiet=True))
        trainer.fit(task, batches, val)
        left_out = torch.full((len(self.rows), self.committee.outputs), torch.nan)
        left_out[fold] = self._said(task.model, name, fold)
        taught = self._write(path, Taught([task.model], left_out, time.thread_time() - start))  # type: ignore[list-item]
        shutil.rmtree(folder)
        return taught

    def _build(self, name: str, rows: Rows, **changes: Any) -> Any:
        return self.committee.build_member(name, [self.experiment.table.smiles[row] for row in rows], **changes)

    def _batch(self, name: str, positions: Rows) -> Any:
        return self.readings[name].batch(self.rows[positions])

    def _said(self, model: torch.nn.Module, name: str, positions: Rows) -> Tensor:
        device = next(iter(model.state_dict().values())).device
        with torch.no_grad():
            parts = [
                model.eval()(self._batch(name, part).to(device))
                for part in np.array_split(positions, len(positions) // 256 + 1)
            ]
        return torch.cat(parts).float().cpu()

    def _write(self, path: Path, taught: Taught) -> Taught:
        model = taught.parts[0].cpu()
        content = {"weights": model.state_dict(), "left_out": taught.left_out, "seconds": taught.seconds}
        save_checkpoint(path, content | {"state": json.dumps(model.state())})
        return taught

    def _read(self, path: Path, name: str) -> Taught:
        content = load_checkpoint(path)
        model = self.committee.restore_member(name, json.loads(content["state"]))
        model.load_state_dict(content["weights"])
        return Taught([model], content["left_out"], content["seconds"])

    def _plan(self, name: str = "", entry: dict[str, int] | None = None) -> dict[str, Any]:
        """Return what the clock decided, so that a resumed run does the same; or add an entry and return that."""
        path = self.folder / "plan.json"
        plan = json.loads(path.read_text()) if path.exists() else {}
        if entry is None:
            return plan
        path.write_text(json.dumps(plan | {name: entry}))
        return entry

    def _weigh(self, taught: dict[str, Taught]) -> Tensor:
        """Find the weights, let the committee hold its parts, and say what each member adds."""
        experiment, names = self.experiment, list(taught)
        said = torch.stack([taught[name].left_out for name in names])
        weighing = Weighing(said, self.wanted, self.kind)
        weights = weighing.weights(range(len(names)), np.arange(len(self.rows))).tolist()
        parts = [(name, part) for name in self.committee.members if name in taught for part in taught[name].parts]
        self.committee.take(parts, dict(zip(names, weights, strict=True)), self.kind)
        combined = weighing.nested(self.fold)
        facts = {name: {"models": len(one.parts), "seconds": round(one.seconds, 1)} for name, one in taught.items()}
        self.results = account(weighing, combined, facts, experiment.task, self.values)
        experiment.console.print(shown_account(self.results, experiment.task.monitor))
        return combined
