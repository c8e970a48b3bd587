import numpy as np
import pytest
import torch

from molgraph.particles.geometry.neighbors import radius_edges
from molgraph.particles.geometry.space import Box
from molgraph.particles.models import interaction
from molgraph.particles.models.interaction import InteractionBlock, message_passing, pair_sum
from molgraph.training.hardware.precision import autocast


def graph(number=12, self_edges=True, seed=0, radius=0.4):
    positions = torch.rand(number, 2, generator=torch.Generator().manual_seed(seed))
    return radius_edges(positions, radius, Box.open(2), self_edges=self_edges)


def numpy_mlp(sequential, rows, relu):
    values = rows
    for layer in sequential:
        if isinstance(layer, torch.nn.Linear):
            values = values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        elif isinstance(layer, torch.nn.LayerNorm):
            mean, variance = values.mean(1, keepdims=True), values.var(1, keepdims=True)
            values = (values - mean) / np.sqrt(variance + layer.eps)
            values = values * layer.weight.detach().numpy() + layer.bias.detach().numpy()
        else:
            values = np.maximum(values, 0) if relu else values / (1 + np.exp(-values))
    return values


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_a_block_equals_a_few_lines_of_numpy(activation):
    torch.manual_seed(0)
    block, edges = InteractionBlock(8, activation).double(), graph()
    nodes, links = torch.randn(12, 8).double(), torch.randn(len(edges.dst), 8).double()
    h, e, src, dst = nodes.numpy(), links.numpy(), edges.src.numpy(), edges.dst.numpy()

    message = numpy_mlp(block.edge_mlp, np.concatenate([e, h[src], h[dst]], axis=1), activation == "relu")
    received = np.zeros_like(h)
    np.add.at(received, dst, message)
    new_nodes = h + numpy_mlp(block.node_mlp, np.concatenate([h, received], axis=1), activation == "relu")

    found_nodes, found_links = block(nodes, links, edges)
    np.testing.assert_allclose(found_nodes.detach().numpy(), new_nodes, rtol=1e-10)
    np.testing.assert_allclose(found_links.detach().numpy(), e + message, rtol=1e-10)


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_block_in_pieces_equals_a_block_at_once(monkeypatch, piece):
    torch.manual_seed(0)
    monkeypatch.setattr(interaction, "CACHED_EDGES", piece)
    block, edges = InteractionBlock(8).double(), graph(self_edges=False, radius=0.15)
    assert (edges.offsets.diff() == 0).any()  # also particles without neighbours
    nodes, links = torch.randn(12, 8).double(), torch.randn(len(edges.dst), 8).double()
    at_once = block(nodes, links, edges)
    with torch.no_grad():
        for expected, found in zip(at_once, block(nodes, links, edges), strict=True):
            torch.testing.assert_close(found, expected.detach())


def test_edge_latents_change_in_every_block_and_change_the_result():
    torch.manual_seed(0)
    blocks, edges = [InteractionBlock(8) for _ in range(4)], graph()
    nodes, links = torch.randn(12, 8), torch.randn(len(edges.dst), 8)
    for block in blocks:
        new_nodes, new_links = block(nodes, links, edges)
        assert ((new_links - links).norm(dim=1) > 1e-3).all()
        assert not torch.allclose(new_links, 2 * links)
        again, _ = block(nodes, links * 0, edges)
        assert not torch.allclose(again, new_nodes)
        nodes, links = new_nodes, new_links


def test_the_gradient_of_the_pair_sum_is_right():
    edges = graph(7)
    rows = [torch.randn(7, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: pair_sum(a, b, edges), rows)


def test_a_block_without_edges_and_without_nodes_works():
    block = InteractionBlock(8)
    for number in (0, 1):
        edges = radius_edges(torch.rand(number, 2), 0.1, Box.open(2))
        nodes, links = block(torch.randn(number, 8), torch.randn(0, 8), edges)
        assert nodes.shape == (number, 8) and links.shape == (0, 8) and torch.isfinite(nodes).all()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_working_in_pieces_changes_no_gradient(monkeypatch, precision):
    torch.manual_seed(0)
    blocks, edges = torch.nn.ModuleList(InteractionBlock(8) for _ in range(3)), graph()
    start = [torch.randn(count, 8, requires_grad=True) for count in (12, len(edges.dst))]
    monkeypatch.setattr(interaction, "CACHED_EDGES", 7)
    gradients = []
    for limit in (1, 10**9):
        monkeypatch.setattr(interaction, "LARGE", limit)
        with autocast(precision, torch.device("cpu")):
            nodes, links = message_passing(blocks, *start, edges)
        loss = nodes.square().sum() + links.sin().sum()
        gradients.append(torch.autograd.grad(loss, [*start, *blocks.parameters()]))
    for a, b in zip(*gradients, strict=True):
        assert (a - b).norm() < (1e-5 if precision == "float32" else 2e-2) * b.norm()
