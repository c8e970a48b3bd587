import numpy as np
import pytest

from molgraph.particles.data.checks import check_moving, check_radius, check_trajectory, with_statistics
from molgraph.particles.data.trajectory import Metadata, Trajectory
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


def still(positions, species=None):
    frames = np.repeat(np.asarray(positions, dtype=np.float32)[None], 6, 0)
    return Trajectory(frames, np.full(frames.shape[1], 5) if species is None else species, np.zeros(2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bounds": [0, 1]}, r"\"bounds\" is \[0, 1\]; it has to be \[\[lower, upper\], ...\]"),
        ({"bounds": None}, r"\"bounds\" is None"),
        ({"dt": -1}, r"\"dt\" is -1; the time between two frames has to be a positive number"),
        ({"dt": float("nan")}, r"\"dt\" is nan"),
        ({"dt": "fast"}, r"\"dt\" is 'fast'"),
    ],
)
def test_metadata_that_no_set_can_have_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Metadata.from_dict({"bounds": [[0, 1], [0, 1]], "dt": 0.1} | changes)


def test_statistics_that_lack_are_computed_from_the_training_part():
    metadata = Metadata.from_dict({"bounds": [[0, 1], [0, 1]], "dt": 0.1})
    frames = np.random.default_rng(0).uniform(0.2, 0.8, (6, 10, 2)).astype(np.float32)
    moving = Trajectory(frames, np.full(10, 5), np.zeros(2))
    found = with_statistics(metadata, [moving], "set").statistics
    np.testing.assert_allclose(found["vel_std"], np.diff(frames.astype(float), axis=0).std((0, 1)), rtol=1e-5)


def test_a_set_in_which_nothing_moves_is_refused():
    metadata = Metadata.from_dict({"bounds": [[0, 1], [0, 1]], "dt": 0.1})
    with pytest.raises(ValueError, match=r"set: nothing moves"):
        with_statistics(metadata, [still(np.random.default_rng(0).uniform(0, 1, (8, 2)))], "set")


def test_a_trajectory_of_obstacles_alone_is_refused():
    trajectory = still(np.zeros((3, 2)), np.full(3, 3))
    with pytest.raises(ValueError, match=r"train.h5:00000: all particles are of type \[3\].*kinematic_types"):
        check_moving(trajectory, (3,), "train.h5:00000")
