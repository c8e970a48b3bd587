"""Named sets of ground truth: scenes -> solver -> trajectories -> HDF5 with metadata, several at a time.

SimulatedSet -> ensure() -> ParticleSet
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from molgraph.particles.data.statistics import motion_statistics, suggest
from molgraph.particles.data.trajectory import SPLITS, Metadata, ParticleSet, Trajectory, TrajectoryWriter
from molgraph.particles.solvers.scenes import Scene
from molgraph.training.cache import cache_folder
from molgraph.training.config import instantiate, require
from molgraph.training.hardware.precision import choose_device
from molgraph.training.plugins import trust, trusted

SPECIES = {"obstacle": 3, "water": 5, "sand": 6, "goop": 7}
"""Numbers of the materials, those of GNS; atoms have their atomic number."""


class Solver(Protocol):
    """What every ground truth can do."""

    def advance(self, duration: float) -> np.ndarray:
        """Integrate ``duration`` and return the positions ``[N, D]``."""
        ...


@dataclass(frozen=True)
class SimulatedSet:
    """A set of trajectories that a solver makes on demand and that is kept on disk.

    Args:
        name: name of the set and of its folder.
        scenes: ``_target_`` and settings of the initial states, e.g. ``molgraph.particles.solvers.scenes.BlockScenes``.
        solver: ``_target_`` and settings of the solver, e.g. ``molgraph.particles.solvers.mpm.MpmConfig``.
        frame_time: time between two frames, in s (MPM, SPH) or fs (MD).
        frames: frames of a trajectory.
        trajectories: number of trajectories of ``train``, ``valid`` and ``test``.
        seed: of the first trajectory; each has its own.
        folder: where to keep it; by default the user's cache, in a folder that names the settings.

    Raises:
        ValueError: a duration, a number of frames or of trajectories that no set has.
    """

    name: str
    scenes: dict[str, Any]
    solver: dict[str, Any]
    frame_time: float
    frames: int
    trajectories: dict[str, int]
    seed: int = 0
    folder: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        require(self.frame_time > 0, "data.frame_time", self.frame_time, "positive")
        require(self.frames >= 3, "data.frames", self.frames, "at least 3, as an acceleration is seen in three")
        counts = self.trajectories
        known = set(counts) <= set(SPLITS) and min(counts.values(), default=0) >= 0
        require(known, "data.trajectories", counts, f"numbers for {', '.join(SPLITS)}")
        require(counts.get("train", 0) >= 1, "data.trajectories.train", counts.get("train", 0), "at least 1")

    @property
    def path(self) -> Path:
        """The folder of the set; settings that differ never share one."""
        if self.folder:
            return Path(self.folder)
        settings = {k: v for k, v in asdict(self).items() if k != "folder"}
        mark = hashlib.sha256(json.dumps(settings, sort_keys=True, default=list).encode()).hexdigest()[:10]
        return cache_folder() / "particles" / f"{self.name}-{mark}"

    def ensure(self, workers: int | None = None, device: str = "auto") -> ParticleSet:
        """Return the set, simulated first where it is not there yet."""
        if not (self.path / "metadata.json").is_file():
            self.simulate(workers, device)
        return ParticleSet.open(self.path)

    def simulate(self, workers: int | None = None, device: str = "auto") -> ParticleSet:
        """Simulate all trajectories and write them, with a progress bar.

        Args:
            workers: processes; by default one per core on a CPU, one on a GPU.
            device: ``auto``, ``cpu`` or ``cuda``.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        device = str(choose_device(device))
        workers = workers or _default_workers(device)
        scene = self.scene(self.seeds("train")[0])
        from rich.progress import Progress

        with Progress() as progress:
            bar = progress.add_task(f"simulate {self.name}", total=sum(self.trajectories.values()))
            for split in SPLITS:
                with TrajectoryWriter(self.path / f"{split}.h5") as writer:
                    for number, trajectory in enumerate(self._all(self.seeds(split), workers, device)):
                        writer.write(f"{number:05d}", trajectory)
                        progress.advance(bar)
        metadata = self._describe(scene)
        metadata.write(self.path)  # last, so that a set that was interrupted is made again
        return ParticleSet(self.path, metadata)

    def seeds(self, split: str) -> list[int]:
        """Return the seeds of a split's trajectories; splits never share one."""
        first = self.seed * 1_000_000 + SPLITS.index(split) * 100_000
        return list(range(first, first + self.trajectories.get(split, 0)))

    def scene(self, seed: int) -> Scene:
        """Return the initial state of one seed."""
        return instantiate(self.scenes).draw(seed, instantiate(self.solver).spacing)

    def start(self, seed: int, device: str = "cpu") -> Solver:
        """Return a solver at the initial state of one seed."""
        return instantiate(self.solver).start(self.scene(seed), device, seed)

    def milliseconds(self, device: str = "cpu", frames: int = 5) -> float:
        """Return the wall time in ms of a frame of the first test trajectory, the mean over ``frames``."""
        solver = self.start(self.seeds("test")[0], device)
        solver.advance(self.frame_time)  # the first call loads the kernels
        began = time.perf_counter()
        for _ in range(frames):
            solver.advance(self.frame_time)
        return 1e3 * (time.perf_counter() - began) / frames

    def trajectory(self, seed: int, device: str = "cpu") -> Trajectory:
        """Simulate one trajectory.

        Raises:
            FloatingPointError: the solver diverged; the message names the seed.
        """
        scene, solver = self.scene(seed), self.start(seed, device)
        frames = np.empty((self.frames, *scene.positions.shape), dtype=np.float32)
        try:
            for frame in range(self.frames):
                frames[frame] = solver.advance(self.frame_time)
        except FloatingPointError as error:
            raise FloatingPointError(f"{self.name}, seed {seed}: {error}") from error
        return Trajectory(frames, species_numbers(scene.species), scene.gravity)

    def _all(self, seeds: list[int], workers: int, device: str) -> Iterator[Trajectory]:
        if workers == 1 or len(seeds) < 2:
            yield from (self.trajectory(seed, device) for seed in seeds)
            return
        # a fresh interpreter per worker: forking a process that runs threads of PyTorch or Warp can hang
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=trust, initargs=(trusted(),)) as pool:
            yield from pool.map(self.trajectory, seeds, [device] * len(seeds))

    def _describe(self, scene: Scene) -> Metadata:
        raw = Metadata(
            scene.box, self.frame_time, 0.0, tuple(scene.gravity), _named(scene.species), (SPECIES["obstacle"],)
        )
        train = ParticleSet(self.path, raw).trajectories("train")
        moving = [t.positions[:, t.species != SPECIES["obstacle"]] for t in train]
        suggestion = suggest(moving, scene.box)
        names = {name: n for t in train for name, n in _names_of(t.species).items()}
        return replace(
            raw,
            radius=suggestion.radius,
            species=names,
            statistics=motion_statistics(moving, scene.box),
            extra={
                "solver": self.solver["_target_"].rsplit(".", 1)[-1],
                "dx": instantiate(self.solver).spacing,
                "suggested_noise": suggestion.noise,
                "suggested_history": suggestion.history,
                "settings": asdict(self),
            },
        )


def species_numbers(names: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return numbers of materials and elements ``[N]`` int32.

    Raises:
        ValueError: a name that is neither.
    """
    from ase.data import atomic_numbers

    table = atomic_numbers | SPECIES
    unknown = sorted(set(map(str, names)) - set(table))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no element and none of {', '.join(SPECIES)}")
    return np.array([table[str(name)] for name in names], dtype=np.int32)


def _default_workers(device: str) -> int:
    import os

    return 1 if device.startswith("cuda") else len(os.sched_getaffinity(0))


def _named(names: np.ndarray) -> dict[str, int]:
    unique = sorted(set(map(str, names)))
    return dict(zip(unique, species_numbers(unique).tolist(), strict=True))


def _names_of(numbers: np.ndarray) -> dict[str, int]:
    from ase.data import chemical_symbols

    materials = {number: name for name, number in SPECIES.items()}
    return {materials.get(n, chemical_symbols[n]): n for n in np.unique(numbers).tolist()}
