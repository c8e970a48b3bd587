"""``molgraph rollout``: a run folder and a start to files and pictures.

RUN, start -> state -> rollout -> writers, animation, metrics
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from molgraph.particles.data.scene_file import read_scene
from molgraph.particles.data.simulated import SimulatedSet, species_numbers
from molgraph.particles.data.trajectory import Metadata, ParticleSet
from molgraph.particles.data.writers import FrameWriter, open_writer
from molgraph.particles.experiment import load_simulator, speed
from molgraph.particles.models.relaxation import Relaxed
from molgraph.particles.models.simulator import Simulator
from molgraph.particles.models.state import ParticleState
from molgraph.particles.rollout.evaluation import compare
from molgraph.particles.rollout.metrics import escaped, horizon_errors, kinetic_energy, squared_errors
from molgraph.particles.rollout.plots import plot_rollout
from molgraph.particles.rollout.render import animate
from molgraph.particles.rollout.rollout import Guard, RolloutStopped, rollout, state_from_positions, state_from_scene
from molgraph.training.config import instantiate, read_config
from molgraph.training.hardware.allocator import keep_memory
from molgraph.training.hardware.precision import choose_device, set_precision

PICTURES = (".gif", ".mp4")


@dataclass(frozen=True)
class Start:
    """Where a rollout begins, and what truly followed where that is known."""

    state: ParticleState
    species: np.ndarray
    """Types ``[N]`` as in the data."""
    future: Tensor | None = None
    """True positions ``[N, T, D]``."""
    source: SimulatedSet | None = None
    """The solver that made the truth, where it is at hand: its time is told beside the model's."""


@dataclass
class RolloutSession:
    """One call of ``molgraph rollout``."""

    simulator: Simulator
    metadata: Metadata
    start: Start
    arguments: argparse.Namespace
    console: Console

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "RolloutSession":
        """Load the run and the start that the arguments name."""
        simulator, metadata = load_simulator(arguments.run)
        start = _start(arguments, simulator, metadata)
        if arguments.relax:
            simulator = Relaxed(simulator, arguments.relax)
        return cls(simulator, metadata, start, arguments, Console())

    def run(self) -> bool:
        """Roll out, write, draw, and print what happened; whether it came to its end."""
        state, future = self.start.state, self.start.future
        steps = self.arguments.steps or (future.shape[1] if future is not None else 200)
        paths = [Path(p) for p in self.arguments.out or [str(Path(self.arguments.run) / "rollout.h5")]]
        writers = [self._writer(p) for p in paths if p.suffix not in PICTURES]
        frames, stopped, seconds = self._roll(steps, writers)
        for path in paths:
            if path.suffix in PICTURES and len(frames) > 1:
                self._draw(path, frames)
        self._report(frames, seconds, state)
        for path in paths:
            self.console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
        if stopped:
            self.console.print(str(stopped), style="red", highlight=False, markup=False)
        return stopped is None

    def _roll(self, steps: int, writers: list[FrameWriter]) -> tuple[np.ndarray, RolloutStopped | None, float]:
        device = choose_device(self.arguments.device)
        set_precision("auto", device)
        if device.type == "cpu":
            keep_memory()
        simulator, state = self.simulator.to(device), self.start.state.to(device)
        future = None if self.start.future is None else self.start.future.to(device)
        guard = None if self.arguments.no_guard else Guard()
        frames, stopped, began = [], None, time.perf_counter()
        with Progress(console=self.console) as progress:
            bar = progress.add_task("rollout", total=steps)
            try:
                for frame in rollout(simulator, state, steps, future, guard, self.arguments.skin):
                    frames.append(frame.cpu().numpy())
                    for writer in writers:
                        writer.append(frames[-1])
                    progress.advance(bar)
            except RolloutStopped as error:
                stopped = error
        for writer in writers:
            writer.close()
        return np.array(frames), stopped, time.perf_counter() - began

    def _writer(self, path: Path) -> FrameWriter:
        gravity = self.start.state.gravity[0].numpy() / self.metadata.dt**2
        return open_writer(path, self.start.species, self.start.state.box, self.metadata.dt, gravity)

    def _truth(self, length: int) -> np.ndarray | None:
        if self.start.future is None:
            return None
        return self.start.future.transpose(0, 1).numpy()[:length]

    def _draw(self, path: Path, frames: np.ndarray) -> None:
        truth = self._truth(len(frames))
        panels = {"prediction": frames} if truth is None else {"truth": truth, "prediction": frames}
        panels = {name: self._from_start(moved) for name, moved in panels.items()}
        animate(path, panels, self.start.state.box, self.start.species, self.arguments.color)

    def _from_start(self, frames: np.ndarray) -> np.ndarray:
        """Return the frames with the start before them."""
        return np.concatenate([self.start.state.positions[None, :, -1].numpy(), frames])

    def _report(self, frames: np.ndarray, seconds: float, state: ParticleState) -> None:
        """Print, plot and store what the rollout did."""
        moving, box, folder = ~state.kinematic.numpy(), state.box, Path(self.arguments.run)
        values: dict[str, float] = {"frames": len(frames), "particles": len(state.positions)}
        if len(frames) > 1:
            values["ms_per_step"] = 1e3 * seconds / len(frames)
            values["escaped"] = float(escaped(frames[-1:, moving], box)[-1])
            energy = kinetic_energy(frames[:, moving], box)
            values["kinetic_energy_first"], values["kinetic_energy_last"] = float(energy[0]), float(energy[-1])
            truth = self._truth(len(frames))
            shared = 0 if truth is None else min(len(truth), len(frames))
            if truth is not None and shared > 1:
                frames, truth = frames[:shared], truth[:shared]
                values |= horizon_errors(squared_errors(frames[:, moving], truth[:, moving], box))
                values |= compare(state, frames, truth, self.simulator.scale.radius)
            drawn = None if truth is None or shared < 2 else self._from_start(truth)[:, moving]
            plot_rollout(folder / "rollout.png", box, self._from_start(frames)[:, moving], drawn)
        for name, value in values.items():
            self.console.print(f"{name:22s} {value:.4g}", highlight=False, markup=False)
        if len(frames) > 1 and self.start.source is not None:
            values["solver_ms_per_frame"] = self.start.source.milliseconds(str(choose_device(self.arguments.device)))
            self.console.print(speed(values["ms_per_step"], values["solver_ms_per_frame"]), highlight=False)
        (folder / "rollout.json").write_text(json.dumps(values, indent=2) + "\n")


def _start(arguments: argparse.Namespace, simulator: Simulator, metadata: Metadata) -> Start:
    scale = simulator.scale
    if arguments.atoms:
        from ase.io import read

        from molgraph.particles.rollout.dynamics import state_of_atoms

        atoms: Any = read(arguments.atoms, index=-1)
        return Start(state_of_atoms(atoms, simulator, metadata), atoms.numbers)
    if arguments.scene:
        scene = read_scene(arguments.scene)
        species = species_numbers(scene.species)
        return Start(state_from_scene(scene, metadata, scale, species), species)
    source = None if arguments.set else instantiate(read_config(Path(arguments.run))["data"])
    particles = ParticleSet.open(arguments.set) if source is None else source.ensure()
    trajectories = particles.trajectories(arguments.split)
    if not 0 <= arguments.number < len(trajectories):
        raise ValueError(
            f"--number {arguments.number}: {arguments.split} has trajectories 0 to {len(trajectories) - 1}"
        )
    chosen, past = trajectories[arguments.number], scale.history + 1
    box = particles.metadata.box
    state = state_from_positions(chosen.positions, chosen.species, chosen.gravity, metadata, scale, box)
    rest = torch.from_numpy(chosen.positions[past:].astype(np.float64)).transpose(0, 1)
    future = box.wrap(rest) if len(chosen) > past else None
    return Start(state, chosen.species, future, source if isinstance(source, SimulatedSet) else None)
