"""Pairs within a radius by a cell list of plain tensor operations, which stays on the device of the positions.

positions -> cell of each -> particles sorted by cell -> candidates from neighbour cells -> pairs
"""

import itertools
import math

import torch
from torch import Tensor

from molgraph.particles.geometry.space import Box

_MAX_CELLS_PER_AXIS = 1024


def cell_pairs(positions: Tensor, radius: float, box: Box, graph: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return all ordered pairs closer than ``radius`` (minimum image), without self pairs and without a cap.

    Args:
        positions: ``[N, D]``, inside the box on periodic axes.
        radius: search radius, in the unit of the positions.
        box: gives the periods.
        graph: graph of each particle ``[N]``; pairs never join two graphs. One graph by default.

    Returns:
        ``(dst, src)``, each ``[E]``, in no particular order.
    """
    if len(positions) == 0:
        empty = torch.zeros(0, dtype=torch.long, device=positions.device)
        return empty, empty
    low, size, counts = _grid(positions, radius, box)
    cell = ((positions - low) / size).long()
    cell = torch.minimum(cell.clamp(min=0), counts - 1)  # [N, D]
    graph = torch.zeros_like(cell[:, 0]) if graph is None else graph
    flat = _flatten(cell, counts, graph)
    order = torch.argsort(flat, stable=True)
    sorted_cells = flat[order]
    pairs = [
        _pairs_with_cell(cell, offset, counts, graph, sorted_cells, order, box)
        for offset in itertools.product(*_offsets(counts, box))
    ]
    dst, src = (torch.cat(part) for part in zip(*pairs, strict=True))
    vector = box.nearest_image(positions[dst] - positions[src])
    close = (vector.square().sum(1) <= radius**2) & (dst != src)
    return dst[close], src[close]


def _grid(positions: Tensor, radius: float, box: Box) -> tuple[Tensor, Tensor, Tensor]:
    """Return origin, cell size and number of cells of each axis, on the device."""
    wraps = torch.tensor(box.periodic, device=positions.device)
    finite = [(b if math.isfinite(b) else 0.0) for b in box.lower]
    low = torch.where(wraps, positions.new_tensor(finite), positions.amin(0))
    lengths = [(n if math.isfinite(n) else 1.0) for n in box.lengths]
    length = torch.where(wraps, positions.new_tensor(lengths), positions.amax(0) - low)
    # a cell may be wider than the radius, never narrower: one ring of neighbour cells must hold every pair
    counts = (length / radius).floor().clamp(1, _MAX_CELLS_PER_AXIS).long()
    return low, (length / counts).clamp(min=radius), counts


def _offsets(counts: Tensor, box: Box) -> list[tuple[int, ...]]:
    """Return cells to visit along each axis; a period of one or two cells must not visit the same cell twice."""
    if not any(box.periodic):
        return [(-1, 0, 1)] * box.dim  # read nothing back from the device
    small = counts.tolist()
    periodic = {1: (0,), 2: (0, 1)}
    return [periodic.get(n, (-1, 0, 1)) if p else (-1, 0, 1) for n, p in zip(small, box.periodic, strict=True)]


def _flatten(cell: Tensor, counts: Tensor, graph: Tensor) -> Tensor:
    flat = graph
    for axis in range(cell.shape[1]):
        flat = flat * counts[axis] + cell[:, axis]
    return flat


def _pairs_with_cell(
    cell: Tensor, offset: tuple[int, ...], counts: Tensor, graph: Tensor, sorted_cells: Tensor, order: Tensor, box: Box
) -> tuple[Tensor, Tensor]:
    """Return every particle with every particle of the cell at ``offset`` from its own."""
    other = cell + torch.tensor(offset, device=cell.device)
    wraps = torch.tensor(box.periodic, device=cell.device)
    exists = (((other >= 0) & (other < counts)) | wraps).all(1)
    other = torch.where(wraps, torch.remainder(other, counts), other)
    flat = _flatten(other, counts, graph)
    first = torch.searchsorted(sorted_cells, flat)
    number = (torch.searchsorted(sorted_cells, flat, right=True) - first) * exists
    dst = torch.repeat_interleave(torch.arange(len(cell), device=cell.device), number)
    start = torch.cumsum(number, 0) - number
    rank = torch.arange(len(dst), device=cell.device) - start[dst]
    return dst, order[first[dst] + rank]
