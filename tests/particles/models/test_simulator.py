from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from molgraph.particles.geometry.space import Box
from molgraph.particles.models.conservative import ConservativeSimulator
from molgraph.particles.models.conservative_grid import ConservativeGridSimulator
from molgraph.particles.models.simulator import GNS
from molgraph.particles.models.state import integrate, inverse_integrate, stack_states
from molgraph.particles.rollout.rollout import rollout

MODELS = {
    "gns": GNS,
    "conservative": ConservativeSimulator,
    "feedback": partial(ConservativeSimulator, feedback=True),
    "grid": ConservativeGridSimulator,
}


@pytest.fixture(params=list(MODELS))
def simulator(request, scale, spoken):
    torch.manual_seed(0)
    return spoken(MODELS[request.param](scale, width=16, blocks=2)).eval()


def make_conservative(name, scale, spoken):
    torch.manual_seed(0)
    blocks = {"conservative": 3, "feedback": 2, "grid": 3}[name]  # forces of 100 g, of which float32 rounds off 1e-8
    return spoken(MODELS[name](scale, width=16, blocks=blocks)).eval()


@pytest.fixture(params=["conservative", "feedback", "grid"])
def conservative(request, scale, spoken):
    return make_conservative(request.param, scale, spoken)


@pytest.fixture(params=["conservative", "feedback"])
def without_grid(request, scale, spoken):
    return make_conservative(request.param, scale, spoken)


def has_grid(simulator):
    return len(getattr(simulator, "context", ())) > 0


def test_the_target_is_the_exact_inverse_of_the_integrator(make_state):
    state = make_state(box=Box((0, 0), (1, 1), (True, True)), dtype=torch.float64)
    acceleration = torch.randn(30, 2, dtype=torch.float64) * 0.01
    torch.testing.assert_close(inverse_integrate(state, integrate(state, acceleration)), acceleration)
    following = torch.rand(30, 2, dtype=torch.float64)
    back = state.box.displacement(integrate(state, inverse_integrate(state, following)), following)
    torch.testing.assert_close(back, torch.zeros_like(back))


def test_normalizing_is_undone(simulator, make_state):
    state, acceleration = make_state(), torch.randn(30, 2) * 0.01
    torch.testing.assert_close(simulator.denormalize(state, simulator.normalize(state, acceleration)), acceleration)


def test_predictions_are_finite_and_permuting_particles_permutes_them(simulator, make_state):
    state = make_state()
    order = torch.randperm(30)
    names = ("positions", "species", "kinematic", "gravity", "graph")
    shuffled = replace(state, **{name: getattr(state, name)[order] for name in names})
    expected = simulator(state)[order]
    assert torch.isfinite(expected).all()
    torch.testing.assert_close(simulator(shuffled), expected, atol=1e-5, rtol=1e-4)


def test_groups_side_by_side_are_the_same_as_one_by_one(simulator, make_state):
    states = [make_state(n, seed=n) for n in (5, 1, 20)]
    together = simulator(stack_states(states))
    torch.testing.assert_close(together, torch.cat([simulator(s) for s in states]), atol=1e-5, rtol=1e-4)


def test_kinematic_particles_never_move(simulator, make_state):
    state = make_state(species=(3, 5))
    assert torch.equal(simulator(state)[state.kinematic], state.positions[state.kinematic, -1])


def test_a_gradient_reaches_every_parameter(simulator, make_state):
    simulator(make_state(species=(3, 5, 6))).square().sum().backward()
    for name, parameter in simulator.named_parameters():
        if name.startswith(f"blocks.{len(simulator.blocks) - 1}.edge") and isinstance(simulator, GNS):
            continue
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_simulator_saves_and_loads_identically(request, simulator, make_state, tmp_path):
    torch.save(simulator.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(1)
    other = MODELS[request.node.callspec.params["simulator"]](simulator.scale, width=16, blocks=2)
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(other(make_state()), simulator(make_state()))


def test_moving_everything_along_a_period_changes_nothing(simulator, make_state):
    box = Box((0, 0), (1, 1), (True, True))
    state = make_state(box=box, dtype=torch.float64)
    shift = [1 / 2, 1 / 3] if has_grid(simulator) else [0.37, 0.81]  # whole cells of a grid
    moved = replace(state, positions=box.wrap(state.positions + torch.tensor(shift)))
    torch.testing.assert_close(simulator.acceleration(moved), simulator.acceleration(state), atol=1e-6, rtol=1e-4)


def test_a_type_that_training_has_not_seen_is_named(make_state):
    with pytest.raises(ValueError, match="type 7"):
        make_state(species=(7,))


@pytest.mark.parametrize("name", ["conservative", "feedback", "grid"])
def test_an_untrained_conservative_simulator_lets_particles_fly_freely(name, scale, make_state):
    state = make_state()
    acceleration = MODELS[name](scale, 16, 2).acceleration(state)
    torch.testing.assert_close(acceleration, state.gravity)


def test_a_wall_under_the_foot_of_a_body_moves_its_top_and_no_other_body(conservative, make_state):
    state = make_state(24, inside=0.45, dtype=torch.float64)
    height = 0.05 + 0.15 * torch.arange(12.0, dtype=torch.float64)  # twelve particles, neighbours 0.15 apart
    column = torch.stack([torch.full_like(height, 0.5), height], dim=1)
    apart = [3.0, 2.0] if has_grid(conservative) else [1.0, 0.5]  # a grid knows of walls beyond the radius
    places = torch.cat([column, column + torch.tensor(apart)])
    state = replace(state, positions=places[:, None].expand(-1, 4, -1), box=Box((-9, 0), (9, 9)))
    high = replace(state, box=Box((-9, -9), (9, 9)))
    change = (conservative.acceleration(state) - conservative.acceleration(high)).norm(dim=1)
    assert change[:12].min() > 1e-7  # the top is eleven neighbours away, beyond the three blocks
    assert change[12:].max() == 0


def test_pair_forces_are_equal_and_opposite(conservative, make_state):
    state = make_state()
    edges = conservative.find_edges(state)
    decoded = conservative.decode_pairs(torch.randn(len(edges.dst), 16))
    pairs = conservative.pairs(state, state.velocities, edges)
    forces = conservative.pair_forces(pairs, decoded).double()
    total, size = forces.sum(0), forces.abs().sum()
    assert size > 0.1 and total.abs().max() < 1e-6 * size


def test_momentum_away_from_walls_changes_by_gravity_alone(conservative, make_state):
    state = make_state(number=60, inside=0.3, dtype=torch.float64)
    acceleration = conservative.acceleration(state)
    gravity = state.gravity[0].double()
    assert (acceleration - gravity).abs().max() > 0.1 * gravity.abs().max()
    drift = (acceleration.double().mean(0) - gravity).norm() / gravity.norm()
    assert drift < 5e-6  # rounding of a network in single precision


def test_momentum_in_a_periodic_box_changes_by_gravity_alone(conservative, make_state):
    box = Box((0, 0), (1, 1), (True, True))
    state = stack_states([make_state(number, seed, box, dtype=torch.float64) for number, seed in ((60, 0), (40, 1))])
    acceleration, gravity = conservative.acceleration(state).double(), state.gravity[0].double()
    assert (acceleration - gravity).abs().max() > 0.1 * gravity.abs().max()
    for part in (acceleration[:60], acceleration[60:]):
        assert (part.mean(0) - gravity).norm() < 1e-6 * gravity.norm()


def moved(state, shift, velocity):
    time = torch.arange(-3.0, 1.0, dtype=torch.float64)[None, :, None]
    return replace(state, positions=state.positions + torch.tensor(shift) + time * torch.tensor(velocity))


def test_far_from_walls_neither_place_nor_common_velocity_matters(without_grid, make_state):
    state = make_state(inside=0.4, dtype=torch.float64)
    expected = without_grid.acceleration(state)
    found = without_grid.acceleration(moved(state, [0.1, -0.1], [0.01, 0.005]))
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-4)


def test_without_walls_neither_whole_cells_nor_common_velocity_matter(conservative, make_state):
    state = make_state(box=Box.open(2), dtype=torch.float64)
    expected = conservative.acceleration(state)
    found = conservative.acceleration(moved(state, [0.32, -0.48], [0.01, 0.005]))
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-4)


def test_a_wall_has_no_effect_beyond_the_radius_and_some_within(without_grid, make_state):
    state = make_state(inside=0.42, dtype=torch.float64)
    open_space = replace(state, box=Box.open(2))
    torch.testing.assert_close(without_grid.acceleration(state), without_grid.acceleration(open_space))
    near = replace(state, box=Box((0.35, 0), (1, 1)))
    assert not torch.allclose(without_grid.acceleration(near), without_grid.acceleration(open_space))


def test_a_pair_that_crosses_the_radius_changes_the_force_continuously(conservative, make_state):
    def first(distance):
        state = make_state(2, inside=0.45, dtype=torch.float64)
        still = torch.tensor([[0.4, 0.5], [0.4 + distance, 0.5]]).double()[:, None].expand(-1, 4, -1)
        return conservative.acceleration(replace(state, positions=still, species=torch.tensor([1, 1])))[0]

    step = (first(0.2 - 1e-7) - first(0.2 + 1e-7)).norm()
    assert step < 1e-2 * (first(0.1) - first(0.3)).norm()


def test_no_particle_of_the_conservative_model_ends_behind_a_wall(conservative, make_state):
    state = make_state()
    fast = replace(state, positions=state.positions + torch.linspace(-0.3, 0, 4)[None, :, None])
    for frame in rollout(conservative, fast, 20):
        assert state.box.outside(frame).max() == 0


def test_a_smaller_skin_rollout_equals_one_that_searches_in_every_step(simulator, make_state):
    state = make_state(dtype=torch.float64)
    plain = torch.stack(list(rollout(simulator, state, 6)))
    torch.testing.assert_close(torch.stack(list(rollout(simulator, state, 6, skin=0.05))), plain, atol=1e-7, rtol=1e-6)


def test_three_dimensions_and_single_particles_work(scale, metadata):
    from molgraph.particles.learning.windows import state_at

    deep = replace(scale, dim=3, **{k: (0.01,) * 3 for k in ("velocity_std", "acceleration_std")})
    deep = replace(deep, velocity_mean=(0.0,) * 3, acceleration_mean=(0.0,) * 3)
    for model in MODELS.values():
        for number in (1, 8):
            positions = torch.rand(number, 4, 3)
            state = state_at(positions, np.full(number, 5), np.zeros(3), metadata, deep, Box((0,) * 3, (1,) * 3))
            assert torch.isfinite(model(deep, 8, 1)(state)).all()
