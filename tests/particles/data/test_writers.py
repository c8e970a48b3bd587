import base64
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from molgraph.particles.data.formats import read_ase
from molgraph.particles.data.trajectory import Metadata, read_trajectories
from molgraph.particles.data.writers import open_writer
from molgraph.particles.geometry.space import Box
from molgraph.particles.rollout.render import animate

FRAMES = np.random.default_rng(0).random((5, 12, 2))
SPECIES = np.array([5] * 10 + [3] * 2, dtype=np.int32)
BOX = Box((0, 0), (1, 1), (True, False))


def write(path, frames=FRAMES, species=SPECIES, box=BOX):
    writer = open_writer(path, species, box, 0.5)
    for frame in frames:
        writer.append(frame)
    writer.close()
    return path


def test_frames_stream_to_hdf5(tmp_path):
    path = write(tmp_path / "out.h5")
    trajectory = read_trajectories(path, Metadata(BOX, 0.5, 0.1, (0.0, 0.0)))[0]
    np.testing.assert_allclose(trajectory.positions, FRAMES, atol=1e-7)
    np.testing.assert_array_equal(trajectory.species, SPECIES)


@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
def test_frames_of_atoms_and_of_materials_stream_to_ase(tmp_path, suffix):
    from ase.io import read

    frames = np.random.default_rng(0).random((3, 4, 3)) * 5
    box = Box((0, 0, 0), (5, 5, 5), (True, True, True))
    path = write(tmp_path / f"argon.{suffix}", frames, np.full(4, 18), box)
    trajectory, again = read_ase(path)
    np.testing.assert_allclose(trajectory.positions, frames, atol=1e-6)
    assert trajectory.species.tolist() == [18] * 4 and again == box
    flat = read(write(tmp_path / f"water.{suffix}"), index=":")
    assert len(flat) == 5 and set(flat[0].symbols) == {"X"} and flat[0].pbc.tolist() == [True, False, False]
    assert flat[0].get_tags().tolist() == SPECIES.tolist()


def test_paraview_files_hold_positions_velocities_and_types(tmp_path):
    path = write(tmp_path / "out.pvd")
    series = ElementTree.parse(path).getroot().findall(".//DataSet")
    assert [float(node.get("timestep")) for node in series] == [0, 0.5, 1, 1.5, 2]
    piece = ElementTree.parse(tmp_path / series[1].get("file")).getroot().find(".//Piece")
    assert piece.get("NumberOfPoints") == "12"

    def array(name, dtype):
        text = next(node.text for node in piece.iter("DataArray") if node.get("Name") == name)
        raw = base64.b64decode(text)
        assert int(np.frombuffer(raw[:4], np.uint32)[0]) == len(raw) - 4
        return np.frombuffer(raw[4:], dtype)

    np.testing.assert_allclose(array("Points", np.float32).reshape(12, 3)[:, :2], FRAMES[1], atol=1e-7)
    velocity = array("velocity", np.float32).reshape(12, 3)[:, :2]
    np.testing.assert_allclose(velocity, (FRAMES[1] - FRAMES[0]) / 0.5, atol=1e-5)
    np.testing.assert_array_equal(array("type", np.int32), SPECIES)
    np.testing.assert_array_equal(array("offsets", np.int32), np.arange(1, 13))


@pytest.mark.parametrize(("dim", "color"), [(2, "material"), (2, "speed"), (3, "speed")])
def test_truth_and_prediction_are_drawn_side_by_side(tmp_path, dim, color):
    from PIL import Image

    frames = np.random.default_rng(0).random((6, 20, dim))
    species = np.array([5] * 15 + [3] * 5)
    box = Box((0,) * dim, (1,) * dim)
    path = animate(tmp_path / "out.gif", {"truth": frames, "prediction": frames[:5]}, box, species, color, frames=4)
    picture = Image.open(path)
    assert picture.n_frames == 4 and picture.width > 1.5 * picture.height
    assert len(picture.convert("RGB").getcolors(100_000)) > 3, "something is drawn"


@pytest.mark.parametrize("box", [Box((0, 0), (3, 1)), Box((0, 0), (1, 3))], ids=["wide", "high"])
def test_a_picture_has_the_shape_of_the_box(tmp_path, box):
    from PIL import Image

    frames = np.random.default_rng(0).random((3, 12, 2)) * box.upper
    pictures = [
        Image.open(animate(tmp_path / "out.gif", dict.fromkeys(titles, frames), box, SPECIES)) for titles in ("a", "ab")
    ]
    one, two = (picture.width / picture.height for picture in pictures)
    wide = box.upper[0] > 1
    assert one == pytest.approx(2.7 if wide else 0.33, rel=0.15)
    assert two == pytest.approx(one / 2 if wide else 2 * one, rel=0.1), "wide boxes lie below each other"


def test_an_unknown_suffix_or_color_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"\.h5"):
        open_writer(tmp_path / "out.pdb", SPECIES, BOX, 1.0)
    with pytest.raises(ValueError, match="gif"):
        animate(tmp_path / "out.avi", {"a": FRAMES}, BOX, SPECIES)
    with pytest.raises(ValueError, match="material"):
        animate(tmp_path / "out.gif", {"a": FRAMES}, BOX, SPECIES, color="red")
