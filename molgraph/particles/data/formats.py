"""Trajectories from other programs: GNS ``.npz``, LagrangeBench HDF5, and whatever ASE reads.

file -> read_* -> Trajectory, Box
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from molgraph.particles.data.trajectory import Trajectory
from molgraph.particles.geometry.space import Box

if TYPE_CHECKING:
    from ase import Atoms


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that can build NumPy arrays and nothing else, so that a file from strangers cannot run code."""

    _ALLOWED: ClassVar[dict[str, Any]] = {
        "_reconstruct": np.zeros(1).__reduce__()[0],
        "scalar": np.float64(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module in {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"} and name in self._ALLOWED:
            return self._ALLOWED[name]
        raise ValueError(f"the file asks for {module}.{name}; only plain arrays are read, so that no file can run code")


def read_gns_npz(path: str | Path) -> list[Trajectory]:
    """Return the trajectories of a GNS ``.npz``: entries ``(positions [T, N, D], types)``, types ``[N]`` or one.

    The common files hold pickled object arrays. Their pickles are read by an unpickler that knows NumPy arrays only.

    Raises:
        ValueError: a pickle that names anything but arrays, or an entry of another form.
    """
    with zipfile.ZipFile(path) as archive:
        entries = [(name, _read_npy(archive.read(name), f"{path}:{name}")) for name in archive.namelist()]
    return [_gns_trajectory(item, f"{path}:{name}") for name, entry in entries for item in _gns_items(entry)]


def _read_npy(data: bytes, name: str) -> np.ndarray:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if not dtype.hasobject:
        return np.load(io.BytesIO(data), allow_pickle=False)
    try:
        return _ArraysOnly(stream).load().reshape(shape)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _gns_items(entry: np.ndarray) -> list[Any]:
    """Return the trajectory of one entry: ``(positions, types, ...)`` or an array of such."""
    if entry.dtype == object and entry.ndim == 1 and np.ndim(entry[0]) == 3:
        return [entry]
    return list(entry) if entry.dtype == object else [(entry, 0)]


def _gns_trajectory(item: Any, name: str) -> Trajectory:
    positions = np.asarray(item[0], dtype=np.float32)
    if positions.ndim != 3 or positions.shape[2] not in (2, 3):
        raise ValueError(f"{name}: positions of shape {positions.shape}; GNS files hold [frames, particles, 2 or 3]")
    types = np.asarray(item[1], dtype=np.int32)
    if types.shape not in ((), (1,), positions.shape[1:2]):
        raise ValueError(
            f"{name}: types of shape {types.shape} beside positions {positions.shape}; give one type for each of the "
            f"{positions.shape[1]} particles, or a single one for all"
        )
    species = np.broadcast_to(types, positions.shape[1]).copy()
    return Trajectory(positions, species, np.zeros(positions.shape[2]))


def read_ase(path: str | Path) -> tuple[Trajectory, Box]:
    """Return a trajectory that ASE reads (extxyz, .traj, XDATCAR, ...); species are atomic numbers, lengths A.

    Raises:
        ValueError: a cell that is not orthogonal, a cell that changes, or another number of atoms in some frame.
    """
    from ase.io import read

    frames: list[Any] = list(read(path, index=":"))
    first = frames[0]
    for number, atoms in enumerate(frames):
        if not np.array_equal(atoms.numbers, first.numbers):
            raise ValueError(f"{path}: frame {number} has other atoms than frame 0; trajectories keep their particles")
        if not np.allclose(atoms.cell.array, first.cell.array):
            raise ValueError(f"{path}: the cell of frame {number} differs from that of frame 0; use constant volume")
    positions = np.stack([atoms.positions for atoms in frames]).astype(np.float32)
    return Trajectory(positions, first.numbers.astype(np.int32), np.zeros(3)), box_of_atoms(first)


def box_of_atoms(atoms: "Atoms") -> Box:
    """Return the box of an ``Atoms`` with an orthogonal cell; axes without a period are open.

    Raises:
        ValueError: a skewed cell.
    """
    cell = atoms.cell.array
    if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-6:
        raise ValueError(f"the cell {cell.tolist()} is skewed; repeat or cut it to an orthogonal one")
    upper = [length if p else np.inf for length, p in zip(np.diag(cell), atoms.pbc, strict=True)]
    return Box(tuple(0.0 if p else -np.inf for p in atoms.pbc), tuple(upper), tuple(atoms.pbc))
