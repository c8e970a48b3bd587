import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molgraph.particles.geometry.cells import cell_pairs
from molgraph.particles.geometry.neighbors import NeighborList, radius_edges, to_dgl
from molgraph.particles.geometry.space import Box

boxes = st.sampled_from([2, 3]).flatmap(lambda dim: st.tuples(*[st.booleans()] * dim))


def brute_force(positions, radius, box):
    distance = box.displacement(positions[:, None], positions[None]).norm(dim=-1)
    pairs = (distance <= radius).fill_diagonal_(False)
    assert not ((distance - radius).abs() < 1e-9).any(), "a pair on the boundary makes the oracle ambiguous"
    return {tuple(pair) for pair in pairs.nonzero().tolist()}


def random_positions(seed, number, box):
    low, length = torch.tensor(box.lower).double(), torch.tensor(box.lengths).double()
    generator = torch.Generator().manual_seed(seed)
    return low + length * torch.rand(number, box.dim, generator=generator, dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(boxes, st.integers(0, 10_000), st.integers(0, 80), st.floats(0.02, 2.5))
def test_edges_equal_brute_force_in_open_periodic_and_mixed_boxes(periodic, seed, number, radius):
    box = Box((-1.0,) * len(periodic), tuple(1.0 + 0.5 * a for a in range(len(periodic))), periodic)
    positions = random_positions(seed, number, box)
    edges = radius_edges(positions, radius, box)
    expected = brute_force(positions, radius, box)
    assert len(edges.dst) == len(expected)
    assert set(zip(edges.dst.tolist(), edges.src.tolist(), strict=True)) == expected
    dst, src = cell_pairs(positions, radius, box)
    assert len(dst) == len(expected)
    assert set(zip(dst.tolist(), src.tolist(), strict=True)) == expected


@pytest.mark.parametrize("self_edges", [False, True])
def test_edges_are_sorted_by_destination_and_know_their_reverse(self_edges):
    box = Box((0, 0), (1, 1), (True, False))
    edges = radius_edges(random_positions(0, 60, box), 0.3, box, self_edges=self_edges)
    key = edges.dst * 60 + edges.src
    assert (key[1:] > key[:-1]).all()
    assert torch.equal(edges.src[edges.reverse], edges.dst) and torch.equal(edges.dst[edges.reverse], edges.src)
    assert int((edges.src == edges.dst).sum()) == (60 if self_edges else 0)
    assert torch.equal(edges.offsets.diff(), torch.bincount(edges.dst, minlength=60))


def test_the_tree_and_the_sorted_cell_list_give_the_same_edges():
    from molgraph.particles.geometry.neighbors import _sorted_edges

    box = Box((0, 0, 0), (1, 1, 1), (True, False, True))
    positions = random_positions(3, 200, box)
    tree = radius_edges(positions, 0.2, box, self_edges=True)
    cells = _sorted_edges(*cell_pairs(positions, 0.2, box), 200, True)
    for name in ("src", "dst", "reverse"):
        assert torch.equal(getattr(tree, name), getattr(cells, name))


def test_no_neighbour_is_dropped_in_a_crowd():
    positions = torch.rand(400, 3) * 0.1
    assert len(radius_edges(positions, 1.0, Box.open(3)).dst) == 400 * 399


def test_edges_never_join_two_graphs():
    box = Box((0, 0), (1, 1), (True, True))
    positions, graph = random_positions(1, 50, box), torch.tensor([0] * 20 + [1] * 30)
    edges = radius_edges(positions, 0.4, box, graph=graph)
    assert torch.equal(graph[edges.src], graph[edges.dst])
    alone = radius_edges(positions[20:], 0.4, box)
    later = edges.dst >= 20
    assert torch.equal(edges.dst[later] - 20, alone.dst) and torch.equal(edges.src[later] - 20, alone.src)
    dst, _ = cell_pairs(positions, 0.4, box, graph)
    assert len(dst) == len(edges.dst)


def test_a_skin_gives_the_same_edges_with_fewer_searches():
    box = Box((0, 0), (1, 1), (True, True))
    positions, generator = random_positions(2, 80, box), torch.Generator().manual_seed(0)
    lazy, eager = NeighborList(0.2, box, skin=0.1), NeighborList(0.2, box)
    for _ in range(20):
        positions = box.wrap(positions + 0.005 * torch.randn(80, 2, generator=generator, dtype=torch.float64))
        a, b = lazy.find(positions), eager.find(positions)
        assert torch.equal(a.dst, b.dst) and torch.equal(a.src, b.src) and torch.equal(a.reverse, b.reverse)
    assert lazy.searches < 10 < eager.searches


def test_a_nan_particle_and_a_wrong_radius_are_named():
    positions = torch.zeros(3, 2)
    positions[1, 0] = math.nan
    with pytest.raises(ValueError, match="particle 1"):
        radius_edges(positions, 1.0, Box.open(2))
    with pytest.raises(ValueError, match="radius"):
        radius_edges(torch.zeros(3, 2), 0.0, Box.open(2))
    with pytest.raises(ValueError, match="2 dimensions"):
        radius_edges(torch.zeros(3, 3), 1.0, Box.open(2))


def test_the_dgl_graph_has_the_same_edges():
    positions = torch.rand(30, 2)
    edges = radius_edges(positions, 0.3, Box.open(2))
    graph = to_dgl(edges, positions)
    assert torch.equal(graph.edges()[0], edges.src) and torch.equal(graph.ndata["positions"], positions)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_finds_the_edges_of_the_cpu():
    box = Box((0, 0, 0), (1, 1, 1), (True, False, True))
    positions = random_positions(5, 2000, box)
    cpu, gpu = radius_edges(positions, 0.1, box), radius_edges(positions.cuda(), 0.1, box)
    assert torch.equal(cpu.src, gpu.src.cpu()) and torch.equal(cpu.reverse, gpu.reverse.cpu())
