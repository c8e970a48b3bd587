"""What a rollout did, over time: error, kinetic energy; for periodic boxes structure and diffusion.

predicted frames, true frames -> plot_rollout -> PNG
"""

from pathlib import Path
from typing import Any

import numpy as np

from molgraph.particles.geometry.space import Box
from molgraph.particles.rollout.metrics import (
    kinetic_energy,
    mean_squared_displacement,
    radial_distribution,
    squared_errors,
)


def plot_rollout(path: str | Path, box: Box, predicted: np.ndarray, truth: np.ndarray | None) -> Path:
    """Draw a rollout beside the truth, where that is known.

    Args:
        path: where to write.
        box: periods and walls.
        predicted: frames ``[T, N, D]`` of the moving particles, from the start on.
        truth: the same, or None.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rollouts = {"prediction": predicted} if truth is None else {"truth": truth, "prediction": predicted}
    panels = [_errors] if truth is not None else []
    panels += [_energy] + ([_structure, _diffusion] if all(box.periodic) else [])
    figure = Figure(figsize=(4 * len(panels), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axis, rollouts, box)
    figure.savefig(str(path), dpi=120)
    return Path(path)


def _errors(axis: Any, rollouts: dict[str, np.ndarray], box: Box) -> None:
    errors = squared_errors(rollouts["prediction"], rollouts["truth"], box)
    axis.semilogy(np.arange(1, len(errors)), np.maximum(errors[1:], 1e-12))  # there is none at the start
    axis.set(xlabel="step", ylabel="mean squared error of positions")


def _energy(axis: Any, rollouts: dict[str, np.ndarray], box: Box) -> None:
    for name, frames in rollouts.items():
        axis.plot(np.arange(1, len(frames)), kinetic_energy(frames, box), label=name)
    axis.set(xlabel="step", ylabel="kinetic energy per mass and frame²")
    axis.legend()


def _structure(axis: Any, rollouts: dict[str, np.ndarray], box: Box) -> None:
    for name, frames in rollouts.items():
        axis.plot(*radial_distribution(frames[:: max(1, len(frames) // 20)], box), label=name)
    axis.set(xlabel="r", ylabel="g(r)")


def _diffusion(axis: Any, rollouts: dict[str, np.ndarray], box: Box) -> None:
    for name, frames in rollouts.items():
        axis.plot(mean_squared_displacement(frames, box), label=name)
    axis.set(xlabel="step", ylabel="mean squared displacement")
