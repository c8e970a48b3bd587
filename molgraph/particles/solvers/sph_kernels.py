"""The kernels of smoothed particle hydrodynamics for Warp: cells -> density -> wall pressure -> forces -> motion.

Two dimensions are one layer of cells of the same code. Periods are handled by the shortest image of each distance.
"""

# Warp reads the annotations of kernels as its types, so this file cannot postpone their evaluation,
# and the language of kernels is Warp's, of which mypy knows nothing:
# mypy: ignore-errors
import warp as wp

from molgraph.particles.solvers.sph_cells import (
    Fluid,
    Particles,
    count_cells,
    fill_cells,
    over_neighbors,
)

__all__ = [
    "Fluid",
    "Particles",
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


@wp.func
def density_of_pair(
    total: wp.vec3, rest: wp.vec3, p: int, q: int, apart: wp.vec3, at: Particles, fluid: Fluid
) -> tuple[wp.vec3, wp.vec3]:
    """Add the kernel to ``total[0]``."""
    total[0] = total[0] + kernel(wp.length(apart), fluid)
    return total, rest


@wp.func
def rate_of_pair(
    total: wp.vec3, rest: wp.vec3, p: int, q: int, apart: wp.vec3, at: Particles, fluid: Fluid
) -> tuple[wp.vec3, wp.vec3]:
    """Add the rate of change of density to ``total[0]``."""
    r = wp.length(apart)
    if r < 3.0 * fluid.h and q != p:
        slope = kernel_slope(r, fluid) * fluid.mass / at.old[q]
        total[0] = total[0] + at.old[p] * slope / r * wp.dot(at.velocities[p] - at.velocities[q], apart)
        if at.solid[q] == 0:
            total[0] = total[0] + 2.0 * fluid.diffusion * fluid.h * fluid.sound * (at.old[p] - at.old[q]) * slope / r
    return total, rest


@wp.func
def wall_of_pair(
    total: wp.vec3, rest: wp.vec3, p: int, q: int, apart: wp.vec3, at: Particles, fluid: Fluid
) -> tuple[wp.vec3, wp.vec3]:
    """Add weighted pressure of the fluid to ``total[0]``, and its weight to ``total[1]``."""
    if at.solid[q] == 0:
        share = kernel(wp.length(apart), fluid)
        total[0] = total[0] + share * (at.pressures[q] + at.densities[q] * wp.dot(fluid.gravity, apart))
        total[1] = total[1] + share
    return total, rest


@wp.func
def force_of_pair(
    force: wp.vec3, push: wp.vec3, p: int, q: int, apart: wp.vec3, at: Particles, fluid: Fluid
) -> tuple[wp.vec3, wp.vec3]:
    """Add the acceleration that the pair gives to ``force``, and that of the background pressure to ``push``."""
    r = wp.length(apart)
    if r < 3.0 * fluid.h and q != p:
        own = fluid.mass / at.densities[p]
        theirs = fluid.mass / at.densities[q]
        volumes = (own * own + theirs * theirs) / fluid.mass
        gradient = kernel_slope(r, fluid) / r * apart
        mean = (at.densities[q] * at.pressures[p] + at.densities[p] * at.pressures[q]) / (
            at.densities[p] + at.densities[q]
        )
        relative = at.velocities[p] - at.velocities[q]
        force -= volumes * mean * gradient
        # a difference of advection and transport velocity carries momentum of its own
        stress_p = at.densities[p] * wp.dot(at.shifts[p], gradient) * at.velocities[p]
        stress_q = at.densities[q] * wp.dot(at.shifts[q], gradient) * at.velocities[q]
        force += 0.5 * volumes * (stress_p + stress_q)
        viscous = fluid.viscosity * fluid.density * wp.dot(apart, gradient) / (r * r + 0.01 * fluid.h * fluid.h)
        force += volumes * viscous * relative
        # on pairs that part as well: damping approach alone turns trembling into pressure
        closing = wp.dot(relative, apart) * fluid.h / (r * r + 0.01 * fluid.h * fluid.h)
        if at.solid[q] == 0:
            force += fluid.artificial * fluid.sound * closing * fluid.mass / fluid.density * gradient
        push -= volumes * fluid.background * gradient
    return force, push


density_sums = over_neighbors(density_of_pair)
rate_sums = over_neighbors(rate_of_pair)
wall_sums = over_neighbors(wall_of_pair)
force_sums = over_neighbors(force_of_pair)


@wp.kernel
def summed_density(at: Particles, fluid: Fluid) -> None:
    """Density as the sum of kernels, for fluids without a free surface."""
    p = wp.tid()
    total, _rest = density_sums(p, wp.vec3(0.0, 0.0, 0.0), at, fluid)
    at.densities[p] = fluid.mass * total[0]
    at.pressures[p] = fluid.sound * fluid.sound * (at.densities[p] - fluid.density)


@wp.kernel
def advected_density(at: Particles, fluid: Fluid, dt: float) -> None:
    """Density from the continuity equation with diffusion (Molteni & Colagrossi 2009, eq. 11), for free surfaces."""
    p = wp.tid()
    if at.solid[p] == 0:
        rate, _rest = rate_sums(p, wp.vec3(0.0, 0.0, 0.0), at, fluid)
        # spray is not thin water: a density that fell in flight would let it run through the wall it meets next, and
        # the negative pressure of a low density makes particles clump
        at.densities[p] = wp.max(at.old[p] + dt * rate[0], fluid.density)
        at.pressures[p] = fluid.sound * fluid.sound * (at.densities[p] - fluid.density)


@wp.kernel
def wall_pressure(at: Particles, fluid: Fluid) -> None:
    """Pressure of wall particles, extrapolated from the fluid (Adami et al. 2012, eq. 27)."""
    p = wp.tid()
    if at.solid[p] == 1:
        total, _rest = wall_sums(p, wp.vec3(0.0, 0.0, 0.0), at, fluid)
        at.pressures[p] = wp.max(total[0] / wp.max(total[1], 1.0e-6 * fluid.norm), 0.0)
        at.densities[p] = fluid.density + at.pressures[p] / (fluid.sound * fluid.sound)


@wp.kernel
def forces(at: Particles, fluid: Fluid) -> None:
    """Pressure, viscosity, transport velocity (Adami et al. 2013, eqs. 8, 13), artificial viscosity (Antuono 2010)."""
    p = wp.tid()
    force = fluid.gravity
    push = wp.vec3(0.0, 0.0, 0.0)
    if at.solid[p] == 0:
        force, push = force_sums(p, fluid.gravity, at, fluid)
    at.accelerations[p] = force
    at.pushes[p] = push


@wp.kernel
def advance(at: Particles, fluid: Fluid, dt: float) -> None:
    """Semi-implicit Euler with the transport velocity; positions wrap into the period."""
    p = wp.tid()
    if at.solid[p] == 0:
        at.velocities[p] = at.velocities[p] + dt * at.accelerations[p]
        at.shifts[p] = dt * at.pushes[p]
        moved = at.positions[p] + dt * (at.velocities[p] + at.shifts[p])
        for axis in range(3):
            if fluid.period[axis] > 0.0:
                low = fluid.origin[axis]
                moved[axis] = moved[axis] - fluid.period[axis] * wp.floor((moved[axis] - low) / fluid.period[axis])
        at.positions[p] = moved
