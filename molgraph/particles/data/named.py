"""Particle sets by name, and sets made of trajectories of one's own.

name -> YAML -> SimulatedSet;  files -> Trajectory -> set
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from molgraph.particles.data.checks import check_trajectory
from molgraph.particles.data.formats import read_ase, read_gns_npz
from molgraph.particles.data.simulated import SimulatedSet
from molgraph.particles.data.trajectory import SPLITS, Metadata, ParticleSet, Trajectory, write_set
from molgraph.particles.geometry.space import Box
from molgraph.training.config import CONF, instantiate

_TARGET = "molgraph.particles.data.simulated.SimulatedSet"


def set_files() -> dict[str, Path]:
    """Return the YAML file of each named set."""
    return {path.stem: path for path in sorted((CONF / "data").glob("*.yaml")) if _TARGET in path.read_text()}


def named_set(
    name: str, folder: str | None = None, changes: dict[str, Any] | None = None, counts: dict[str, int] | None = None
) -> SimulatedSet:
    """Return the set called ``name``, or described by the YAML file ``name``.

    Args:
        name: a name in ``conf/data`` or a file.
        folder: where to keep it; the user's cache by default.
        changes: other settings than those of the file.
        counts: other numbers of trajectories.

    Raises:
        ValueError: no such set.
    """
    known = set_files()
    path = known.get(name, Path(name))
    if not path.is_file():
        raise ValueError(f"there is no particle set {name!r}; there are {', '.join(known)}, or give a YAML file")
    node = yaml.safe_load(path.read_text())
    node["trajectories"] = node["trajectories"] | (counts or {})
    return instantiate(node | (changes or {}), folder=folder)


def import_files(files: Sequence[str], folder: Path, dt: float) -> ParticleSet:
    """Return a set of trajectories in GNS or ASE files: a tenth (at least one) validates, as many test, the rest train.

    One or two trajectories are cut in time: the first 80 % train, then 10 % each. Walls of GNS files are set where the
    particles come closest to them; write other bounds into ``metadata.json`` where that is not what they are.

    Raises:
        ValueError: files in different boxes, or a trajectory that cannot be learned from.
    """
    trajectories: list[Trajectory] = []
    boxes: list[Box] = []
    for file in files:
        if Path(file).suffix == ".npz":
            trajectories += read_gns_npz(file)
        else:
            trajectory, box = read_ase(file)
            trajectories.append(trajectory)
            boxes.append(box)
    if any(box != boxes[0] for box in boxes):
        raise ValueError(f"the files have different boxes ({boxes}); make one set for each")
    box = boxes[0] if boxes else _bounds(trajectories)
    for number, trajectory in enumerate(trajectories):
        check_trajectory(trajectory, box, 3, f"trajectory {number}")
    metadata = Metadata(box, dt, 0.0, (0.0,) * box.dim)
    return write_set(folder, _split(trajectories), metadata)


def _bounds(trajectories: list[Trajectory]) -> Box:
    low = np.min([t.positions.min((0, 1)) for t in trajectories], axis=0)
    high = np.max([t.positions.max((0, 1)) for t in trajectories], axis=0)
    return Box(tuple(low), tuple(high))


def _split(trajectories: list[Trajectory]) -> dict[str, list[Trajectory]]:
    if len(trajectories) >= 3:
        tenth = max(1, len(trajectories) // 10)
        valid, test = trajectories[-2 * tenth : -tenth], trajectories[-tenth:]
        return {"train": trajectories[: -2 * tenth], "valid": valid, "test": test}
    pieces: dict[str, list[Trajectory]] = {split: [] for split in SPLITS}
    for t in trajectories:
        cuts = [0, int(0.8 * len(t)), int(0.9 * len(t)), len(t)]
        for split, first, last in zip(SPLITS, cuts, cuts[1:], strict=False):
            pieces[split].append(Trajectory(t.positions[first:last], t.species, t.gravity))
    return pieces


def print_names(console: Console) -> None:
    """Print the named sets with the first line of their files."""
    table = Table("set", "what it is")
    for name, path in set_files().items():
        table.add_row(name, escape(path.read_text().splitlines()[0].lstrip("# ")))
    console.print(table)


def print_set(made: ParticleSet, console: Console) -> None:
    """Print where a set is and what it suggests."""
    from molgraph.particles.data.statistics import suggest

    metadata = made.metadata
    train = made.trajectories("train")
    moving = [t.positions[:, ~np.isin(t.species, metadata.kinematic)] for t in train]
    console.print(str(made.folder), highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{len(train)} training trajectories, {sum(map(len, train))} frames, "
        f"up to {max(t.positions.shape[1] for t in train)} particles, types {metadata.species or 'as in the files'}",
        highlight=False,
        markup=False,
    )
    console.print(f"suggested: {suggest(moving, metadata.box)}", highlight=False, markup=False)
