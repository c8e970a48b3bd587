"""The kernels of smoothed particle hydrodynamics for Warp: cells -> density -> wall pressure -> forces -> motion.

Two dimensions are one layer of cells of the same code. Periods are handled by the shortest image of each distance.
"""

# Warp reads the annotations of kernels as its types, so this file cannot postpone their evaluation,
# and the language of kernels is Warp's, of which mypy knows nothing:
# mypy: ignore-errors
import warp as wp

from molgraph.particles.solvers.sph_cells import Fluid, cell_of, count_cells, fill_cells, nearest, neighbor_cell

__all__ = [
    "Fluid",
    "advance",
    "advected_density",
    "count_cells",
    "fill_cells",
    "forces",
    "summed_density",
    "wall_pressure",
]


@wp.func
def power5(x: float) -> float:
    """Return x^5 for positive x, otherwise 0."""
    y = wp.max(x, 0.0)
    return y * y * y * y * y


@wp.func
def power4(x: float) -> float:
    """Return x^4 for positive x, otherwise 0."""
    y = wp.max(x, 0.0)
    return y * y * y * y


@wp.func
def kernel(r: float, fluid: Fluid) -> float:
    """Return quintic spline (Morris et al. 1997, eq. 20), zero beyond 3 h."""
    q = r / fluid.h
    return fluid.norm * (power5(3.0 - q) - 6.0 * power5(2.0 - q) + 15.0 * power5(1.0 - q))


@wp.func
def kernel_slope(r: float, fluid: Fluid) -> float:
    """Return dW/dr of the quintic spline."""
    q = r / fluid.h
    return -5.0 * fluid.norm / fluid.h * (power4(3.0 - q) - 6.0 * power4(2.0 - q) + 15.0 * power4(1.0 - q))


@wp.kernel
def summed_density(
    positions: wp.array(dtype=wp.vec3),
    starts: wp.array(dtype=int),
    ends: wp.array(dtype=int),
    order: wp.array(dtype=int),
    fluid: Fluid,
    densities: wp.array(dtype=float),
    pressures: wp.array(dtype=float),
) -> None:
    """Density as the sum of kernels, for fluids without a free surface."""
    p = wp.tid()
    here = positions[p]
    cell = cell_of(here, fluid)
    total = float(0.0)  # noqa: UP018
    for step in range(27):
        other = neighbor_cell(cell, step, fluid)
        if other >= 0:
            for slot in range(starts[other], ends[other]):
                total += kernel(wp.length(nearest(here - positions[order[slot]], fluid)), fluid)
    densities[p] = fluid.mass * total
    pressures[p] = fluid.sound * fluid.sound * (densities[p] - fluid.density)


@wp.kernel
def advected_density(
    positions: wp.array(dtype=wp.vec3),
    velocities: wp.array(dtype=wp.vec3),
    solid: wp.array(dtype=int),
    starts: wp.array(dtype=int),
    ends: wp.array(dtype=int),
    order: wp.array(dtype=int),
    fluid: Fluid,
    dt: float,
    old: wp.array(dtype=float),
    densities: wp.array(dtype=float),
    pressures: wp.array(dtype=float),
) -> None:
    """Density from the continuity equation with diffusion (Molteni & Colagrossi 2009, eq. 11), for free surfaces."""
    p = wp.tid()
    if solid[p] == 0:
        here = positions[p]
        cell = cell_of(here, fluid)
        rate = float(0.0)  # noqa: UP018
        for step in range(27):
            other = neighbor_cell(cell, step, fluid)
            if other >= 0:
                for slot in range(starts[other], ends[other]):
                    q = order[slot]
                    apart = nearest(here - positions[q], fluid)
                    r = wp.length(apart)
                    if r < 3.0 * fluid.h and q != p:
                        slope = kernel_slope(r, fluid) * fluid.mass / old[q]
                        rate += old[p] * slope / r * wp.dot(velocities[p] - velocities[q], apart)
                        if solid[q] == 0:
                            rate += 2.0 * fluid.diffusion * fluid.h * fluid.sound * (old[p] - old[q]) * slope / r
        # spray is not thin water: a density that fell in flight would let it run through the wall it meets next, and
        # the negative pressure of a low density makes particles clump
        densities[p] = wp.max(old[p] + dt * rate, fluid.density)
        pressures[p] = fluid.sound * fluid.sound * (densities[p] - fluid.density)


@wp.kernel
def wall_pressure(
    positions: wp.array(dtype=wp.vec3),
    solid: wp.array(dtype=int),
    starts: wp.array(dtype=int),
    ends: wp.array(dtype=int),
    order: wp.array(dtype=int),
    fluid: Fluid,
    densities: wp.array(dtype=float),
    pressures: wp.array(dtype=float),
) -> None:
    """Pressure of wall particles, extrapolated from the fluid (Adami et al. 2012, eq. 27)."""
    p = wp.tid()
    if solid[p] == 1:
        cell = cell_of(positions[p], fluid)
        total = float(0.0)  # noqa: UP018
        weight = float(0.0)  # noqa: UP018
        for step in range(27):
            other = neighbor_cell(cell, step, fluid)
            if other >= 0:
                for slot in range(starts[other], ends[other]):
                    q = order[slot]
                    if solid[q] == 0:
                        apart = nearest(positions[p] - positions[q], fluid)
                        share = kernel(wp.length(apart), fluid)
                        total += share * (pressures[q] + densities[q] * wp.dot(fluid.gravity, apart))
                        weight += share
        pressures[p] = wp.max(total / wp.max(weight, 1.0e-6 * fluid.norm), 0.0)
        densities[p] = fluid.density + pressures[p] / (fluid.sound * fluid.sound)


@wp.kernel
def forces(
    positions: wp.array(dtype=wp.vec3),
    velocities: wp.array(dtype=wp.vec3),
    shifts: wp.array(dtype=wp.vec3),
    solid: wp.array(dtype=int),
    starts: wp.array(dtype=int),
    ends: wp.array(dtype=int),
    order: wp.array(dtype=int),
    densities: wp.array(dtype=float),
    pressures: wp.array(dtype=float),
    fluid: Fluid,
    accelerations: wp.array(dtype=wp.vec3),
    pushes: wp.array(dtype=wp.vec3),
) -> None:
    """Pressure, viscosity, transport velocity (Adami et al. 2013, eqs. 8, 13), artificial viscosity (Antuono 2010)."""
    p = wp.tid()
    force = fluid.gravity
    push = wp.vec3(0.0, 0.0, 0.0)
    if solid[p] == 0:
        here = positions[p]
        cell = cell_of(here, fluid)
        own = fluid.mass / densities[p]
        for step in range(27):
            other = neighbor_cell(cell, step, fluid)
            if other >= 0:
                for slot in range(starts[other], ends[other]):
                    q = order[slot]
                    apart = nearest(here - positions[q], fluid)
                    r = wp.length(apart)
                    if r < 3.0 * fluid.h and q != p:
                        theirs = fluid.mass / densities[q]
                        volumes = (own * own + theirs * theirs) / fluid.mass
                        gradient = kernel_slope(r, fluid) / r * apart
                        mean = (densities[q] * pressures[p] + densities[p] * pressures[q]) / (
                            densities[p] + densities[q]
                        )
                        relative = velocities[p] - velocities[q]
                        force -= volumes * mean * gradient
                        # a difference of advection and transport velocity carries momentum of its own
                        stress_p = densities[p] * wp.dot(shifts[p], gradient) * velocities[p]
                        stress_q = densities[q] * wp.dot(shifts[q], gradient) * velocities[q]
                        force += 0.5 * volumes * (stress_p + stress_q)
                        viscous = (
                            fluid.viscosity
                            * fluid.density
                            * wp.dot(apart, gradient)
                            / (r * r + 0.01 * fluid.h * fluid.h)
                        )
                        force += volumes * viscous * relative
                        # on pairs that part as well: damping approach alone turns trembling into pressure
                        closing = wp.dot(relative, apart) * fluid.h / (r * r + 0.01 * fluid.h * fluid.h)
                        if solid[q] == 0:
                            force += fluid.artificial * fluid.sound * closing * fluid.mass / fluid.density * gradient
                        push -= volumes * fluid.background * gradient
    accelerations[p] = force
    pushes[p] = push


@wp.kernel
def advance(
    positions: wp.array(dtype=wp.vec3),
    velocities: wp.array(dtype=wp.vec3),
    shifts: wp.array(dtype=wp.vec3),
    solid: wp.array(dtype=int),
    accelerations: wp.array(dtype=wp.vec3),
    pushes: wp.array(dtype=wp.vec3),
    fluid: Fluid,
    dt: float,
) -> None:
    """Semi-implicit Euler with the transport velocity; positions wrap into the period."""
    p = wp.tid()
    if solid[p] == 0:
        velocities[p] = velocities[p] + dt * accelerations[p]
        shifts[p] = dt * pushes[p]
        moved = positions[p] + dt * (velocities[p] + shifts[p])
        for axis in range(3):
            if fluid.period[axis] > 0.0:
                low = fluid.origin[axis]
                moved[axis] = moved[axis] - fluid.period[axis] * wp.floor((moved[axis] - low) / fluid.period[axis])
        positions[p] = moved
