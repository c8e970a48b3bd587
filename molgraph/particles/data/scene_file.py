"""A scene written by hand: a YAML file with a box, gravity, blocks of material and obstacles.

box: [[0, 2], [0, 1]]
gravity: [0, -9.81]
spacing: 0.016
blocks:
  - {material: water, center: [0.5, 0.4], half: [0.3, 0.2], velocity: [1, 0]}
obstacles:
  - {center: [1.4, 0.2], half: [0.2, 0.02], angle: 20}
"""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from molgraph.particles.data.checks import check_apart, check_inside
from molgraph.particles.geometry.space import Box
from molgraph.particles.solvers.scenes import Obstacle, Scene, box_contains

_KEYS = {"box", "periodic", "gravity", "spacing", "blocks", "obstacles"}


def read_scene(path: str | Path) -> Scene:
    """Read a scene file.

    Raises:
        ValueError: an unknown or missing key, particles outside the box or on top of each other.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no scene file {path}")
    values = yaml.safe_load(Path(path).read_text()) or {}
    return scene_from_dict(values, str(path))


def scene_from_dict(values: dict[str, Any], name: str = "scene") -> Scene:
    """Return the scene that the keys of a scene file describe; see :func:`read_scene`."""
    unknown, missing = set(values) - _KEYS, {"box", "spacing", "blocks"} - set(values)
    if unknown or missing:
        raise ValueError(f"{name}: unknown keys {sorted(unknown)}, missing keys {sorted(missing)}")
    box = Box.from_bounds(values["box"], values.get("periodic", ()))
    spacing = float(values["spacing"])
    obstacles = tuple(_brick(node, box.dim, name) for node in values.get("obstacles", ()))
    groups = [_block(node, box, spacing, name) for node in values["blocks"]]
    for obstacle in obstacles:
        points = obstacle.fill(spacing)
        points = points[box_contains(points, box, 0.0)]
        groups.append((points, np.zeros_like(points), "obstacle"))
    positions = np.concatenate([points for points, _, _ in groups])
    check_inside(positions[None], box, name)
    check_apart(positions, name)
    species = np.concatenate([np.full(len(points), kind, dtype=object) for points, _, kind in groups]).astype(str)
    gravity = np.array(values.get("gravity", [0.0] * box.dim), dtype=float)
    return Scene(box, positions, np.concatenate([v for _, v, _ in groups]), species, gravity, obstacles)


def _block(node: dict[str, Any], box: Box, spacing: float, name: str) -> tuple[np.ndarray, np.ndarray, str]:
    points = _brick(node, box.dim, name).fill(spacing)
    velocity = np.array(node.get("velocity", [0.0] * box.dim), dtype=float)
    return points, np.tile(velocity, (len(points), 1)), str(node.get("material", "water"))


def _brick(node: dict[str, Any], dim: int, name: str) -> Obstacle:
    if len(node.get("center", ())) != dim or len(node.get("half", ())) != dim:
        raise ValueError(f"{name}: {node} needs a center and a half with {dim} entries")
    return Obstacle(tuple(node["center"]), tuple(node["half"]), float(node.get("angle", 0.0)))
