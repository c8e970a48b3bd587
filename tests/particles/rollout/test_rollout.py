from dataclasses import replace

import numpy as np
import pytest
import torch

from molgraph.particles.data.scene_file import read_scene, scene_from_dict
from molgraph.particles.data.simulated import species_numbers
from molgraph.particles.models.conservative import ConservativeSimulator
from molgraph.particles.models.relaxation import Relaxed
from molgraph.particles.rollout.evaluation import FreeFlight
from molgraph.particles.rollout.rollout import Guard, RolloutStopped, rollout, state_from_positions, state_from_scene

SCENE = {
    "box": [[0, 1], [0, 1]],
    "gravity": [0, -9.8],
    "spacing": 0.05,
    "blocks": [{"material": "water", "center": [0.5, 0.6], "half": [0.2, 0.1], "velocity": [1, 0]}],
    "obstacles": [{"center": [0.5, 0.2], "half": [0.2, 0.025], "angle": 20}],
}


@pytest.fixture
def simulator(scale, spoken):
    torch.manual_seed(0)
    return spoken(ConservativeSimulator(scale, 8, 1))


def test_a_scene_starts_with_a_past_in_free_flight(metadata, scale):
    scene = scene_from_dict(SCENE)
    state = state_from_scene(scene, metadata, scale, species_numbers(scene.species))
    assert state.kinematic.sum() == (scene.species == "obstacle").sum() > 0
    flying = FreeFlight(scale)
    frames = torch.stack(list(rollout(flying, state, 5)))
    moving = ~state.kinematic
    fall = frames[:, moving] - frames[:1, moving]
    steps = torch.arange(5.0)[:, None].double()
    np.testing.assert_allclose(fall[:, 0, 0], 0.01 * steps[:, 0], atol=1e-12)
    acceleration = fall[:, 0, 1].diff().diff()
    np.testing.assert_allclose(acceleration, -9.8 * 0.01**2, rtol=1e-6)


def test_more_steps_more_particles_and_another_box_than_in_training_work(simulator, metadata, scale):
    wide = SCENE | {"box": [[0, 4], [0, 2]], "blocks": [{"center": [2, 1], "half": [1.5, 0.5]}]}
    scene = scene_from_dict(wide)
    state = state_from_scene(scene, metadata, scale, species_numbers(scene.species))
    assert len(state.positions) > 1000 and state.box.upper == (4, 2)
    for frame in rollout(simulator, state, 3, guard=Guard()):
        assert torch.isfinite(frame).all()


def test_the_guard_stops_at_the_bad_frame_and_keeps_the_last_good_state(simulator, make_state):
    class Breaks(FreeFlight):
        def normalized_acceleration(self, state, edges):
            gone = state.positions[:, -1].sum() * torch.nan
            return torch.zeros_like(state.gravity) + (gone if self.kind == "nan" and self.left == 0 else 0.0)

        def constrain(self, state, following):
            self.left -= 1
            push = {"escape": 5.0, "energy": 0.45}.get(self.kind, 0.0) if self.left < 0 else 0.0
            sign = -1.0 if self.left % 2 else 1.0
            return following + sign * push

    for kind, word in (("nan", "not a number"), ("escape", "outside the box"), ("energy", "kinetic energy")):
        broken = Breaks(simulator.scale)
        broken.kind, broken.left = kind, 2
        state = make_state(inside=0.48)
        seen = []
        with pytest.raises(RolloutStopped, match=word) as stopped:
            for frame in rollout(broken, state, 10, guard=Guard(energy=5.0, escape=0.5 if kind != "energy" else 99)):
                seen.append(frame)
        assert stopped.value.frame == len(seen) == 2
        assert torch.equal(stopped.value.state.positions[:, -1], seen[-1])


def test_the_guard_stops_particles_that_fall_into_a_heap(scale, metadata):
    class Gathers(FreeFlight):
        """Draws all particles together by half of the way in each frame."""

        def find_edges(self, state):
            return state.edges(self.scale.radius)

        def constrain(self, state, following):
            return following.lerp(following.mean(0), 0.5)

    lattice = torch.cartesian_prod(*[torch.linspace(0.05, 0.95, 20, dtype=torch.float64)] * 2)
    positions = lattice[None].repeat(2, 1, 1).numpy()
    state = state_from_positions(positions, np.full(400, 5), np.zeros(2), metadata, scale)
    seen = []
    with pytest.raises(RolloutStopped, match=r"heap: \d+ neighbours each, \d+ are usual") as stopped:
        for frame in rollout(Gathers(scale), state, 10, guard=Guard(energy=1e9)):
            seen.append(frame)
    assert stopped.value.frame == len(seen) > 0
    torch.testing.assert_close(stopped.value.state.positions[:, -1], seen[-1])


def test_kinematic_particles_follow_the_given_path(simulator, make_state):
    state = make_state(species=(3, 5))
    path = state.positions[:, -1:] + torch.linspace(0, 0.1, 4)[None, :, None]
    last = list(rollout(simulator, state, 4, truth=path))[-1]
    torch.testing.assert_close(last[state.kinematic], state.box.wrap(path[:, -1])[state.kinematic])


def test_a_start_with_one_frame_stands_still_before_it(metadata, scale):
    state = state_from_positions(np.random.rand(1, 6, 2), np.full(6, 5), np.zeros(2), metadata, scale)
    assert state.velocities.abs().max() == 0
    two = state_from_positions(np.array([[[0.5, 0.5]], [[0.51, 0.5]]]), np.array([5]), np.zeros(2), metadata, scale)
    torch.testing.assert_close(two.velocities[0, :, 0], torch.full((3,), 0.01, dtype=torch.float64))
    with pytest.raises(ValueError, match="2 dimensions"):
        state_from_positions(np.zeros((5, 6, 3)), np.full(6, 5), np.zeros(3), metadata, scale)


def test_density_relaxation_spreads_a_clump_and_keeps_its_momentum(scale, make_state):
    state = make_state(40, inside=0.35, species=(5,), dtype=torch.float64)
    relaxed = Relaxed(FreeFlight(scale), steps=3, strength=0.05)
    relaxed._rest = torch.tensor(2.0, dtype=torch.float64)
    before, after = state.positions[:, -1], relaxed(state)
    plain = FreeFlight(scale)(state)
    torch.testing.assert_close(after.mean(0), plain.mean(0), atol=1e-9, rtol=0)
    assert torch.pdist(after).min() > torch.pdist(before).min()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bloks": []}, "unknown keys"),
        ({"blocks": [{"center": [0.5], "half": [0.1, 0.1]}]}, "2 entries"),
        ({"blocks": [{"center": [0.95, 0.5], "half": [0.2, 0.1]}]}, "outside the box on axis 0"),
        ({"blocks": SCENE["blocks"] * 2}, "are both at"),
    ],
)
def test_a_wrong_scene_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        scene_from_dict(SCENE | change)


def test_a_missing_scene_file_and_an_unknown_material_are_named(tmp_path):
    with pytest.raises(ValueError, match="no scene file"):
        read_scene(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="lava"):
        species_numbers(["water", "lava"])


def test_states_in_different_boxes_are_not_mixed(make_state):
    from molgraph.particles.models.state import stack_states

    other = replace(make_state(), box=replace(make_state().box, upper=(2.0, 2.0)))
    with pytest.raises(ValueError, match="different boxes"):
        stack_states([make_state(), other])
