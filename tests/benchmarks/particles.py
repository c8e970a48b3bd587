"""Particles side by side: interaction blocks against the plain form, forward and backward; neighbour search.

The plain form is what most implementations do: gather both ends, concatenate, multiply, ``index_add_``.
"""

import numpy as np
import torch

from molgraph.particles.geometry.neighbors import radius_edges
from molgraph.particles.geometry.space import Box
from molgraph.particles.models.interaction import InteractionBlock
from tests.benchmarks import peers
from tests.benchmarks.measure import Variant, apart, chosen_setting, compare, flops, matmul_rate

WIDTH, BLOCKS, NEIGHBOURS, SIZE, LARGEST = 128, 10, 20, 5000, 19_000
SIZES = (1000, 2500, 10_000, LARGEST)


def suite(console, rounds, threads):
    """Measure a block and a step at several sizes, and the search for neighbours."""
    few = max(3, rounds // 3)
    rows = block(SIZE, few, threads) + search(SIZE, few, threads) + search(LARGEST, few, threads)
    for size in SIZES:
        rows += block(size, 3, threads)
    for size in (*SIZES, SIZE):
        rows += step(size, 3, threads)
    return rows


def particles(size):
    """Return uniform random positions in a unit box, the box, and a radius with about twenty neighbours."""
    positions = torch.rand(size, 3, generator=torch.Generator().manual_seed(0))
    return positions, Box((0, 0, 0), (1, 1, 1)), (NEIGHBOURS * 3 / (4 * np.pi * size)) ** (1 / 3)


def block(size, rounds, threads):
    """Forward and backward of a block."""
    rows, setting = forms("particle block, forward and backward", passes, size, rounds, threads)
    work, rate, edges = apart(floor, threads, size, setting)
    rows[0].extra |= {"edges": edges, "share of the floor": 1e3 * work / rate / rows[0].median}
    return rows


def step(size, rounds, threads):
    """Ten blocks without gradients, as in a rollout."""
    rows, _ = forms("particles, ten blocks forward", blocks_forward, size, rounds, threads)
    return rows


def forms(work, make, size, rounds, threads):
    """Compare molgraph's form with the plain one; return the rows and molgraph's matmul setting."""
    setting = chosen_setting(threads)
    variants = [
        Variant("molgraph", lambda: make(size, split_form), setting, keep=True),
        Variant("plain form as installed", lambda: make(size, plain_form)),
        Variant("plain form with equal switches", lambda: make(size, plain_form), setting, keep=True),
    ]
    return compare(work, variants, rounds, size, threads), setting


def split_form(module, nodes, links, edges):
    return module(nodes, links, edges)


def plain_form(module, nodes, links, edges):
    messages = module.edge_mlp(torch.cat([links, nodes[edges.src], nodes[edges.dst]], dim=1))
    received = torch.zeros_like(nodes).index_add_(0, edges.dst, messages)
    return nodes + module.node_mlp(torch.cat([nodes, received], dim=1)), links + messages


def passes(size, form):
    """Return one forward and backward pass of a block in one form, after a check against the other form."""
    positions, box, radius = particles(size)
    edges = radius_edges(positions, radius, box)
    torch.manual_seed(0)
    module = InteractionBlock(WIDTH)
    inputs = [torch.randn(count, WIDTH, requires_grad=True) for count in (size, len(edges.dst))]

    def work():
        for tensor in (*inputs, *module.parameters()):
            tensor.grad = None
        nodes, links = form(module, *inputs, edges)
        (nodes.square().mean() + links.square().mean()).backward()

    if size <= SIZE:
        with torch.no_grad():
            ours, theirs = (other(module, *inputs, edges) for other in (split_form, plain_form))
        peers.same(ours[0], theirs[0], "the plain block")
        peers.same(ours[1], theirs[1], "the plain block")
    return work


def blocks_forward(size, form):
    """Return the forward pass of several blocks, the first of them checked against the other form."""
    positions, box, radius = particles(size)
    edges = radius_edges(positions, radius, box)
    torch.manual_seed(0)
    modules = [InteractionBlock(WIDTH) for _ in range(BLOCKS)]
    start = [torch.randn(count, WIDTH) for count in (size, len(edges.dst))]

    @torch.no_grad()
    def work():
        latents = start
        for module in modules:
            latents = form(module, *latents, edges)

    with torch.no_grad():
        ours, theirs = (other(modules[0], *start, edges) for other in (split_form, plain_form))
    peers.same(ours[0], theirs[0], "the plain block")
    peers.same(ours[1], theirs[1], "the plain block")
    return work


def floor(size, setting):
    """Return the GFLOP of both passes, the rate of matrix products and the number of edges."""
    positions, box, radius = particles(size)
    return flops(passes(size, split_form)), matmul_rate(setting, WIDTH), len(radius_edges(positions, radius, box).dst)


def search(size, rounds, threads):
    """All pairs within the radius as sorted directed edges, each with its reverse; the peers give the pairs alone."""
    variants = [Variant("molgraph", lambda: searches(size)["molgraph"], keep=True)]
    variants += [Variant(name, lambda name=name: searches(size)[name]) for name in ("scipy", "ASE")]
    return compare("neighbour search", variants, rounds, size, threads)


def searches(size):
    """Return the search of each library, after a check that all find as many pairs."""
    from ase.neighborlist import primitive_neighbor_list
    from scipy.spatial import cKDTree

    positions, box, radius = particles(size)
    places = positions.double().numpy()
    unit = 3 / radius  # ASE sorts into bins of at least 3 Angstrom: in a unit box it would compare all with all
    found = {
        "molgraph": lambda: radius_edges(positions, radius, box),
        "scipy": lambda: cKDTree(places).query_pairs(radius, output_type="ndarray"),
        "ASE": lambda: primitive_neighbor_list("ij", [False] * 3, unit * np.eye(3), unit * places, 3.0),
    }
    counts = [len(found["molgraph"]().dst), 2 * len(found["scipy"]()), len(found["ASE"]()[0])]
    if len(set(counts)) > 1:
        raise ValueError(f"molgraph, scipy and ASE find {counts} edges")
    return found
