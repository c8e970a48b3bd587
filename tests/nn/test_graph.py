import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from molgraph.nn import graph as graph_module
from molgraph.nn.graph import from_dgl, import_dgl, offsets_of, to_dgl
from molgraph.nn.graph_attention import AttentiveContext, GATConv, GATv2Conv
from molgraph.nn.graph_conv import GINEConv, GraphConv
from molgraph.nn.readout import READOUTS, readout
from tests.nn.graphs import EDGES, make_graph


def assert_equal_graphs(first, second):
    for name in ("src", "dst", "reverse", "offsets", "node_graph", "graph_offsets"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert torch.equal(first.node_features.rows(), second.node_features.rows())
    assert torch.equal(first.edge_features.rows(), second.edge_features.rows())


@pytest.mark.parametrize("name", EDGES)
def test_a_graph_survives_the_way_to_dgl_and_back(name):
    graph = make_graph(name)
    assert_equal_graphs(graph, from_dgl(to_dgl(graph)))


def test_dgl_sees_the_single_graphs_of_a_batch():
    dgl = import_dgl()
    single = dgl.unbatch(to_dgl(make_graph("molecules")))
    assert [(one.num_nodes(), one.num_edges()) for one in single] == [(5, 8), (2, 2), (1, 0)]


def test_edges_of_a_dgl_graph_may_come_in_any_order():
    graph = make_graph("molecules")
    other, order = to_dgl(graph), torch.randperm(graph.num_edges)
    shuffled = import_dgl().graph((graph.src[order], graph.dst[order]), num_nodes=graph.num_nodes)
    shuffled.ndata["features"] = other.ndata["features"]
    shuffled.edata["features"] = other.edata["features"][order]
    shuffled.set_batch_num_nodes(other.batch_num_nodes())
    shuffled.set_batch_num_edges(other.batch_num_edges())
    assert_equal_graphs(graph, from_dgl(shuffled))


def test_a_one_way_edge_and_missing_features_are_refused():
    dgl = import_dgl()
    one_way = dgl.graph(([0], [1]))
    with pytest.raises(ValueError, match="no node data 'features'"):
        from_dgl(one_way)
    one_way.ndata["features"], one_way.edata["features"] = torch.ones(2, 1), torch.ones(1, 1)
    with pytest.raises(ValueError, match="needs its reverse exactly once"):
        from_dgl(one_way)
    double = dgl.graph(([0, 1, 0], [1, 0, 1]))
    double.ndata["features"], double.edata["features"] = torch.ones(2, 1), torch.ones(3, 1)
    with pytest.raises(ValueError, match="needs its reverse exactly once"):
        from_dgl(double)


def test_offsets_are_borders():
    assert offsets_of(torch.tensor([2, 0, 3])).tolist() == [0, 2, 2, 5]


def test_a_batch_moves_as_a_whole():
    moved = make_graph("molecules").to(torch.device("meta"))
    assert {moved.src.device.type, moved.node_features.table.device.type, moved.graph_offsets.device.type} == {"meta"}


@pytest.mark.parametrize(("version", "stand_in"), [((3, 11), False), ((3, 12), True)])
def test_only_python_3_12_gets_a_stand_in_for_graphbolt(monkeypatch, version, stand_in):
    monkeypatch.setitem(sys.modules, "dgl", types.ModuleType("dgl"))
    monkeypatch.delitem(sys.modules, "dgl")
    monkeypatch.delitem(sys.modules, "dgl.graphbolt", raising=False)
    monkeypatch.setattr(graph_module.os, "environ", {})
    monkeypatch.setattr(sys, "version_info", version)
    seen = {}

    def fake_import(name, *arguments):
        seen["graphbolt"] = "dgl.graphbolt" in sys.modules
        return types.ModuleType(name)

    monkeypatch.setattr(
        "builtins.__import__", lambda name, *rest: fake_import(name) if name == "dgl" else REAL(name, *rest)
    )
    import_dgl()
    sys.modules.pop("dgl.graphbolt", None)
    assert seen["graphbolt"] is stand_in
    assert graph_module.os.environ["DGLBACKEND"] == "pytorch"


REAL = __import__


def test_importing_dgl_writes_nothing_into_the_home_folder(tmp_path):
    code = "from molgraph.nn.graph import import_dgl; import_dgl()"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, timeout=120)
    assert not (tmp_path / ".dgl").exists()


def test_the_example_in_the_guide_of_the_layers_runs():
    guide = (Path(graph_module.__file__).parent / "README.md").read_text()
    names = {}
    exec(guide.split("```python\n")[1].split("```")[0], names)
    assert names["rows"].shape == (4, 16)


def shuffled_dgl(graph):
    """The same structure without features, its edges in another order; and that order."""
    order = torch.randperm(graph.num_edges)
    made = import_dgl().graph((graph.src[order], graph.dst[order]), num_nodes=graph.num_nodes)
    made.set_batch_num_nodes(graph.graph_offsets.diff())
    made.set_batch_num_edges(graph.offsets[graph.graph_offsets].diff())
    return made, order


@pytest.mark.parametrize(
    "layer",
    [GraphConv(6, 4), GATConv(6, 4, 2), GATv2Conv(6, 4, 2), *(readout(kind, 6) for kind in READOUTS)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_takes_a_dgl_graph_for_a_batch(layer):
    graph = make_graph("molecules")
    nodes, (given, _) = torch.randn(graph.num_nodes, 6), shuffled_dgl(graph)
    torch.testing.assert_close(layer(nodes, given), layer(nodes, graph), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(layer(nodes, graph=given), layer(nodes, graph), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layer", [GINEConv(torch.nn.Linear(6, 4)), AttentiveContext(6)], ids=["GINEConv", "context"])
def test_rows_of_edges_are_those_of_the_dgl_graph(layer):
    graph = make_graph("molecules")
    nodes, edges, (given, order) = torch.randn(graph.num_nodes, 6), torch.randn(graph.num_edges, 6), shuffled_dgl(graph)
    wanted = layer(nodes, edges, graph)
    torch.testing.assert_close(layer(nodes, edges[order], given), wanted, atol=1e-6, rtol=1e-6)
