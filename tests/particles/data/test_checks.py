import numpy as np
import pytest

from molgraph.particles.data.checks import check_radius, check_trajectory
from molgraph.particles.data.trajectory import Trajectory
from molgraph.particles.geometry.space import Box

BOX = Box((0, 0), (1, 1))


def trajectory(frames=8, number=40):
    generator = np.random.default_rng(0)
    start = generator.uniform(0.1, 0.9, (1, number, 2))
    steps = generator.normal(0, 1e-3, (frames, number, 2))
    positions = (start + np.cumsum(steps, axis=0)).astype(np.float32)
    return Trajectory(positions, np.full(number, 5, dtype=np.int32), np.zeros(2))


def test_a_good_trajectory_passes():
    check_trajectory(trajectory(), BOX, 7, "train")
    assert check_radius([trajectory()], 0.3, BOX) > 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.__setitem__((3, 7), np.nan), "frame 3, particle 7 is at"),
        (lambda p: p.__setitem__((2, 5, 1), 1.25), r"frame 2, particle 5 lies 0\.25 outside the box on axis 1"),
        (lambda p: p.__setitem__((0, 9), p[0, 4]), r"frame 0: particles (4 and 9|9 and 4) are both at"),
    ],
)
def test_what_is_wrong_is_named_with_frame_and_particle(spoil, message):
    bad = trajectory()
    spoil(bad.positions)
    with pytest.raises(ValueError, match=message):
        check_trajectory(bad, BOX, 7, "train")


def test_a_short_trajectory_and_a_wrong_dimension_are_named():
    with pytest.raises(ValueError, match="8 frames, but a window needs 9"):
        check_trajectory(trajectory(), BOX, 9, "train")
    with pytest.raises(ValueError, match="3-dimensional"):
        check_trajectory(trajectory(), Box((0, 0, 0), (1, 1, 1)), 7, "train")
    wrong = Trajectory(trajectory().positions, np.zeros(3, dtype=np.int32), np.zeros(2))
    with pytest.raises(ValueError, match="40 particles but 3 types"):
        check_trajectory(wrong, BOX, 7, "train")


def test_a_radius_without_a_neighbour_or_with_a_crowd_is_refused_with_a_better_one():
    with pytest.raises(ValueError, match=r"0 neighbours on average; about 20 neighbours are within 0\.\d+"):
        check_radius([trajectory()], 1e-4, BOX)
    with pytest.raises(ValueError, match="699 neighbours"):
        check_radius([trajectory(number=700)], 2.0, BOX)
