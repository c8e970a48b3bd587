"""Frames to files, one frame at a time: HDF5, extxyz and .traj for ASE, VTK for ParaView.

path -> open_writer -> append(frame), ..., close()
"""

import base64
from pathlib import Path
from typing import Protocol

import numpy as np

from molgraph.particles.data.simulated import SPECIES
from molgraph.particles.data.trajectory import TrajectoryWriter
from molgraph.particles.geometry.space import Box

SUFFIXES = (".h5", ".extxyz", ".xyz", ".traj", ".pvd")


class FrameWriter(Protocol):
    """Takes frames as they come."""

    def append(self, positions: np.ndarray) -> None:
        """Write one frame ``[N, D]``."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def open_writer(
    path: str | Path, species: np.ndarray, box: Box, dt: float, gravity: np.ndarray | None = None
) -> FrameWriter:
    """Return a writer for the format that the suffix of ``path`` names.

    Raises:
        ValueError: an unknown suffix.
    """
    path = Path(path)
    if path.suffix == ".h5":
        writer = TrajectoryWriter(path)
        writer.begin("00000", species, gravity if gravity is not None else np.zeros(box.dim), box.dim)
        return writer
    if path.suffix in (".extxyz", ".xyz", ".traj"):
        return AseWriter(path, species, box, dt)
    if path.suffix == ".pvd":
        return VtkWriter(path, species, dt)
    raise ValueError(f"{path.name}: trajectories are written as {', '.join(SUFFIXES)}")


class AseWriter:
    """Appends frames to a file of ASE; particles that are no atoms are ``X`` with their type as tag, flat worlds z = 0.

    Args:
        path: ``.traj``, ``.extxyz`` or ``.xyz``.
        species: types ``[N]``.
        box: becomes cell and periods; open axes have no cell.
        dt: time between frames.
    """

    def __init__(self, path: Path, species: np.ndarray, box: Box, dt: float) -> None:
        from ase.io.trajectory import Trajectory

        self._path, self._species, self._box, self._dt = path, np.asarray(species), box, dt
        self._numbers = np.where(np.isin(self._species, list(SPECIES.values())), 0, self._species)
        self._frame = 0
        self._trajectory = Trajectory(str(path), "w") if path.suffix == ".traj" else None
        if self._trajectory is None:
            path.unlink(missing_ok=True)

    def append(self, positions: np.ndarray) -> None:
        """Write one frame ``[N, D]``."""
        from ase import Atoms
        from ase.io import write

        flat = 3 - self._box.dim
        lengths = [n if np.isfinite(n) else 0.0 for n in self._box.lengths] + [0.0] * flat
        places = np.pad(np.asarray(positions, dtype=np.float64), ((0, 0), (0, flat)))
        atoms = Atoms(self._numbers, positions=places, cell=lengths, pbc=[*self._box.periodic, *[False] * flat])
        atoms.set_tags(self._species)
        atoms.info["time"] = self._frame * self._dt
        if self._trajectory is not None:
            self._trajectory.write(atoms)
        else:
            write(self._path, atoms, format="extxyz", append=True)
        self._frame += 1

    def close(self) -> None:
        """Close the file."""
        if self._trajectory is not None:
            self._trajectory.close()


class VtkWriter:
    """A ``.pvd`` series of binary ``.vtp`` point clouds for ParaView, beside it in a folder of its name.

    Args:
        path: the ``.pvd`` file.
        species: types ``[N]``.
        dt: time between frames.
    """

    def __init__(self, path: Path, species: np.ndarray, dt: float) -> None:
        self._path, self._dt = path, dt
        self._species = np.asarray(species, dtype=np.int32)
        self._folder = path.with_suffix("")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._frame = 0
        self._last: np.ndarray | None = None

    def append(self, positions: np.ndarray) -> None:
        """Write one frame ``[N, D]``; the velocity is the difference to the frame before."""
        places = np.pad(np.asarray(positions, dtype=np.float32), ((0, 0), (0, 3 - positions.shape[1])))
        moved = np.zeros_like(places) if self._last is None else (places - self._last) / np.float32(self._dt)
        name = f"{self._folder.name}/{self._frame:05d}.vtp"
        (self._path.parent / name).write_text(vtp(places, moved, self._species))
        self._last, self._frame = places, self._frame + 1
        self._write_index()

    def close(self) -> None:
        """Write the index."""
        self._write_index()

    def _write_index(self) -> None:
        rows = "".join(
            f'<DataSet timestep="{n * self._dt:.9g}" file="{self._folder.name}/{n:05d}.vtp"/>\n'
            for n in range(self._frame)
        )
        head = '<?xml version="1.0"?>\n<VTKFile type="Collection" version="1.0">\n<Collection>\n'
        self._path.write_text(f"{head}{rows}</Collection>\n</VTKFile>\n")


def vtp(positions: np.ndarray, velocities: np.ndarray, species: np.ndarray) -> str:
    """Return the text of a VTK point cloud with velocity and type, data in base64.

    Args:
        positions: ``[N, 3]`` float32.
        velocities: ``[N, 3]`` float32.
        species: ``[N]`` int32.
    """
    number = len(positions)
    every = np.arange(number, dtype=np.int32)
    return (
        '<?xml version="1.0"?>\n'
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt32">\n'
        f'<PolyData>\n<Piece NumberOfPoints="{number}" NumberOfVerts="{number}" NumberOfLines="0" '
        'NumberOfStrips="0" NumberOfPolys="0">\n'
        f"<Points>{_array(positions, 'Points')}</Points>\n"
        f"<Verts>{_array(every, 'connectivity')}{_array(every + 1, 'offsets')}</Verts>\n"
        f"<PointData>{_array(velocities, 'velocity')}{_array(species, 'type')}</PointData>\n"
        "</Piece>\n</PolyData>\n</VTKFile>\n"
    )


def _array(values: np.ndarray, name: str) -> str:
    kind = "Float32" if values.dtype == np.float32 else "Int32"
    columns = f' NumberOfComponents="{values.shape[1]}"' if values.ndim == 2 else ""
    raw = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
    text = base64.b64encode(np.uint32(len(raw)).tobytes() + raw).decode()
    return f'<DataArray type="{kind}" Name="{name}"{columns} format="binary">{text}</DataArray>'
