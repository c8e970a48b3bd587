import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from molgraph.particles.data.named import import_files, named_set, set_files
from molgraph.particles.data.simulated import SPECIES
from molgraph.particles.data.trajectory import ParticleSet

pytest.importorskip("warp")
NAMED = [
    *("water_drop", "sand_drop", "goop_drop", "multi_material", "ramps", "water_3d", "sand_3d"),
    *("taylor_green_2d", "taylor_green_3d", "dam_break_2d", "dam_break_3d", "argon", "copper"),
]


def test_every_named_set_is_one_file():
    assert set(NAMED) <= set(set_files())


@pytest.mark.parametrize("name", NAMED)
def test_every_named_set_draws_a_scene_of_its_size(name):
    if name in ("argon", "copper"):
        number = 108
    else:
        number = {"sand_3d": 19000, "taylor_green_2d": 2500, "taylor_green_3d": 8000}.get(name)
    scene = named_set(name).scene(3)
    moving = scene.species != "obstacle"
    assert number is None or moving.sum() == number
    assert 100 < len(scene.positions) < 40_000
    assert not scene.box.outside(torch.from_numpy(scene.positions)).any()


def test_a_set_is_made_once_with_statistics_and_a_suggestion(tmp_path):
    small = named_set("ramps", str(tmp_path / "set"), {"frames": 12}, {"train": 2, "valid": 1, "test": 1})
    made = small.ensure(workers=1)
    assert made.metadata.statistics["vel_std"][1] > 0 and made.metadata.radius > 0
    assert made.metadata.kinematic == (SPECIES["obstacle"],) and "obstacle" in made.metadata.species
    first = made.trajectories("train")[0]
    obstacle = first.species == SPECIES["obstacle"]
    assert obstacle.any() and np.ptp(first.positions[:, obstacle], axis=0).max() == 0
    written = (tmp_path / "set" / "train.h5").stat().st_mtime_ns
    assert small.ensure().folder == made.folder
    assert (tmp_path / "set" / "train.h5").stat().st_mtime_ns == written
    settings = json.loads((tmp_path / "set" / "metadata.json").read_text())["settings"]
    assert settings["seed"] == 0 and settings["name"] == "ramps"


def test_trajectories_in_parallel_are_those_one_after_the_other(tmp_path):
    counts = {"train": 2, "valid": 0, "test": 0}
    sets = [named_set("water_drop", str(tmp_path / str(n)), {"frames": 4}, counts) for n in (1, 2)]
    made = [s.ensure(workers=n, device="cpu").trajectories("train") for s, n in zip(sets, (1, 2), strict=True)]
    for one, two in zip(*made, strict=True):
        np.testing.assert_array_equal(one.positions, two.positions)


def test_sets_of_other_settings_or_seeds_have_other_folders_and_seeds():
    plain = named_set("water_drop")
    assert plain.path != replace(plain, seed=plain.seed + 1).path != replace(plain, frames=7).path
    seeds = [
        seed
        for split in ("train", "valid", "test")
        for s in (plain, replace(plain, seed=plain.seed + 1))
        for seed in s.seeds(split)
    ]
    assert len(set(seeds)) == len(seeds)
    with pytest.raises(ValueError, match="water_drop"):
        named_set("water")


def test_trajectories_of_ones_own_become_a_set(tmp_path):
    generator = np.random.default_rng(0)
    files = []
    for number in range(3):
        walk = generator.random((1, 30, 2)) + np.cumsum(generator.normal(0, 1e-3, (12, 30, 2)), axis=0)
        item = np.empty(2, dtype=object)
        item[0], item[1] = walk.astype(np.float32), np.full(30, 5)
        files.append(str(tmp_path / f"{number}.npz"))
        np.savez(files[-1], trajectory=item)
    made = import_files(files, tmp_path / "mine", 0.01)
    assert [len(made.trajectories(split)) for split in ("train", "valid", "test")] == [1, 1, 1]
    one = import_files(files[:1], tmp_path / "one", 0.01)
    assert [len(one.trajectories(split)[0]) for split in ("train", "valid", "test")] == [9, 1, 2]
    assert ParticleSet.open(tmp_path / "mine").metadata.radius > 0


@pytest.mark.parametrize(
    ("settings", "counts", "message"),
    [
        ({"frames": 2}, None, "data.frames is 2; it has to be at least 3"),
        ({"frame_time": 0.0}, None, "data.frame_time is 0.0"),
        ({}, {"train": 0, "test": 2}, "data.trajectories.train is 0"),
        ({}, {"train": 1, "validation": 1}, "numbers for train, valid, test"),
        ({}, {"train": 1, "test": -1}, "numbers for train, valid, test"),
    ],
)
def test_sets_that_cannot_be_are_refused(settings, counts, message):
    with pytest.raises(ValueError, match=message):
        named_set("water_drop", None, settings, counts)
