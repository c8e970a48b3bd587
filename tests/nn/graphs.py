"""Small graphs for the tests of layers, and their dense form."""

import torch

from molgraph.nn.graph import Features, GraphBatch, offsets_of

EDGES = {
    "molecules": ([(0, 1), (1, 2), (2, 3), (3, 1), (5, 6)], [5, 2, 1]),
    "one triangle": ([(0, 1), (1, 2), (0, 2)], [3]),
    "no edges": ([], [1, 1]),
    "empty graphs": ([(0, 1)], [0, 2, 0]),
}
"""Name -> undirected edges, nodes of each graph. Node 4 of the first is isolated, so is its last graph."""


def make_graph(name, features=6, edge_features=3, dtype=torch.float32):
    """Return a :class:`GraphBatch` with random features."""
    pairs, counts = EDGES[name]
    nodes = sum(counts)
    both = torch.tensor([*pairs, *((b, a) for a, b in pairs)], dtype=torch.long).reshape(-1, 2)
    order = torch.argsort(both[:, 1] * max(nodes, 1) + both[:, 0])
    src, dst = both[order].t()
    reverse = torch.argsort(src * max(nodes, 1) + dst)
    sizes = torch.tensor(counts)
    return GraphBatch(
        src=src,
        dst=dst,
        reverse=reverse,
        offsets=offsets_of(torch.bincount(dst, minlength=nodes)),
        node_features=Features(torch.randn(nodes, features, dtype=dtype)),
        edge_features=Features(torch.randn(len(src), edge_features, dtype=dtype)),
        node_graph=torch.repeat_interleave(torch.arange(len(counts)), sizes),
        graph_offsets=offsets_of(sizes),
    )


def adjacency(graph, dtype=torch.float32):
    """Return the dense adjacency, ``A[dst, src] = 1``."""
    dense = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=dtype)
    dense[graph.dst, graph.src] = 1
    return dense


def gradients(output, inputs, cotangent):
    """Return the gradients of ``sum(output * cotangent)``; zeros for an input that plays no part."""
    return torch.autograd.grad((output * cotangent).sum(), inputs, allow_unused=True, materialize_grads=True)


def assert_same(first, second, tolerance=1e-5):
    """Compare two tensors to a tolerance relative to their size."""
    torch.testing.assert_close(first, second, atol=tolerance, rtol=tolerance)
