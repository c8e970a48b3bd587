import json
import os
from pathlib import Path

import numpy as np
import pytest

from molgraph.particles.data.formats import box_of_atoms, read_ase, read_gns_npz
from molgraph.particles.data.trajectory import (
    Metadata,
    ParticleSet,
    Trajectory,
    TrajectoryWriter,
    read_trajectories,
    write_set,
)
from molgraph.particles.geometry.space import Box

REPOSITORY = Path(__file__).parents[3]
LENNARD_JONES = Path(os.environ.get("MOLGRAPH_DATA", REPOSITORY.parent / "shared" / "data")) / "lagrangebench_lj3"


def walk(frames=12, number=5, dim=2, seed=0):
    generator = np.random.default_rng(seed)
    steps = generator.normal(0, 0.01, size=(frames, number, dim))
    return (generator.random((number, dim)) + np.cumsum(steps, axis=0)).astype(np.float32)


def test_a_written_set_reads_back_the_same(tmp_path):
    mine = Trajectory(walk(), np.array([5, 5, 3, 5, 6], dtype=np.int32), np.array([0.0, -9.8]))
    metadata = Metadata(Box.open(2), 0.01, 0.0, (0.0, -9.8), {"water": 5}, (3,))
    write_set(tmp_path, {"train": [mine, mine], "valid": [mine], "test": [mine]}, metadata)
    read = ParticleSet.open(tmp_path)
    again = read.trajectories("train")[1]
    for name in ("positions", "species", "gravity"):
        np.testing.assert_array_equal(getattr(again, name), getattr(mine, name))
    moved = np.diff(mine.positions[:, [0, 1, 3, 4]].astype(np.float64), axis=0).reshape(-1, 2)
    np.testing.assert_allclose(read.metadata.statistics["vel_std"], moved.std(0))
    assert read.metadata.box == metadata.box and read.metadata.kinematic == (3,)


def test_frames_can_be_appended_one_by_one(tmp_path):
    positions = walk()
    with TrajectoryWriter(tmp_path / "train.h5") as writer:
        writer.begin("00000", np.zeros(5), (0.0, 0.0), 2)
        for frame in positions:
            writer.append(frame)
    Metadata(Box.open(2), 1.0, 1.0, (0.0, 0.0)).write(tmp_path)
    np.testing.assert_array_equal(ParticleSet.open(tmp_path).trajectories("train")[0].positions, positions)


@pytest.mark.skipif(not LENNARD_JONES.is_dir(), reason="needs the LagrangeBench Lennard-Jones set")
def test_a_set_of_lagrangebench_is_read():
    lennard_jones = ParticleSet.open(LENNARD_JONES)
    trajectory = lennard_jones.trajectories("train")[0]
    assert trajectory.positions.shape == (1214, 3, 3)
    assert lennard_jones.metadata.box == Box((0, 0, 0), (5, 5, 5), (True, True, True))
    assert lennard_jones.metadata.radius == 3.0 and lennard_jones.metadata.dt == 0.005


@pytest.mark.skipif(not LENNARD_JONES.is_dir(), reason="needs the LagrangeBench Lennard-Jones set")
def test_our_statistics_are_of_the_size_of_those_published_with_lagrangebench():
    from molgraph.particles.data.statistics import motion_statistics

    lennard_jones = ParticleSet.open(LENNARD_JONES)
    ours = motion_statistics([t.positions for t in lennard_jones.trajectories("train")], lennard_jones.metadata.box)
    for name in ("vel_std", "acc_std"):
        np.testing.assert_allclose(ours[name], lennard_jones.metadata.statistics[name], rtol=0.6)


def test_a_gns_file_is_read_without_trusting_its_pickle(tmp_path):
    positions = walk(dim=3)
    item = np.empty(2, dtype=object)
    item[0], item[1] = positions, np.full(5, 6)
    np.savez(tmp_path / "train.npz", simulation_trajectory_0=item)
    trajectory = read_gns_npz(tmp_path / "train.npz")[0]
    np.testing.assert_array_equal(trajectory.positions, positions)
    assert trajectory.species.tolist() == [6] * 5

    several = np.empty((2, 2), dtype=object)
    for row in range(2):
        several[row, 0], several[row, 1] = positions, 5
    np.savez(tmp_path / "many.npz", gns_data=several)
    assert len(read_gns_npz(tmp_path / "many.npz")) == 2


def test_a_gns_file_that_wants_to_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    item = np.empty(2, dtype=object)
    item[0], item[1] = walk(), Evil()
    np.savez(tmp_path / "evil.npz", trajectory=item)
    with pytest.raises(ValueError, match="mkdir"):
        read_gns_npz(tmp_path / "evil.npz")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
def test_what_ase_writes_is_read(tmp_path, suffix):
    from ase import Atoms
    from ase.io import write

    frames = [Atoms("ArCu", positions=p, cell=[4, 5, 6], pbc=[True, True, False]) for p in walk(4, 2, 3)]
    write(tmp_path / f"md.{suffix}", frames)
    trajectory, box = read_ase(tmp_path / f"md.{suffix}")
    np.testing.assert_allclose(trajectory.positions, walk(4, 2, 3), atol=1e-6)
    assert trajectory.species.tolist() == [18, 29]
    assert box.periodic == (True, True, False) and box.upper[:2] == (4, 5)


def test_a_skewed_cell_and_changing_atoms_are_named(tmp_path):
    from ase import Atoms
    from ase.io import write

    with pytest.raises(ValueError, match="skewed"):
        box_of_atoms(Atoms("Ar", cell=[[4, 0, 0], [1, 4, 0], [0, 0, 4]], pbc=True))
    write(tmp_path / "md.extxyz", [Atoms("Ar", [[0, 0, 0]]), Atoms("Cu", [[0, 0, 0]])])
    with pytest.raises(ValueError, match="frame 1"):
        read_ase(tmp_path / "md.extxyz")


def test_a_folder_that_is_no_set_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"metadata\.json"):
        ParticleSet.open(tmp_path)
    (tmp_path / "metadata.json").write_text(json.dumps({"dt": 1}))
    with pytest.raises(ValueError, match="bounds"):
        ParticleSet.open(tmp_path)
    (tmp_path / "metadata.json").write_text(json.dumps({"bounds": [[0, 1], [0, 1]]}))
    with pytest.raises(ValueError, match=r"train\.h5"):
        ParticleSet.open(tmp_path).trajectories("train")


def test_a_set_with_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "train.h5"
    positions = np.random.default_rng(0).uniform(0, 1, (20, 30, 2)).astype(np.float32)
    with TrajectoryWriter(path) as writer:
        writer.write("00000", Trajectory(positions, np.full(30, 5), np.zeros(2)))
    whole = path.read_bytes()
    place = whole.index(positions[3, 4].tobytes())
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ValueError, match=r"train\.h5"):
        read_trajectories(path, Metadata(Box((0, 0), (1, 1)), 1.0, 0.1, (0.0, 0.0)))


def test_types_that_do_not_fit_the_particles_are_named(tmp_path):
    entry = np.empty(2, dtype=object)
    entry[0], entry[1] = np.zeros((4, 20, 2), dtype=np.float32), np.zeros(19, dtype=np.int32)
    np.savez(tmp_path / "wrong.npz", trajectory=entry)
    with pytest.raises(ValueError, match=r"types of shape \(19,\) beside positions \(4, 20, 2\); give one type"):
        read_gns_npz(tmp_path / "wrong.npz")


def test_a_group_without_types_is_named(tmp_path):
    import h5py

    with h5py.File(tmp_path / "train.h5", "w") as file:
        file.create_group("00000")["position"] = np.zeros((4, 3, 2))
    with pytest.raises(ValueError, match=r"train.h5:00000 has no 'particle_type'"):
        read_trajectories(tmp_path / "train.h5", Metadata(Box((0, 0), (1, 1)), 1.0, 0.1, (0.0, 0.0)))
