"""Trajectories on disk: HDF5 in LagrangeBench's layout with a metadata file, written frame by frame, read back whole.

trajectory -> TrajectoryWriter -> SPLIT.h5 + metadata.json -> ParticleSet -> trajectories
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from molgraph.particles.geometry.space import Box

if TYPE_CHECKING:
    import h5py

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Trajectory:
    """One simulation: where each particle was in each frame."""

    positions: np.ndarray
    """``[T, N, D]`` float32, in the length unit of the set."""
    species: np.ndarray
    """Type of each particle ``[N]`` int32."""
    gravity: np.ndarray
    """External acceleration ``[D]`` in length per time squared; zeros without a field."""

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class Metadata:
    """What all trajectories of a set share."""

    box: Box
    dt: float
    """Time between two frames."""
    radius: float
    """Connectivity radius."""
    gravity: tuple[float, ...]
    """External acceleration of trajectories that name none, in length per time squared."""
    species: dict[str, int] = field(default_factory=dict)
    """Name of each particle type."""
    kinematic: tuple[int, ...] = ()
    """Types that move on a prescribed path (obstacles, walls) and are never predicted."""
    statistics: dict[str, list[float]] = field(default_factory=dict)
    """``vel_mean, vel_std, acc_mean, acc_std`` per frame."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Everything else that the file says."""

    @property
    def frame_gravity(self) -> np.ndarray:
        """Gravity ``[D]`` in length per frame squared."""
        return np.asarray(self.gravity) * self.dt**2

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Metadata":
        """Make one from the keys of a GNS or LagrangeBench ``metadata.json``; ours are added to theirs."""
        values = dict(values)
        bounds = values.pop("bounds", None)
        pairs = isinstance(bounds, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in bounds)
        if not bounds or not pairs:
            raise ValueError(f'metadata: "bounds" is {bounds}; it has to be [[lower, upper], ...], one pair per axis')
        periodic = values.pop("periodic_boundary_conditions", [False] * len(bounds))
        dt = values.pop("dt", 1.0)
        if not isinstance(dt, int | float) or not 0 < dt < math.inf:
            raise ValueError(f'metadata: "dt" is {dt!r}; the time between two frames has to be a positive number')
        statistics: dict[str, list[float]] = {
            k: values.pop(k) for k in ("vel_mean", "vel_std", "acc_mean", "acc_std") if k in values
        }
        # LagrangeBench numbers walls 1 and 2, GNS numbers obstacles 3; only LagrangeBench names its solver
        kinematic = values.pop("kinematic_types", [1, 2] if "solver" in values else [3])
        return cls(
            box=Box.from_bounds(bounds, periodic),
            dt=float(dt),
            radius=float(values.pop("default_connectivity_radius", 0.0)),
            gravity=tuple(values.pop("gravity", [0.0] * len(bounds))),
            species=dict(values.pop("species", {})),
            kinematic=tuple(kinematic),
            statistics=statistics,
            extra=values,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metadata.json``."""
        return {
            **self.extra,
            "dim": self.box.dim,
            "dt": self.dt,
            "bounds": self.box.bounds,
            "periodic_boundary_conditions": list(self.box.periodic),
            "default_connectivity_radius": self.radius,
            "gravity": list(self.gravity),
            "species": self.species,
            "kinematic_types": list(self.kinematic),
            **self.statistics,
        }

    def write(self, folder: Path) -> None:
        """Write ``metadata.json`` into ``folder``."""
        (folder / "metadata.json").write_text(json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Metadata":
        """Read ``metadata.json`` from ``folder``."""
        path = Path(folder) / "metadata.json"
        if not path.is_file():
            raise ValueError(f"{folder} holds no metadata.json; a particle set is a folder with one and train.h5")
        try:
            values = json.loads(path.read_text())
            if not isinstance(values, dict):
                raise ValueError(f"metadata is a {type(values).__name__}; it has to be an object with bounds and dt")
            return cls.from_dict(values)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error


class TrajectoryWriter:
    """Appends frames to groups of an HDF5 file, so that no trajectory has to fit in memory.

    Args:
        path: the file; written anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = _h5py().File(path, "w")

    def begin(self, name: str, species: np.ndarray, gravity: np.ndarray | Sequence[float], dim: int) -> None:
        """Start a trajectory ``name`` of ``len(species)`` particles."""
        group = self._file.create_group(name)
        checked = {"chunks": True, "fletcher32": True} if len(species) else {}  # a checksum that HDF5 checks on reading
        group.create_dataset("particle_type", data=np.asarray(species, dtype=np.int32), **checked)
        shape = (0, len(species), dim)
        chunk = (max(1, min(8, 65536 // max(len(species), 1))), max(len(species), 1), dim)
        group.create_dataset("position", shape, np.float32, maxshape=(None, *shape[1:]), chunks=chunk, fletcher32=True)
        group.attrs["gravity"] = np.asarray(gravity, dtype=np.float64)
        self._group = group

    def append(self, frames: np.ndarray) -> None:
        """Append frames ``[T, N, D]`` or one frame ``[N, D]`` to the trajectory begun last."""
        frames = np.asarray(frames, dtype=np.float32)
        frames = frames[None] if frames.ndim == 2 else frames
        data = self._group["position"]
        data.resize(len(data) + len(frames), axis=0)
        data[len(data) - len(frames) :] = frames
        self._file.flush()

    def write(self, name: str, trajectory: Trajectory) -> None:
        """Write a whole trajectory."""
        self.begin(name, trajectory.species, trajectory.gravity, trajectory.positions.shape[2])
        self.append(trajectory.positions)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "TrajectoryWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read_trajectories(path: Path, metadata: Metadata) -> list[Trajectory]:
    """Return all trajectories of an HDF5 file in LagrangeBench's layout.

    Raises:
        ValueError: no such file, a damaged one, or a group without what a trajectory needs; names file and group.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no {path}; a particle set has train.h5, valid.h5 and test.h5")
    try:
        with _h5py().File(path, "r") as file:
            return [_read_group(file[name], f"{path}:{name}", metadata) for name in sorted(file)]
    except (OSError, RuntimeError) as error:  # what HDF5 says of a file that is damaged, or none of its own
        raise ValueError(f"{path} is damaged, or no HDF5 file ({str(error)[:120]})") from error


def _read_group(group: "h5py.Group", name: str, metadata: Metadata) -> Trajectory:
    missing = [key for key in ("position", "particle_type") if key not in group]
    if missing:
        raise ValueError(f"{name} has no {missing[0]!r}; a trajectory is position [T, N, D] and particle_type [N]")
    positions = np.asarray(group["position"], dtype=np.float32)
    if positions.ndim != 3 or positions.shape[2] != metadata.box.dim:
        raise ValueError(f"{name} has positions {positions.shape}; metadata.json says {metadata.box.dim} dimensions")
    species = np.asarray(group["particle_type"], dtype=np.int32)
    return Trajectory(positions, species, np.asarray(group.attrs.get("gravity", metadata.gravity), dtype=np.float64))


@dataclass(frozen=True)
class ParticleSet:
    """A folder of trajectories with their metadata."""

    folder: Path
    metadata: Metadata

    @classmethod
    def open(cls, folder: str | Path) -> "ParticleSet":
        """Open a folder with ``metadata.json`` and ``train.h5, valid.h5, test.h5``."""
        return cls(Path(folder), Metadata.read(Path(folder)))

    def trajectories(self, split: str) -> list[Trajectory]:
        """Return all trajectories of ``train``, ``valid`` or ``test``."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        return read_trajectories(self.folder / f"{split}.h5", self.metadata)


def write_set(folder: Path, splits: dict[str, list[Trajectory]], metadata: Metadata) -> ParticleSet:
    """Write trajectories of one's own as a set; statistics and, where it is 0, the radius are computed from ``train``.

    >>> import tempfile
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(20, 30, 2)) * 1e-3, axis=0) + np.random.rand(30, 2)
    >>> mine = Trajectory(walk, np.zeros(30, dtype=np.int32), np.zeros(2))
    >>> metadata = Metadata(Box.open(2), dt=0.01, radius=0.0, gravity=(0.0, 0.0))
    >>> written = write_set(Path(tempfile.mkdtemp()), {"train": [mine], "valid": [mine], "test": [mine]}, metadata)
    >>> written.metadata.radius > 0, len(written.trajectories("train"))
    (True, 1)
    """
    from dataclasses import replace

    from molgraph.particles.data.statistics import motion_statistics, suggest

    folder.mkdir(parents=True, exist_ok=True)
    for split, trajectories in splits.items():
        with TrajectoryWriter(folder / f"{split}.h5") as writer:
            for number, trajectory in enumerate(trajectories):
                writer.write(f"{number:05d}", trajectory)
    moving = [t.positions[:, ~np.isin(t.species, metadata.kinematic)] for t in splits["train"]]
    statistics = motion_statistics(moving, metadata.box)
    radius = metadata.radius or suggest([t.positions for t in splits["train"]], metadata.box).radius
    complete = replace(metadata, statistics=statistics, radius=radius)
    complete.write(folder)
    return ParticleSet(folder, complete)


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError("trajectories are HDF5 files and need h5py: pip install 'molgraph[particles]'") from error
    return h5py
