"""A DGLGraph in, the same numbers out: layers, encoders, training, prediction; and what is refused."""

import json

import pytest
import torch
from rich.console import Console

from molgraph.molecules.graphs.convert import featurize_smiles, smiles_to_graph
from molgraph.molecules.graphs.dgl_files import as_dgl, read_graphs
from molgraph.molecules.models.encoders import build_encoder
from molgraph.molecules.predict import load
from molgraph.nn.graph import import_dgl
from molgraph.testing import SMILES
from molgraph.training.run import train
from tests.choices import choice

dgl = import_dgl()
MOLECULES = ["C" * n + end for n in range(1, 11) for end in ("O", "N", "Cl", "C(=O)O", "c1ccccc1", "C1CC1")]
PARTS = [2 if n % 10 == 9 else 1 if n % 10 == 8 else 0 for n in range(len(MOLECULES))]
QUIET = Console(quiet=True)


@pytest.mark.parametrize("name", ["gcn", "gat", "gatv2", "gine", "attentive_fp", "dmpnn"])
def test_every_encoder_gives_the_numbers_of_its_flat_batch(name):
    encoder = build_encoder(choice("model", name)["encoder"] | {"hidden": 16}).eval()
    singles = [smiles_to_graph(text) for text in SMILES]
    wanted = encoder(featurize_smiles(SMILES).batch(range(len(SMILES))))
    for given in (dgl.batch(singles), singles):
        torch.testing.assert_close(encoder(given), wanted, atol=1e-6, rtol=1e-6)


def test_edges_in_another_order_change_nothing():
    encoder = build_encoder(choice("model", "dmpnn")["encoder"] | {"hidden": 16}).eval()
    graph = smiles_to_graph("CC(=O)Oc1ccccc1C(=O)O")
    order = torch.randperm(graph.num_edges())
    src, dst = graph.edges()
    other = dgl.graph((src[order], dst[order]), num_nodes=graph.num_nodes())
    other.ndata["features"], other.edata["features"] = graph.ndata["features"], graph.edata["features"][order]
    torch.testing.assert_close(encoder(other), encoder(graph), atol=1e-6, rtol=1e-6)


def save(path, **labels):
    dgl.save_graphs(str(path), [smiles_to_graph(text) for text in MOLECULES], labels)
    return path


def test_a_set_saved_by_dgl_trains_to_the_result_of_its_smiles_and_predicts_both(tmp_path):
    values = torch.tensor([float(len(text)) for text in MOLECULES])
    save(tmp_path / "set.bin", y=values, part=torch.tensor(PARTS))
    rows = [f"{s},{y},{('train', 'val', 'test')[p]}" for s, y, p in zip(MOLECULES, values.tolist(), PARTS, strict=True)]
    (tmp_path / "set.csv").write_text("smiles,y,part\n" + "\n".join(rows) + "\n")
    model = choice("model", "gine")
    common = {"split": "column", "split_column": "part", "targets": ["y"], "batch_size": 16, "workers": 0}
    trainer = {"epochs": 3, "device": "cpu", "precision": "float32", "threads": 1}
    for name, data in (("dgl", {"graphs": str(tmp_path / "set.bin")}), ("smiles", {"path": str(tmp_path / "set.csv")})):
        task = {"_target_": "molgraph.molecules.experiment.PropertyExperiment"}
        config = {"data": common | data, "model": model, "task": task, "trainer": trainer, "seed": 0}
        train(config, tmp_path / name, QUIET)
    one, two = (json.loads((tmp_path / n / "results.json").read_text())["test"]["y"]["rmse"] for n in ("dgl", "smiles"))
    assert one == pytest.approx(two, rel=1e-3)
    trained = load(tmp_path / "dgl")
    asked = MOLECULES[:5]
    by_graph, by_smiles = trained.predict([smiles_to_graph(text) for text in asked]), trained.predict(asked)
    for first, second in zip(by_graph, by_smiles, strict=True):
        assert first.values == pytest.approx(second.values, abs=1e-4)
    bad = trained.predict([smiles_to_graph("CO"), dgl.graph(([0], [1]))])
    assert bad[0].values is not None
    assert bad[1].error.startswith("the DGLGraph needs node data 'features'")


def test_batches_are_handed_out_as_dgl_graphs(tmp_path):
    from molgraph.molecules.graphs.dataset import PropertyBatches
    from molgraph.molecules.graphs.dgl_files import FeatureGraphs

    table, graphs = read_graphs(save(tmp_path / "set.bin", y=torch.arange(len(MOLECULES))), ["y"], "auto")
    batches = PropertyBatches(FeatureGraphs.of(graphs), table.values, torch.arange(len(MOLECULES)).numpy(), 16)
    back = [
        (one, float(y)) for batch, ys in as_dgl(batches) for one, y in zip(dgl.unbatch(batch), ys[:, 0], strict=True)
    ]
    assert [y for _, y in back] == list(range(len(MOLECULES)))
    for (one, _), graph in zip(back, graphs, strict=True):
        assert torch.equal(one.ndata["features"], graph.ndata["features"])
        assert torch.equal(one.edata["features"], graph.edata["features"])


def test_what_cannot_be_read_is_said(tmp_path):
    path = save(tmp_path / "set.bin", y=torch.zeros(len(MOLECULES)))
    with pytest.raises(ValueError, match=r"set\.bin has no label z; it has y"):
        read_graphs(path, ["z"], "auto")
    with pytest.raises(ValueError, match=r"none\.bin does not exist"):
        read_graphs(tmp_path / "none.bin", [], "auto")
    (tmp_path / "text.bin").write_text("nothing")
    with pytest.raises(ValueError, match=r"text\.bin is no file of dgl\.save_graphs"):
        read_graphs(tmp_path / "text.bin", [], "auto")
    assert read_graphs(path, [], "auto")[0].kind == "classification"
    with pytest.raises(TypeError, match="has to be a GraphBatch or a DGLGraph, not str"):
        build_encoder(choice("model", "gcn")["encoder"])("CCO")
