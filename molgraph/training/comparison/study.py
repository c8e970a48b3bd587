"""Several models on one split, each with the same budget: ``candidates -> tuning -> seeds -> comparison``.

Every candidate gets the width that brings it to the same number of parameters, the same passes over the same molecules
and the same number of tuning trials, judged on the validation part. The best settings are trained once for each seed.
A candidate can be read again with other settings of prediction, such as the average over random writings.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import yaml
from rich.console import Console
from torch import nn

from molgraph.training.checkpoint import load_checkpoint, save_checkpoint
from molgraph.training.comparison.budget import Budget, match
from molgraph.training.comparison.others import sizes_of
from molgraph.training.comparison.page import show, to_results, write
from molgraph.training.comparison.runs import MEASURES, compare, mode_of
from molgraph.training.comparison.search import Settings, sampler
from molgraph.training.config import check_keys, instantiate, value_at, with_values
from molgraph.training.experiment import Experiment
from molgraph.training.run import train
from molgraph.training.supervised import Supervised
from molgraph.training.trainer import Trainer

QUIET = Console(quiet=True)


@dataclass(frozen=True)
class Candidate:
    """A model that takes part.

    Attributes:
        model: its configuration.
        width: keys that scale its size, each with its factor; empty for a model without a width.
        step: widths are multiples of it, so that attention heads divide them.
        search: keys that are tuned, each with its range (see ``training.search``).
        again: further rows from the same weights: a label, and the keys that differ in prediction.
    """

    model: dict[str, Any]
    width: dict[str, int] = field(default_factory=dict)
    step: int = 8
    search: dict[str, Any] = field(default_factory=dict)
    again: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One set of settings of one candidate, and how it did on the validation part."""

    candidate: str
    number: int
    settings: Settings
    width: int
    parameters: int
    score: float
    seconds: float
    folder: str


class Study(Experiment):
    """Compare models at equal budgets, in one run folder that can be resumed.

    Args:
        data: configuration of the data, the same for all.
        model: not used: the candidates bring their own.
        seed: of the search; the runs have the seeds of the budget.
        folder: run folder; the runs lie below it, each as ``molgraph train`` leaves it.
        console: where progress is shown.
        run: configuration of the task that each candidate learns.
        budget: keys of :class:`Budget`.
        candidates: keys of :class:`Candidate`, by label.
    """

    def __init__(
        self,
        data: dict[str, Any],
        model: dict[str, Any] | None,
        seed: int,
        folder: Path,
        console: Console,
        run: dict[str, Any],
        budget: dict[str, Any],
        candidates: dict[str, Any],
    ) -> None:
        self.data, self.seed, self.folder, self.console, self.run = data, seed, folder, console, run
        self.budget = Budget(**check_keys("task.budget", Budget, budget))
        self.candidates = {
            label: Candidate(**check_keys(f"task.candidates.{label}", Candidate, node))
            for label, node in candidates.items()
            if node is not None
        }
        if not self.candidates:
            raise ValueError("a comparison needs task.candidates; this one has none")
        self.runs: list[Path] = []
        self.trials: list[Trial] = []
        self.sized: Experiment | None = None
        self.logger: dict[str, Any] = {"kind": "csv"}

    def prepare(self) -> Self:
        """Leave the data to the runs: each prepares its own."""
        return self

    def build_model(self, model: dict[str, Any]) -> nn.Module:
        """Return the untrained model of a candidate; the data are read once, for all of them."""
        return self._prepared().build_model(model)

    def _prepared(self) -> Experiment:
        """Return the experiment of the first candidate, which knows the data."""
        if self.sized is None:
            with TemporaryDirectory() as folder:
                self.sized = self._experiment(self._config(next(iter(self.candidates)), {}), Path(folder)).prepare()
        return self.sized

    def _check_comparable(self) -> None:
        """Refuse before any training what could not be compared after it.

        Raises:
            ValueError: a property that is judged by a metric of one's own.
        """
        task = self._prepared().task
        if isinstance(task, Supervised) and task.monitor not in MEASURES:
            known = ", ".join(MEASURES)
            raise ValueError(f"a comparison knows {known}, and these runs are judged by {task.monitor}")

    def fit(self, trainer: Trainer) -> None:
        """Tune and train every candidate; what an earlier call has finished is not repeated."""
        self.logger = {"kind": "csv", **trainer.run_config.get("logger", {})}
        if self.logger["kind"] != "csv":
            self.logger |= {"name": None, "group": self.logger.get("group") or self.folder.name}
        configs = {label: self._config(label, asdict(trainer.config)) for label in self.candidates}
        self._check_comparable()
        for label, candidate in self.candidates.items():  # a budget out of reach is said before any training
            self._width(label, candidate, configs[label])
        for label, candidate in self.candidates.items():
            self._take_part(label, candidate, configs[label])
        (self.folder / "trials.json").write_text(json.dumps([asdict(trial) for trial in self.trials], indent=2) + "\n")

    def report(self, folder: Path) -> dict[str, Any]:
        """Compare the runs with the best settings: print the table, write it as Markdown, CSV and HTML."""
        monitor, rows = compare(self.runs)
        show(self.console, monitor, rows)
        budget = f"{self.budget.parameters:,} parameters, {self.budget.trials} tuning trials"
        paths = write(folder, monitor, rows, f"{self.data.get('name') or self.data.get('path')}: {budget}")
        self.console.print("written: " + ", ".join(map(str, paths)), highlight=False, markup=False, soft_wrap=True)
        best = {label: self._best(label).score for label in self.candidates}
        mode = mode_of(json.loads((self.runs[0] / "results.json").read_text()))
        score = min(best.values()) if mode == "min" else max(best.values())
        results = {"score": score, "monitor": monitor, "mode": mode, "validation": best} | {"models": to_results(rows)}
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        return results

    def _config(self, label: str, trainer: dict[str, Any]) -> dict[str, Any]:
        """Return what ``molgraph train`` would resolve to for a candidate as it is configured."""
        model = self.candidates[label].model
        config = {"data": self.data, "model": model, "task": self.run, "trainer": trainer, "logger": self.logger}
        return config | {"seed": self.budget.seeds[0], "label": label}

    def _take_part(self, label: str, candidate: Candidate, config: dict[str, Any]) -> None:
        """Tune a candidate, and run it with the best settings once for each seed."""
        self._tune(label, candidate, config)
        best = self._best(label)
        chosen = self._with(candidate, config, best.settings, best.width)
        for seed in self.budget.seeds:
            folder = Path(best.folder) if seed == self.budget.seeds[0] else self._place(label, f"seed_{seed}")
            results = self._run(with_seed(chosen, seed), folder)
            self.runs.append(folder)
            for name, changes in candidate.again.items():
                self.runs.append(self._read_again(folder, self._place(name, f"seed_{seed}"), name, changes))
            self._say(label, f"seed {seed}", results)

    def _tune(self, label: str, candidate: Candidate, config: dict[str, Any]) -> None:
        """Try settings; a model without a search space has one trial."""
        start = {key: value_at(config, key) for key in candidate.search}
        search = sampler(self.budget.sampler, candidate.search, start, self.seed, "min")
        for number in range(self.budget.trials if candidate.search else 1):
            settings = search.ask()
            folder = self._place(label, f"trial_{number}")
            width = self._width(label, candidate, with_values(config, settings))
            results = self._run(self._with(candidate, config, settings, width), folder)
            better_is_smaller = 1.0 if mode_of(results) == "min" else -1.0
            search.tell(settings, better_is_smaller * results["score"])
            trial = Trial(
                label, number, settings, width, results["parameters"], results["score"], results["seconds"], str(folder)
            )
            self.trials.append(trial)
            changed = ", ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in settings.items())
            self._say(label, f"trial {number + 1}" + (f" ({changed})" if changed else ""), results)

    def _best(self, label: str) -> Trial:
        trials = [trial for trial in self.trials if trial.candidate == label]
        choose = min if mode_of(json.loads((Path(trials[0].folder) / "results.json").read_text())) == "min" else max
        return choose(trials, key=lambda trial: trial.score)

    def _with(self, candidate: Candidate, config: dict[str, Any], settings: Settings, width: int) -> dict[str, Any]:
        sizes = {key: factor * width for key, factor in candidate.width.items()}
        return with_values(config, settings | sizes)

    def _width(self, label: str, candidate: Candidate, config: dict[str, Any]) -> int:
        if not candidate.width:
            return 0

        def count(width: int) -> int:
            return self._parameters(self._with(candidate, config, {}, width))

        try:
            return match(count, self.budget.parameters, self.budget.tolerance, candidate.step)
        except ValueError as error:
            raise ValueError(f"task.candidates.{label}: {error}") from error

    def _experiment(self, config: dict[str, Any], folder: Path) -> Experiment:
        return instantiate(
            config["task"],
            data=config["data"],
            model=config["model"],
            seed=config["seed"],
            folder=folder,
            console=QUIET,
        )

    def _parameters(self, config: dict[str, Any]) -> int:
        return sum(p.numel() for p in self.build_model(config["model"]).parameters() if p.requires_grad)

    def _place(self, label: str, name: str) -> Path:
        return self.folder / f"{label}_{name}".replace(" ", "_")

    def _run(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Train, or go on with, or only read, the run in ``folder``."""
        done = folder / "results.json"
        results = json.loads(done.read_text()) if done.exists() else train(config, folder, QUIET)
        return results | sizes_of(folder, results)

    def _read_again(self, source: Path, folder: Path, label: str, changes: dict[str, Any]) -> Path:
        """Report the weights of a finished run with other settings of prediction, in a run folder of its own."""
        if (folder / "results.json").exists():
            return folder
        folder.mkdir(exist_ok=True)
        config = with_values(yaml.safe_load((source / "config.yaml").read_text()), changes) | {"label": label}
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        experiment = self._experiment(config, folder).prepare()
        weights = load_checkpoint(source / "best.pt")
        experiment.task.load_state_dict(weights["task"])
        texts = {"config": yaml.safe_dump(config), "state": yaml.safe_dump(experiment.state(), sort_keys=False)}
        save_checkpoint(folder / "best.pt", weights | texts)
        shutil.copy(source / "last.pt", folder / "last.pt")  # the time that the training took
        experiment.report(folder)
        return folder

    def _say(self, label: str, what: str, results: dict[str, Any]) -> None:
        self.console.print(
            f"{label}, {what}: {results['parameters']:,} parameters, {results['seconds']:.0f} s, "
            f"validation {results['monitor'].upper()} {results['score']:.4g}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def with_seed(config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the configuration of the same run with another seed."""
    model = config["model"] | ({"seed": seed} if "seed" in config["model"] else {})
    return config | {"seed": seed, "model": model}


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
