"""The kernels of the material point method for NVIDIA Warp: particles -> grid -> grid velocities -> particles.

Two dimensions are a slab of the same code: one layer of grid nodes, no motion and unit weight along z (plane strain).
"""

# Warp reads the annotations of kernels as its types, so this file cannot postpone their evaluation,
# and the language of kernels is Warp's, of which mypy knows nothing:
# mypy: ignore-errors
import warp as wp

WATER, SAND, GOOP = wp.constant(0), wp.constant(1), wp.constant(2)


@wp.struct
class Material:
    """Constants of the three materials, in SI units."""

    density: float
    bulk: float
    viscosity: float
    damping: float
    mu: float
    lam: float
    friction: float


@wp.func
def spline(fx: float) -> wp.vec3:
    """Return quadratic B-spline weights of three nodes; ``fx`` in [0.5, 1.5) is the distance to the first."""
    return wp.vec3(0.5 * (1.5 - fx) * (1.5 - fx), 0.75 - (fx - 1.0) * (fx - 1.0), 0.5 * (fx - 0.5) * (fx - 0.5))


@wp.func
def layer_weight(weight: wp.vec3, k: int, layers: int) -> float:
    """Return the weight along z: 1 on the single layer of a two-dimensional grid."""
    result = float(1.0)  # noqa: UP018 (Warp makes a variable, not a constant)
    if layers > 1:
        result = weight[k]
    return result


@wp.func
def sand_return(trial: wp.mat33, material: Material, volume: wp.array(dtype=float), p: int) -> wp.mat33:
    """Return the Drucker-Prager stretch, volume corrected (Klar et al. 2016, eqs. 27-30; Tampubolon 2017)."""
    u, sigma, v = wp.svd3(trial)
    strain = wp.vec3(
        wp.log(wp.max(sigma[0], 1.0e-4)), wp.log(wp.max(sigma[1], 1.0e-4)), wp.log(wp.max(sigma[2], 1.0e-4))
    )
    trace = strain[0] + strain[1] + strain[2] + volume[p]
    shear = strain - wp.vec3(trace, trace, trace) / 3.0
    size = wp.length(shear)
    stretched = wp.vec3(1.0, 1.0, 1.0)
    if trace >= 0.0 or size == 0.0:
        volume[p] = wp.max(trace, 0.0)
    else:
        volume[p] = 0.0
        excess = size + (3.0 * material.lam + 2.0 * material.mu) / (2.0 * material.mu) * trace * material.friction
        kept = strain - wp.max(excess, 0.0) / size * shear
        stretched = wp.vec3(wp.exp(kept[0]), wp.exp(kept[1]), wp.exp(kept[2]))
    return u * wp.diag(stretched) * wp.transpose(v)


@wp.func
def kirchhoff_stress(deformation: wp.mat33, rate: wp.mat33, kind: int, material: Material) -> wp.mat33:
    """Return Kirchhoff stress: linear bulk water, Hencky sand (Klar et al. 2016, eq. 26), neo-Hookean goop."""
    identity = wp.identity(n=3, dtype=float)
    stress = wp.mat33(0.0)
    if kind == WATER:
        volume = deformation[0, 0]
        stress = material.bulk * (volume - 1.0) * volume * identity
        stress = (
            stress + material.viscosity * (rate + wp.transpose(rate)) + material.damping * wp.trace(rate) * identity
        )
    elif kind == SAND:
        u, sigma, _v = wp.svd3(deformation)
        strain = wp.vec3(
            wp.log(wp.max(sigma[0], 1.0e-4)), wp.log(wp.max(sigma[1], 1.0e-4)), wp.log(wp.max(sigma[2], 1.0e-4))
        )
        trace = material.lam * (strain[0] + strain[1] + strain[2])
        stress = u * wp.diag(2.0 * material.mu * strain + wp.vec3(trace, trace, trace)) * wp.transpose(u)
    else:
        volume = wp.max(wp.determinant(deformation), 0.05)
        stress = material.mu * (deformation * wp.transpose(deformation) - identity)
        stress = stress + material.lam * wp.log(volume) * identity
    return stress


@wp.func
def deform(
    old: wp.mat33, rate: wp.mat33, kind: int, material: Material, volume: wp.array(dtype=float), p: int, dt: float
) -> wp.mat33:
    """Return elastic deformation after one step; water keeps only its volume ratio, in the first entry."""
    new = old
    if kind == WATER:
        # a free surface may open a little; unlimited tension would let water hang in threads
        new[0, 0] = wp.clamp(old[0, 0] * (1.0 + dt * wp.trace(rate)), 0.1, 1.001)
    else:
        new = (wp.identity(n=3, dtype=float) + dt * rate) * old
        if kind == SAND:
            new = sand_return(new, material, volume, p)
    return new


@wp.kernel
def to_grid(
    positions: wp.array(dtype=wp.vec3),
    velocities: wp.array(dtype=wp.vec3),
    rates: wp.array(dtype=wp.mat33),
    deformations: wp.array(dtype=wp.mat33),
    volumes: wp.array(dtype=float),
    kinds: wp.array(dtype=int),
    materials: wp.array(dtype=Material),
    momentum: wp.array3d(dtype=wp.vec3),
    mass: wp.array3d(dtype=float),
    layers: int,
    dx: float,
    dt: float,
    volume: float,
) -> None:
    """Deform each particle and add its mass, momentum and stress to the grid (Hu et al. 2018, eqs. 16-18)."""
    p = wp.tid()
    kind = kinds[p]
    material = materials[kind]
    rate = rates[p]
    deformation = deform(deformations[p], rate, kind, material, volumes, p, dt)
    deformations[p] = deformation
    weight = material.density * volume
    stress = kirchhoff_stress(deformation, rate, kind, material)
    affine = weight * rate - (4.0 * dt * volume / (dx * dx)) * stress
    at = positions[p] / dx
    bx, by, bz = int(at[0] - 0.5), int(at[1] - 0.5), int(at[2] - 0.5)
    if layers == 1:
        bz = 0
    wx, wy, wz = spline(at[0] - float(bx)), spline(at[1] - float(by)), spline(at[2] - float(bz))
    for i in range(3):
        for j in range(3):
            for k in range(layers):
                offset = wp.vec3(float(bx + i) - at[0], float(by + j) - at[1], float(bz + k) - at[2]) * dx
                if layers == 1:
                    offset[2] = 0.0
                share = wx[i] * wy[j] * layer_weight(wz, k, layers)
                wp.atomic_add(momentum, bx + i, by + j, bz + k, share * (weight * velocities[p] + affine * offset))
                wp.atomic_add(mass, bx + i, by + j, bz + k, share * weight)


@wp.func
def slide(velocity: wp.vec3, normal: wp.vec3, friction: float) -> wp.vec3:
    """Return the velocity along a solid: it may leave, never enter, and is slowed by Coulomb friction."""
    inward = wp.dot(velocity, normal)
    result = velocity
    if inward < 0.0:
        along = velocity - inward * normal
        speed = wp.length(along)
        result = along * wp.max(0.0, 1.0 + friction * inward / wp.max(speed, 1.0e-9))
    return result


@wp.kernel
def move_grid(
    momentum: wp.array3d(dtype=wp.vec3),
    mass: wp.array3d(dtype=float),
    obstacle: wp.array3d(dtype=wp.vec3),
    gravity: wp.vec3,
    lower: wp.vec3,
    upper: wp.vec3,
    dx: float,
    dt: float,
    friction: float,
) -> None:
    """Momentum to velocity, gravity, walls and obstacles (``obstacle`` holds normals, zero outside of them)."""
    i, j, k = wp.tid()
    if mass[i, j, k] > 0.0:
        velocity = momentum[i, j, k] / mass[i, j, k] + dt * gravity
        place = wp.vec3(float(i) * dx, float(j) * dx, float(k) * dx)
        for axis in range(3):
            normal = wp.vec3(0.0, 0.0, 0.0)
            normal[axis] = 1.0
            if place[axis] < lower[axis] + 0.5 * dx:
                velocity = slide(velocity, normal, friction)
            if place[axis] > upper[axis] - 0.5 * dx:
                velocity = slide(velocity, -normal, friction)
        if wp.length_sq(obstacle[i, j, k]) > 0.0:
            velocity = slide(velocity, obstacle[i, j, k], friction)
        momentum[i, j, k] = velocity


@wp.kernel
def from_grid(
    positions: wp.array(dtype=wp.vec3),
    velocities: wp.array(dtype=wp.vec3),
    rates: wp.array(dtype=wp.mat33),
    momentum: wp.array3d(dtype=wp.vec3),
    lower: wp.vec3,
    upper: wp.vec3,
    layers: int,
    dx: float,
    dt: float,
) -> None:
    """Interpolate velocity and its gradient to each particle and move it (APIC, Jiang et al. 2015)."""
    p = wp.tid()
    at = positions[p] / dx
    bx, by, bz = int(at[0] - 0.5), int(at[1] - 0.5), int(at[2] - 0.5)
    if layers == 1:
        bz = 0
    wx, wy, wz = spline(at[0] - float(bx)), spline(at[1] - float(by)), spline(at[2] - float(bz))
    velocity = wp.vec3(0.0, 0.0, 0.0)
    rate = wp.mat33(0.0)
    for i in range(3):
        for j in range(3):
            for k in range(layers):
                offset = wp.vec3(float(bx + i) - at[0], float(by + j) - at[1], float(bz + k) - at[2])
                if layers == 1:
                    offset[2] = 0.0
                share = wx[i] * wy[j] * layer_weight(wz, k, layers)
                node = momentum[bx + i, by + j, bz + k]
                velocity = velocity + share * node
                rate = rate + (4.0 * share / dx) * wp.outer(node, offset)
    velocities[p] = velocity
    rates[p] = rate
    moved = positions[p] + dt * velocity
    for axis in range(3):
        moved[axis] = wp.clamp(moved[axis], lower[axis], upper[axis])
    positions[p] = moved
