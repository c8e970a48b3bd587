"""A run of the learned simulator: data, simulated where it is missing, to a trained model, metrics and pictures.

configuration -> SimulationExperiment -> report;  run folder -> load_simulator -> simulator
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table

from molgraph.particles.data.checks import check_moving, check_radius, check_trajectory, with_statistics
from molgraph.particles.data.simulated import SimulatedSet
from molgraph.particles.data.statistics import relative_motion, suggest
from molgraph.particles.data.trajectory import Metadata, ParticleSet, Trajectory
from molgraph.particles.learning.objective import SimulationTask
from molgraph.particles.learning.settings import SpaceConfig, WindowConfig
from molgraph.particles.learning.windows import Frames, TrainingWindows, ValidationWindows
from molgraph.particles.models.simulator import Scale, Simulator
from molgraph.particles.rollout.evaluation import Evaluation, FreeFlight, evaluate
from molgraph.particles.rollout.plots import plot_rollout
from molgraph.particles.rollout.render import animate
from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.config import checked_target, instantiate, read_config
from molgraph.training.experiment import Experiment


@dataclass(frozen=True)
class FolderSet:
    """A particle set of one's own, in a folder.

    Args:
        folder: holds ``metadata.json`` and ``train.h5, valid.h5, test.h5``.
    """

    folder: str

    def ensure(self) -> ParticleSet:
        """Open the folder."""
        return ParticleSet.open(self.folder)


class SimulationExperiment(Experiment):
    """Learn a simulator from a particle set.

    Args:
        data: ``_target_`` of a set with ``ensure()``: :class:`SimulatedSet` or :class:`FolderSet`.
        model: ``_target_`` and settings of a :class:`Simulator`.
        seed: of weights and windows.
        folder: the run folder.
        console: where to print.
        windows: settings of :class:`WindowConfig`.
        space: settings of :class:`SpaceConfig`.
    """

    task: SimulationTask

    def __init__(
        self,
        data: dict[str, Any],
        model: dict[str, Any],
        seed: int,
        folder: Path,
        console: Console,
        windows: dict[str, Any] | None = None,
        space: dict[str, Any] | None = None,
    ) -> None:
        self.console, self.source, self.model, self.seed = console, instantiate(data), model, seed
        self.windows, self.space = WindowConfig.of(windows or {}), SpaceConfig.of(space or {})
        checked_target(model, scale=None)  # a wrong word is told before minutes of simulation, not after

    def prepare(self) -> Self:
        """Simulate what is missing, check it, find radius and noise, and draw windows."""
        self.data: ParticleSet = self.source.ensure()
        self.metadata = self.data.metadata
        self.trajectories = {split: self.data.trajectories(split) for split in ("train", "valid", "test")}
        self.metadata = with_statistics(self.metadata, self.trajectories["train"], str(self.data.folder))
        self.radius = self._check()
        noise = self.noise()
        types = sorted({int(s) for t in self.trajectories["train"] for s in np.unique(t.species)})
        seen = [trajectory.positions for trajectory in self.trajectories["train"]]
        relative = relative_motion(seen, self.radius, self.metadata.box)
        self.scale = Scale.of(self.metadata, self.radius, self.space.history, noise, types, relative)
        self.task = SimulationTask(self.build_model(self.model), noise, self.windows.through_time)
        self.train = TrainingWindows(
            self._frames("train"),
            self.windows.batch_size,
            self.windows.steps_per_epoch,
            self.seed,
            self.windows.reflect,
            self.windows.unrolls,
            self.windows.unroll_from,
            self.windows.emphasis,
        )
        self.val = ValidationWindows(
            self._frames("valid"), self.windows.validation_steps, self.windows.validation_starts
        )
        return self

    def build_model(self, model: dict[str, Any]) -> Simulator:
        """Return the untrained simulator that a configuration node describes, for the prepared set."""
        return instantiate(model, scale=self.scale)

    def noise(self) -> float:
        """Return the spread of the velocity noise in length per frame."""
        spread = float(np.sqrt(np.mean(np.square(self.metadata.statistics["vel_std"]))))
        return self.space.noise * spread

    def state(self) -> dict[str, Any]:
        """Return scale and metadata, which a rollout needs and the weights do not hold."""
        return {
            "scale": asdict(self.scale) | {"species": list(self.scale.species)},
            "metadata": self.metadata.to_dict(),
        }

    def report(self, folder: Path) -> dict[str, Any]:
        """Return metrics on the test trajectories beside those of free flight; leave a moving picture and a plot."""
        frames = self._frames("test", torch.float64)
        simulator = self.task.simulator
        with self.console.status(f"rolling out {len(frames.trajectories)} held-out trajectories"):  # takes minutes
            found = evaluate(simulator, frames)
            base = evaluate(FreeFlight(self.scale), frames).metrics
        device = str(next(simulator.buffers()).device)
        solver = self.source.milliseconds(device) if isinstance(self.source, SimulatedSet) else None
        judged = {"score": found.metrics["mse_all"], "monitor": "mse_all", "mode": "min"}
        results = judged | {"model": found.metrics, "free_flight": base, "solver_ms_per_frame": solver}
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        self._pictures(folder, found, frames.trajectories[0])
        self.console.print(results_table(found.metrics, base))
        if solver is not None:
            self.console.print(speed(found.metrics["ms_per_step"], solver), highlight=False)
        return results

    def _frames(self, split: str, dtype: torch.dtype = torch.float32) -> Frames:
        return Frames(self.trajectories[split], self.metadata, self.scale, dtype)

    def _check(self) -> float:
        """Refuse bad data, and say what was chosen; returns the radius."""
        box, longest = self.metadata.box, 1 + self.space.history + 1
        for split, trajectories in self.trajectories.items():
            if not trajectories:
                raise ValueError(f"{self.data.folder / split}.h5 holds no trajectory, and each split needs one")
            for number, trajectory in enumerate(trajectories):
                check_moving(trajectory, self.metadata.kinematic, f"{self.data.folder / split}.h5:{number:05d}")
                check_trajectory(trajectory, box, longest, f"{self.data.folder / split}.h5:{number:05d}")
        train = self.trajectories["train"]
        radius = self.space.radius or self.metadata.radius or suggest([t.positions for t in train], box).radius
        neighbors = check_radius(train, radius, box)
        frames = sum(len(t) for t in train)
        self.console.print(
            f"{self.data.folder.name}: {len(train)} trajectories, {frames} frames · radius {radius:.4g} "
            f"({neighbors:.1f} neighbours at the start) · history {self.space.history} · noise {self.noise():.3g} "
            f"per frame ({self.space.noise:g} of the velocity spread)",
            highlight=False,
            markup=False,
        )
        return radius

    def _pictures(self, folder: Path, found: Evaluation, trajectory: Trajectory) -> None:
        panels = {"truth": found.truth, "prediction": found.predicted}
        animate(folder / "rollout.gif", panels, self.metadata.box, trajectory.species)
        moving = ~np.isin(trajectory.species, self.metadata.kinematic)
        plot_rollout(folder / "rollout.png", self.metadata.box, found.predicted[:, moving], found.truth[:, moving])


def speed(model: float, solver: float) -> str:
    """Return milliseconds of a frame by the model and by the solver, side by side, as a sentence."""
    return (
        f"{model:.1f} ms per frame; the real solver takes {solver:.1f} ms on the same device, "
        f"so this model is {solver / model:.2g} times as fast"
    )


def results_table(model: dict[str, float], base: dict[str, float]) -> Table:
    """Return metrics of the model beside those of free flight."""
    table = Table("metric", "model", "free flight", title="held-out trajectories")
    for name in sorted(model):
        other = f"{base[name]:.3g}" if name in base and name != "ms_per_step" else ""
        table.add_row(name, f"{model[name]:.3g}", other)
    return table


def load_simulator(run: str | Path) -> tuple[Simulator, Metadata]:
    """Return the best model of a run folder and the metadata of its data.

    Raises:
        ValueError: no run folder, or a run of another kind.
    """
    run = Path(run)
    config, content = read_config(run), load_checkpoint(run / "best.pt")
    state = yaml.safe_load(content["state"])
    if "scale" not in state:
        raise ValueError(f"{run} holds no particle simulator; give the run folder of one")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in state["scale"].items()}
    scale = Scale(**values)
    simulator: Simulator = instantiate(config["model"], scale=scale)
    SimulationTask(simulator, 0.0).load_state_dict(content["task"])
    return simulator.eval(), Metadata.from_dict(state["metadata"])
