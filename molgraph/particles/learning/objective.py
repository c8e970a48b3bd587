"""How a simulator learns: predict the acceleration under noise that resembles its own errors; be judged by rollouts.

window -> noise or pushforward -> squared error of the acceleration;  windows -> rollout -> error
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from molgraph.particles.learning.windows import Window
from molgraph.particles.models.simulator import Simulator
from molgraph.particles.models.state import ParticleState, inverse_integrate
from molgraph.training.task import Task


def random_walk_noise(state: ParticleState, spread: float) -> ParticleState:
    """Return the state with a random walk added to its velocities (Sanchez-Gonzalez et al. 2020, section 4.3).

    The velocity noise of the newest frame has standard deviation ``spread``; positions receive its sum. The oldest
    position and kinematic particles receive none, and the given state is left as it is.
    """
    moving = (~state.kinematic)[:, None, None]
    number, frames, dim = state.positions.shape
    step = spread / (frames - 1) ** 0.5
    steps = torch.randn(number, frames - 1, dim, device=state.positions.device, dtype=state.positions.dtype) * step
    shift = torch.cumsum(torch.cumsum(steps, dim=1), dim=1) * moving
    shift = torch.cat([torch.zeros_like(shift[:, :1]), shift], dim=1)
    return replace(state, positions=state.box.wrap(state.positions + shift))


def mean_huber(error: Tensor, moving: Tensor) -> Tensor:
    """Return the mean over ``moving`` particles ``[N]`` of the Huber loss of ``error [N, D]``, summed over axes.

    Squared up to two spreads, linear beyond: a few impacts would otherwise outshout everything that flows.
    """
    loss = 2 * F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=2.0)
    counted = moving.to(loss.dtype)
    return (loss.sum(1) * counted).sum() / counted.sum().clamp(min=1)


def take_step(simulator: Simulator, state: ParticleState, truth: Tensor) -> ParticleState:
    """Return one step of the simulator; kinematic particles go where ``truth`` ``[N, D]`` has them."""
    following = simulator(state)
    return state.advanced(torch.where(state.kinematic[:, None], truth, following))


class SimulationTask(Task):
    """Learn to advance particles by one frame; checkpoints are chosen by the error of rollouts.

    The target is the acceleration that gives the particle its true velocity in the next frame. An error in position, be
    it noise or the model's own after a pushforward, moves the target along: the model learns to correct velocities.

    Args:
        simulator: the model.
        noise: spread of the velocity noise in length per frame.
        through_time: learn windows of several frames from the error after each of them, with gradients through all
            steps; otherwise only the last step is learned (pushforward).
    """

    simulator: Simulator
    monitor = "rollout_error"
    mode = "min"

    def __init__(self, simulator: Simulator, noise: float, through_time: bool = False) -> None:
        super().__init__()
        self.simulator = simulator
        self.noise = noise
        self.through_time = through_time

    def terms(self, batch: Window) -> Tensor:
        """Return the number of moving particles."""
        return (~batch.state.kinematic).sum().float()

    def loss(self, batch: Window) -> Tensor:
        """Return the mean over moving particles of the Huber error in normalized accelerations, summed over axes."""
        if batch.future.shape[1] > 1 and self.through_time:
            return self._rollout_loss(batch)
        state, steps = batch.state, batch.future.shape[1]
        if steps == 1:
            state = random_walk_noise(state, self.noise)
        with torch.no_grad():
            for reached, _ in self._steps(state, batch.future[:, :-1]):
                state = reached
        edges = self.simulator.find_edges(state)
        predicted = self.simulator.normalized_acceleration(state, edges)
        target = self.simulator.normalize(state, self.target(batch, state)).to(predicted.dtype)
        return mean_huber(predicted - target, ~state.kinematic)

    def _rollout_loss(self, batch: Window) -> Tensor:
        """Return errors of a rollout, each over what random accelerations of one spread add up to by then."""
        state = random_walk_noise(batch.state, self.noise)
        shift = state.box.displacement(state.positions[:, -1], batch.state.positions[:, -1])
        losses = []
        for step, (_, apart) in enumerate(self._steps(state, batch.future), 1):
            # as after one step, the noise in velocities is to be corrected and that in places is not
            losses.append(mean_huber((apart - shift) / self.simulator.spread / step**1.5, ~state.kinematic))
        return torch.stack(losses).mean()

    def _steps(self, state: ParticleState, future: Tensor) -> Iterator[tuple[ParticleState, Tensor]]:
        """Yield each state that is reached, and how far ``[N, D]`` it is from that of ``future`` ``[N, K, D]``."""
        for truth in future.unbind(1):
            state = take_step(self.simulator, state, truth)
            yield state, state.box.displacement(state.positions[:, -1], truth)

    def target(self, batch: Window, state: ParticleState) -> Tensor:
        """Return the acceleration ``[N, D]`` from ``state`` to the last future frame, in length per frame squared."""
        now = batch.state.positions[:, -1] if batch.future.shape[1] == 1 else batch.future[:, -2]
        error = state.box.displacement(state.positions[:, -1], now)
        return inverse_integrate(state, batch.future[:, -1] + error)

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Window]) -> dict[str, float]:
        """Return the root mean squared error of the rollout and of its steps 1 and 20, in connectivity radii."""
        errors = torch.stack([self._rollout_errors(batch) for batch in batches]).mean(0)
        chosen = {"rollout_error": errors.mean(), "error_1": errors[0], "error_20": errors[min(19, len(errors) - 1)]}
        return {name: float(value.sqrt()) / self.simulator.scale.radius for name, value in chosen.items()}

    def _rollout_errors(self, batch: Window) -> Tensor:
        """Return the mean squared error ``[K]`` of each step of a rollout."""
        moving, errors = ~batch.state.kinematic, []
        for _, apart in self._steps(batch.state, batch.future):
            # a rollout that leaves the numbers is worse than any that stays, and must still compare with others
            errors.append(torch.nan_to_num(apart[moving].square().sum(1).mean(), nan=1e6, posinf=1e6).clamp(max=1e6))
            if not bool(errors[-1] < 1e6):
                return torch.stack(errors + errors[-1:] * (batch.future.shape[1] - len(errors)))
        return torch.stack(errors)
