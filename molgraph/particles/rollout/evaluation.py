"""Held-out trajectories against rollouts: every metric, the baseline without forces, and the time of the real solver.

simulator, frames -> evaluate -> {metric: value}, frames to look at
"""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from molgraph.nn.edges import Edges
from molgraph.particles.learning.windows import Frames, ValidationWindows, Window, stack_windows
from molgraph.particles.models.simulator import Simulator
from molgraph.particles.models.state import ParticleState
from molgraph.particles.rollout.metrics import (
    HORIZONS,
    density_deviation,
    escaped,
    horizon_errors,
    kinetic_energy,
    mean_squared_displacement,
    momentum_drift,
    radial_distribution,
    sliced_wasserstein,
    squared_errors,
    time_to_failure,
)
from molgraph.particles.rollout.rollout import rollout


class FreeFlight(Simulator):
    """The baseline: constant velocity plus gravity, no interaction, no walls."""

    def find_edges(self, state: ParticleState) -> Edges:
        """Return no edges."""
        none = torch.zeros(0, dtype=torch.long, device=state.positions.device)
        return Edges(none, none, none, none.new_zeros(len(state.positions) + 1))

    def normalized_acceleration(self, state: ParticleState, edges: Edges) -> Tensor:
        """Return nothing ``[N, D]`` beyond gravity."""
        return torch.zeros_like(state.gravity)

    def center(self, state: ParticleState) -> Tensor:
        """Return gravity."""
        return state.gravity


@dataclass(frozen=True)
class Evaluation:
    """What a simulator does on held-out trajectories."""

    metrics: dict[str, float]
    """Names and values; lengths in the unit of the data."""
    predicted: np.ndarray
    """Frames ``[T, N, D]`` of the rollout of the first trajectory."""
    truth: np.ndarray
    """Its true frames."""


@torch.no_grad()
def evaluate(simulator: Simulator, frames: Frames, steps: int | None = None, starts: int = 6) -> Evaluation:
    """Roll out every trajectory from its first frames to its end, and short rollouts from ``starts`` places along each.

    ``mse_1, 5, 20, 100`` average over the places, because the first frames of many sets are free fall, in which there
    is nothing to predict; ``mse_all`` and all else is about the whole rollouts.

    Args:
        simulator: the model.
        frames: held-out trajectories, best in float64.
        steps: length of the whole rollouts; to the end of the shortest trajectory by default.
        starts: places of the short rollouts.
    """
    count = len(frames.trajectories)
    longest = min(len(t) for t in frames.trajectories) - simulator.scale.history - 1
    steps = min(steps or longest, longest)
    device = next(simulator.buffers()).device
    windows = [frames.window(number, 0, steps) for number in range(count)]
    together = stack_windows(windows).to(device)
    rolled = list(rollout(simulator, together.state, steps, together.future))
    predicted = torch.stack(rolled, dim=1).cpu()
    pieces = predicted.split([len(w.future) for w in windows])
    rows = []
    for window, piece in zip(windows, pieces, strict=True):
        guess, truth = (x.transpose(0, 1).numpy() for x in (piece, window.future))
        rows.append(compare(window.state, guess, truth, simulator.scale.radius))
    metrics = {name: _mean([row[name] for row in rows]) for name in rows[0]}
    metrics |= short_errors(simulator, frames, steps, starts)
    metrics["ms_per_step"] = milliseconds(simulator, windows[0].to(device), min(steps, 20))
    first = windows[0].state.positions[:, -1:]
    guess, truth = (torch.cat([first, p], dim=1).transpose(0, 1).numpy() for p in (pieces[0], windows[0].future))
    return Evaluation(metrics, guess, truth)


def milliseconds(simulator: Simulator, window: Window, steps: int) -> float:
    """Return the wall time in ms of a step of one rollout that runs alone, as a solver does."""
    began = time.perf_counter()
    list(rollout(simulator, window.state, steps, window.future))[-1].cpu()  # a GPU is waited for
    return 1e3 * (time.perf_counter() - began) / steps


def short_errors(simulator: Simulator, frames: Frames, longest: int, starts: int) -> dict[str, float]:
    """Return the squared error after 1, 5, 20 and 100 steps, from ``starts`` places along each trajectory.

    Fewer places where they would be less than ``APART`` frames from each other: they would measure the same.
    """
    horizons = [n for n in HORIZONS if n <= longest]
    if not horizons:
        return {}
    values: dict[str, float] = {}
    device = next(simulator.buffers()).device
    for horizon in horizons:
        if f"mse_{horizon}" in values:
            continue
        reach = max(n for n in horizons if n <= max(20, horizon))
        room = min(frames.starts(number, reach) for number in range(len(frames.trajectories)))
        places = min(starts, 1 + (room - 1) // APART)
        collected = []
        for window in ValidationWindows(frames, reach, places).epoch(0):
            moved = window.to(device)
            moving = ~window.state.kinematic.numpy()
            rolled = torch.stack(list(rollout(simulator, moved.state, reach, moved.future)), dim=0).cpu().numpy()
            truth = window.future.transpose(0, 1).numpy()
            collected.append(squared_errors(rolled[:, moving], truth[:, moving], window.state.box))
        errors = horizon_errors(np.mean(collected, axis=0), horizons)
        values |= {k: v for k, v in errors.items() if k.startswith("mse_") and k[4:].isdigit() and k not in values}
    return values


APART = 10
"""Least number of frames between the places."""


def compare(state: ParticleState, predicted: np.ndarray, truth: np.ndarray, radius: float) -> dict[str, float]:
    """Return every metric of one rollout.

    Args:
        state: where the rollout began.
        predicted: frames ``[T, N, D]``.
        truth: the frames ``[T, N, D]`` that truly followed.
        radius: connectivity radius in the length unit of the data.

    Returns:
        Names and values. ``rdf_error`` and ``msd_error`` are there for a box that is periodic on all axes: the mean
        absolute difference of g(r), and the relative one of the mean squared displacement at the end.
    """
    box, moving = state.box, ~state.kinematic.numpy()
    guess, truth = predicted[:, moving], truth[:, moving]
    values = {"mse_all": float(squared_errors(guess, truth, box).mean())}
    values["time_to_failure"] = float(time_to_failure(guess, truth, box, radius))
    if not np.isfinite(guess).all():
        return values | dict.fromkeys(_LATER, float("nan"))
    energies = [kinetic_energy(x, box) for x in (guess, truth)]
    outside = escaped(guess, box)
    values["sliced_wasserstein_last"] = sliced_wasserstein(guess[-1], truth[-1], box)
    every = range(0, len(guess), max(1, len(guess) // 20))
    values["sliced_wasserstein"] = float(np.mean([sliced_wasserstein(guess[i], truth[i], box) for i in every]))
    if len(guess) > 1:
        values["kinetic_energy_error"] = float(np.abs(energies[0] - energies[1]).mean() / energies[1].mean())
    values["density_deviation"] = float(np.mean([density_deviation(guess[i], truth[i], radius, box) for i in every]))
    values["escaped"] = float(outside[-1])
    values["penetration"] = float(outside.mean())
    past = state.positions.transpose(0, 1).numpy()[-2:, moving]
    free = state.gravity[0].numpy()
    values["momentum_drift"] = momentum_drift(np.concatenate([past, guess]), free, box, radius)
    if all(box.periodic) and len(guess) > 1:
        found, expected = (radial_distribution(x[every.start :: every.step], box)[1] for x in (guess, truth))
        values["rdf_error"] = float(np.abs(found - expected).mean())
        far, farther = (mean_squared_displacement(x, box)[-1] for x in (guess, truth))
        values["msd_error"] = float(abs(far / farther - 1))
    return values


_LATER = (
    "sliced_wasserstein_last",
    "sliced_wasserstein",
    "kinetic_energy_error",
    "density_deviation",
    "escaped",
    "penetration",
    "momentum_drift",
)


def _mean(values: list[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")
