"""Frames to moving pictures: several simulations side by side, in two or three dimensions.

{title: frames} -> animate -> GIF | MP4
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molgraph.particles.data.statistics import velocities
from molgraph.particles.geometry.space import Box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#3b7dd8", "#d9a441", "#5aa469", "#b5543c", "#8663b0", "#4fb3bf")


def animate(
    path: str | Path,
    panels: dict[str, np.ndarray],
    box: Box,
    species: np.ndarray,
    color: str = "material",
    frames: int = 80,
    seconds: float = 5.0,
) -> Path:
    """Write a GIF (or an MP4, where ffmpeg is installed) of simulations side by side, in a wide box below each other.

    Args:
        path: where to write; the suffix chooses the format.
        panels: frames ``[T, N, D]`` of each simulation under its title; the shortest sets the length.
        box: what to show; open axes are shown as far as particles go.
        species: types ``[N]``.
        color: ``material`` or ``speed``.
        frames: number of frames of the picture.
        seconds: how long it lasts.

    Raises:
        ValueError: a color that is neither, a suffix that is neither, or no ffmpeg for an MP4.
    """
    path = Path(path)
    if color not in ("material", "speed"):
        raise ValueError(f"color={color!r} is neither 'material' nor 'speed'")
    length = min(len(p) for p in panels.values())
    chosen = np.unique(np.linspace(0, length - 1, min(frames, length)).astype(int))
    figure, draw = _figure(panels, box, species, color, chosen)
    if path.suffix == ".gif":
        _save_gif(path, figure, draw, len(chosen), seconds)
    else:
        _save_mp4(path, figure, draw, len(chosen), seconds)
    return path


def _save_gif(path: Path, figure: "Figure", draw: Callable[[int], None], frames: int, seconds: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)

    pictures = []
    for step in range(frames):
        draw(step)
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        # a few colours are enough for dots, and make the file five times smaller
        pictures.append(picture.quantize(24, dither=Image.Dither.NONE))
    duration = max(20, round(1000 * seconds / frames))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0, optimize=True)


def _save_mp4(path: Path, figure: "Figure", draw: Callable[[int], None], frames: int, seconds: float) -> None:
    from matplotlib.animation import FFMpegWriter, FuncAnimation

    if path.suffix != ".mp4":
        raise ValueError(f"{path.name}: moving pictures are .gif or .mp4")
    if not FFMpegWriter.isAvailable():
        raise ValueError(f"{path.name}: an MP4 needs ffmpeg, which is not installed; install it or write a .gif")
    animation = FuncAnimation(figure, draw, frames=frames, blit=False)
    animation.save(str(path), writer=FFMpegWriter(fps=max(1, round(frames / seconds))), dpi=72)


def _figure(
    panels: dict[str, np.ndarray], box: Box, species: np.ndarray, color: str, chosen: np.ndarray
) -> "tuple[Figure, Callable[[int], None]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    limits = _limits(panels, box)
    width, height = _panel_size(limits)
    rows, columns = (len(panels), 1) if width > 2 * height else (1, len(panels))
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", dpi=72)
    FigureCanvasAgg(figure)
    shade = _shades(panels, box, species, color)
    axes = []
    for place, title in enumerate(panels):
        axis = figure.add_subplot(rows, columns, place + 1, projection="3d" if box.dim == 3 else None)
        axis.set_title(title)
        axes.append(axis)

    def draw(step: int) -> None:
        for axis, (title, frames) in zip(axes, panels.items(), strict=True):
            axis.clear()
            axis.set_title(title)
            _scatter(axis, frames[chosen[step]], shade[title][chosen[step]], limits)

    return figure, draw


def _panel_size(limits: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return width and height of one simulation and its title in inches: shaped as the box."""
    across, up = (high - low for low, high in limits[:2])
    if len(limits) == 3 or min(across, up) <= 0:
        return 3.6, 3.8
    width = min(max(3.6 * (across / up) ** 0.5, 1.8), 7.2)
    return width, min(max(width * up / across, 0.4), 7.2) + 0.3


def _scatter(axis: Any, positions: np.ndarray, shade: np.ndarray, limits: Sequence[tuple[float, float]]) -> None:
    size = max(0.6, min(14.0, 5000 / max(len(positions), 1)))
    axis.set_xlim(*limits[0])
    if len(limits) == 2:
        axis.set_ylim(*limits[1])
        axis.set_aspect("equal")
        axis.scatter(positions[:, 0], positions[:, 1], c=shade, s=size, linewidths=0)
    else:
        # the second axis of the data is up: it is where gravity points in every set
        axis.set_ylim(*limits[2])
        axis.set_zlim(*limits[1])
        axis.set_box_aspect([limits[a][1] - limits[a][0] for a in (0, 2, 1)])
        axis.scatter(positions[:, 0], positions[:, 2], positions[:, 1], c=shade, s=size, linewidths=0)
        axis.set_zticks([])
    axis.set_xticks([])
    axis.set_yticks([])


def _limits(panels: dict[str, np.ndarray], box: Box) -> list[tuple[float, float]]:
    first = next(iter(panels.values()))
    low, high = np.nanmin(first, axis=(0, 1)), np.nanmax(first, axis=(0, 1))
    pairs = zip(box.lower, box.upper, low, high, strict=True)
    ends = [(float(a if np.isfinite(a) else c), float(b if np.isfinite(b) else d)) for a, b, c, d in pairs]
    # a plane in an open box has no thickness of its own, and a picture needs one
    thin = 0.05 * max((b - a for a, b in ends), default=0.0) or 1.0
    return [(a, b) if b > a else (a - thin, b + thin) for a, b in ends]


def _shades(panels: dict[str, np.ndarray], box: Box, species: np.ndarray, color: str) -> dict[str, np.ndarray]:
    """Return colour of each particle in each frame, ``[T, N, 4]``."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    if color == "material":
        kinds = np.unique(species)
        table = {k: to_rgba("#555555" if k == 3 else PALETTE[i % len(PALETTE)]) for i, k in enumerate(kinds)}
        row = np.array([table[k] for k in species])
        return {title: np.broadcast_to(row, (len(frames), *row.shape)) for title, frames in panels.items()}
    speeds = {title: np.linalg.norm(velocities(frames, box), axis=-1) for title, frames in panels.items()}
    top = float(np.nanpercentile(next(iter(speeds.values())), 99)) or 1.0
    paint = colormaps["viridis"]
    return {t: paint(np.clip(np.nan_to_num(np.concatenate([s[:1], s])) / top, 0, 1)) for t, s in speeds.items()}
