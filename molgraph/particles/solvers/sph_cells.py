"""Particles in cells for the SPH kernels: who may be near whom, in open and periodic boxes of two or three dimensions.

positions -> count_cells -> fill_cells -> over_neighbors
"""

# Warp reads the annotations of kernels as its types, so this file cannot postpone their evaluation,
# and the language of kernels is Warp's, of which mypy knows nothing:
# mypy: ignore-errors
import warp as wp


@wp.struct
class Fluid:
    """Constants, SI units; ``period`` is 0 along axes without one."""

    h: float
    norm: float
    mass: float
    density: float
    sound: float
    viscosity: float
    artificial: float
    background: float
    diffusion: float
    gravity: wp.vec3
    period: wp.vec3
    origin: wp.vec3
    cell: wp.vec3
    counts: wp.vec3i


@wp.struct
class Particles:
    """The arrays of all particles, and where the particles of each cell stand in ``order``."""

    positions: wp.array(dtype=wp.vec3)
    velocities: wp.array(dtype=wp.vec3)
    shifts: wp.array(dtype=wp.vec3)
    accelerations: wp.array(dtype=wp.vec3)
    pushes: wp.array(dtype=wp.vec3)
    solid: wp.array(dtype=int)
    old: wp.array(dtype=float)
    densities: wp.array(dtype=float)
    pressures: wp.array(dtype=float)
    cells: wp.array(dtype=int)
    starts: wp.array(dtype=int)
    ends: wp.array(dtype=int)
    order: wp.array(dtype=int)


@wp.func
def nearest(vector: wp.vec3, fluid: Fluid) -> wp.vec3:
    """Return the shortest periodic image of a difference of positions."""
    result = vector
    for axis in range(3):
        if fluid.period[axis] > 0.0:
            result[axis] = vector[axis] - fluid.period[axis] * wp.round(vector[axis] / fluid.period[axis])
    return result


@wp.func
def cell_of(position: wp.vec3, fluid: Fluid) -> wp.vec3i:
    """Return cell of a position; positions behind the last cell count as in it."""
    cell = wp.vec3i(0, 0, 0)
    for axis in range(3):
        place = wp.int32(wp.floor((position[axis] - fluid.origin[axis]) / fluid.cell[axis]))
        cell[axis] = wp.clamp(place, 0, fluid.counts[axis] - 1)
    return cell


@wp.func
def neighbor_cell(cell: wp.vec3i, step: int, fluid: Fluid) -> int:
    """Return flat index of one of the 27 cells around ``cell``; -1 where there is none or where it was seen already."""
    result = 0
    offsets = wp.vec3i(step // 9 - 1, (step // 3) % 3 - 1, step % 3 - 1)
    for axis in range(3):
        place = cell[axis] + offsets[axis]
        count = fluid.counts[axis]
        if fluid.period[axis] > 0.0:
            if (count == 1 and offsets[axis] != 0) or (count == 2 and offsets[axis] == -1):
                result = -1
            place = (place + count) % count
        if place < 0 or place >= count:
            result = -1
        if result >= 0:
            result = result * count + place
    return result


def over_neighbors(of_pair: wp.Function) -> wp.Function:
    """Return a function that sums ``of_pair`` over the particles in the 27 cells around a particle, itself among them.

    Args:
        of_pair: takes two running sums, the particles ``p`` and ``q`` and the vector from ``q`` to ``p``; returns the
            two sums, of which the second may stay as it is.
    """

    @wp.func
    def sums(p: int, start: wp.vec3, at: Particles, fluid: Fluid) -> tuple[wp.vec3, wp.vec3]:
        first = start
        second = wp.vec3(0.0, 0.0, 0.0)
        here = at.positions[p]
        cell = cell_of(here, fluid)
        for step in range(27):
            other = neighbor_cell(cell, step, fluid)
            if other >= 0:
                for slot in range(at.starts[other], at.ends[other]):
                    q = at.order[slot]
                    first, second = of_pair(first, second, p, q, nearest(here - at.positions[q], fluid), at, fluid)
        return first, second

    return sums


@wp.kernel
def count_cells(at: Particles, fluid: Fluid) -> None:
    """Write the cell of each particle and count the particles of each cell."""
    p = wp.tid()
    cell = cell_of(at.positions[p], fluid)
    flat = (cell[0] * fluid.counts[1] + cell[1]) * fluid.counts[2] + cell[2]
    at.cells[p] = flat
    wp.atomic_add(at.ends, flat, 1)


@wp.kernel
def fill_cells(at: Particles) -> None:
    """List the particles of each cell; ``starts``, at first the ends, becomes the start of each cell."""
    p = wp.tid()
    at.order[wp.atomic_sub(at.starts, at.cells[p], 1) - 1] = p
