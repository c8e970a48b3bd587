from dataclasses import replace

import numpy as np
import pytest
import torch

from molgraph.particles.data.trajectory import Trajectory
from molgraph.particles.geometry.space import Box
from molgraph.particles.learning.objective import SimulationTask, random_walk_noise
from molgraph.particles.learning.windows import Frames, TrainingWindows, ValidationWindows, Window, mirrored
from molgraph.particles.models.conservative import ConservativeSimulator
from molgraph.particles.models.simulator import GNS
from molgraph.particles.models.state import integrate, inverse_integrate
from molgraph.particles.rollout.evaluation import FreeFlight


@pytest.fixture
def frames(scale, metadata):
    generator = np.random.default_rng(0)
    walks = generator.uniform(0.2, 0.8, (2, 1, 12, 2)) + np.cumsum(generator.normal(0, 0.002, (2, 15, 12, 2)), axis=1)
    species = np.array([5] * 10 + [3] * 2, dtype=np.int32)
    walks[:, :, 10:] = walks[:, :1, 10:]
    sets = [Trajectory(walk.astype(np.float32), species, np.array([0, -9.8])) for walk in walks]
    return Frames(sets, metadata, scale)


@pytest.mark.parametrize("model", [GNS, ConservativeSimulator])
def test_a_model_overfits_one_window(model, scale, frames):
    torch.manual_seed(0)
    # all particles see each other and the walls: forces on a lone particle are not what a conservative model can give
    task = SimulationTask(model(replace(scale, radius=0.8), 32, 2), 0.0)
    window = frames.window(0, 2, 1)
    optimizer = torch.optim.Adam(task.parameters(), 3e-3)
    first = float(task.loss(window).detach())
    for _ in range(150):
        optimizer.zero_grad()
        loss = task.loss(window)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.02 * first


def test_noise_has_the_spread_asked_for_and_leaves_data_and_obstacles_alone(frames):
    torch.manual_seed(0)
    window = frames.window(0, 0, 1)
    before = window.state.positions.clone()
    noisy = [random_walk_noise(window.state, 0.01) for _ in range(300)]
    assert torch.equal(window.state.positions, before)
    moving = ~window.state.kinematic
    difference = torch.stack([n.velocities - window.state.velocities for n in noisy])
    assert float(difference[:, moving, -1].std()) == pytest.approx(0.01, rel=0.03)
    assert float(difference[:, moving, 0].std()) == pytest.approx(0.01 / 3**0.5, rel=0.03)
    assert all(torch.equal(n.positions[~moving], before[~moving]) for n in noisy)
    assert all(torch.equal(n.positions[:, 0], before[:, 0]) for n in noisy)


def test_the_target_undoes_velocity_noise_but_not_position_noise(scale, frames):
    task, window = SimulationTask(GNS(scale, 8, 1), 0.01), frames.window(0, 0, 1)
    noisy = random_walk_noise(window.state, 0.01)
    following = integrate(noisy, task.target(window, noisy))
    true_velocity = window.future[:, 0] - window.state.positions[:, -1]
    torch.testing.assert_close(following - noisy.positions[:, -1], true_velocity, atol=1e-6, rtol=1e-4)
    clean = inverse_integrate(window.state, window.future[:, 0])
    torch.testing.assert_close(task.target(window, window.state), clean, atol=1e-7, rtol=1e-4)


def test_kinematic_particles_play_no_role_in_the_loss(scale, frames):
    torch.manual_seed(0)
    task, window = SimulationTask(GNS(scale, 8, 1), 0.0), frames.window(0, 0, 1)
    moved = Window(window.state, window.future + window.state.kinematic[:, None, None] * 0.3)
    assert torch.equal(task.loss(window), task.loss(moved))


def test_the_pushforward_learns_from_the_state_that_the_model_itself_reaches(scale, frames, spoken):
    task, window = SimulationTask(spoken(ConservativeSimulator(scale, 8, 1)), 0.0), frames.window(0, 0, 3)
    loss = task.loss(window)
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)
    perfect = frames.window(0, 2, 1)
    assert not torch.equal(loss, task.loss(perfect))


def test_through_time_the_errors_of_all_steps_count_and_have_gradients(scale, frames):
    class Pushes(FreeFlight):
        """Free flight with a constant acceleration too much."""

        def __init__(self, scale):
            super().__init__(scale)
            self.push = torch.nn.Parameter(torch.tensor([2e-4, -1e-4], dtype=torch.float64))

        def normalized_acceleration(self, state, edges):
            return (self.push / self.spread).expand_as(state.gravity)

    frames = replace(frames, dtype=torch.float64)
    state = replace(frames.window(0, 0, 1).state, kinematic=torch.zeros(12, dtype=torch.bool))
    flight = [state]
    for _ in range(3):
        flight.append(flight[-1].advanced(integrate(flight[-1], flight[-1].gravity)))
    window = Window(state, torch.stack([f.positions[:, -1] for f in flight[1:]], dim=1))
    task = SimulationTask(Pushes(scale), 0.0, through_time=True)
    loss = task.loss(window)
    loss.backward()
    push, spread = task.simulator.push.detach(), task.simulator.spread
    off = [k * (k + 1) / 2 / k**1.5 / spread for k in (1, 2, 3)]  # constant acceleration, in the units of each step
    assert float(loss.detach()) == pytest.approx(float(sum((f * push).square().sum() for f in off) / 3))
    torch.testing.assert_close(task.simulator.push.grad, sum(2 * f.square() * push for f in off) / 3)


def test_through_time_one_step_is_the_plain_loss(scale, frames):
    window = frames.window(0, 0, 1)
    task = SimulationTask(GNS(scale, 8, 1), 0.01, through_time=True)
    torch.manual_seed(0)
    plain = task.loss(window)
    torch.manual_seed(0)
    torch.testing.assert_close(task._rollout_loss(window), plain, rtol=1e-3, atol=1e-6)


def test_an_epoch_is_a_function_of_its_number(frames):
    batches = TrainingWindows(frames, batch_size=3, steps_per_epoch=4, seed=1, unrolls=(1, 1))
    first, again, other = list(batches.epoch(2)), list(batches.epoch(2)), list(batches.epoch(3))
    assert len(first) == len(batches) == 4
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.state.positions, b.state.positions) and torch.equal(a.future, b.future)
    assert any(
        not torch.equal(a.future, b.future)
        for a, b in zip(first, other, strict=True)
        if a.future.shape == b.future.shape
    )


def test_emphasis_draws_windows_in_proportion_to_what_particles_feel(frames):
    spread = TrainingWindows(frames, batch_size=1, seed=0, reflect=False, emphasis=1.0)._lottery(1)
    felt = np.concatenate([frames.felt(i)[: frames.starts(i, 1)] for i in range(len(frames.trajectories))])
    np.testing.assert_allclose(np.diff(spread.cumulative, prepend=0), felt / felt.sum(), atol=1e-12)
    generator = np.random.default_rng(0)
    places = [spread.draw(generator) for _ in range(20_000)]
    drawn = np.bincount([spread.firsts[n] + start for n, start in places], minlength=len(felt))
    assert np.corrcoef(drawn, felt)[0, 1] > 0.9
    even = TrainingWindows(frames, batch_size=1)._lottery(2)
    assert {even.draw(generator) for _ in range(500)} <= {
        (n, s) for n in range(len(frames.trajectories)) for s in range(frames.starts(n, 2))
    }


def test_a_mirrored_window_is_a_window_of_the_mirrored_world(frames):
    window = frames.window(0, 0, 2)
    sides = [mirrored(window, np.random.default_rng(seed)) for seed in range(8)]
    flipped = [s for s in sides if not torch.equal(s.future, window.future)]
    assert 0 < len(flipped) < 8
    for side in flipped:
        torch.testing.assert_close(side.future[..., 0], 1 - window.future[..., 0])
        assert torch.equal(side.future[..., 1], window.future[..., 1]), "gravity has a direction"
    periodic = replace(window.state, box=Box((0, 0), (1, 1), (True, True)))
    for seed in range(8):
        side = mirrored(Window(periodic, window.future), np.random.default_rng(seed))
        assert ((side.state.positions >= 0) & (side.state.positions < 1)).all()
        sign = side.state.velocities / periodic.velocities
        torch.testing.assert_close(sign[:10], sign[:1, :1].expand(10, *sign.shape[1:]), atol=1e-3, rtol=0)


def test_checkpoints_are_judged_by_rollouts(scale, frames, spoken):
    task = SimulationTask(spoken(ConservativeSimulator(scale, 8, 1)), 0.0)
    metrics = task.evaluate(ValidationWindows(frames, 5, 2).epoch(0))
    assert task.monitor in metrics and metrics["rollout_error"] > metrics["error_1"] > 0


def test_a_trajectory_too_short_for_the_validation_is_named(frames):
    with pytest.raises(ValueError, match="too few to roll out 50"):
        ValidationWindows(frames, 50)
