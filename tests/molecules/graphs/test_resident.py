from dataclasses import fields

import numpy as np
import pytest
import torch

from molgraph.molecules.graphs.convert import featurize_smiles
from molgraph.molecules.graphs.dataset import PropertyBatches
from molgraph.molecules.graphs.resident import ResidentGraphs
from molgraph.molecules.models.fingerprints import fingerprint_chunk
from molgraph.molecules.models.graph_predictor import EncodedGraphs
from molgraph.molecules.reading.smiles import parse
from molgraph.nn.graph import Features, Kinds

SMILES = ["CCO", "C", "c1ccccc1O", "[Na+].[Cl-]", "CC(=O)Oc1ccccc1C(=O)O", "N#N", "C1CC1"]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def encoded(descriptors):
    made = fingerprint_chunk([parse(text) for text in SMILES]) if descriptors else None
    return EncodedGraphs(featurize_smiles(SMILES), made)


def same(ours, theirs):
    for field in fields(ours):
        first, second = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(first, Features):
            assert torch.equal(first.table.cpu(), second.table) and torch.equal(first.index.cpu(), second.index)
        elif isinstance(first, Kinds):
            ours_rows, theirs_rows = (
                torch.stack([k.node_rows, k.edge_rows]).cpu()[:, k.index.cpu()] for k in (first, second)
            )
            assert torch.equal(ours_rows, theirs_rows)
        elif first is None or second is None:
            assert first is second
        else:
            assert first.dtype == second.dtype and torch.equal(first.cpu(), second), field.name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("descriptors", [False, True])
@pytest.mark.parametrize("chosen", [[4, 0, 3], [1], [5, 5, 6, 2], []])
def test_a_batch_made_on_the_device_is_the_batch_made_on_the_host(device, descriptors, chosen):
    data = encoded(descriptors)
    chosen = np.array(chosen, dtype=np.int64)
    resident = ResidentGraphs.of(data.graphs, data.tables, data.descriptors, torch.device(device))
    batch = resident.batch(chosen)
    assert batch.src.device.type == device
    same(batch, data.batch(chosen))
    assert len(resident) == len(data) and (resident.sizes == data.sizes).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_an_epoch_on_a_gpu_has_the_batches_of_the_host():
    values = np.arange(7.0)[:, None]
    host = PropertyBatches(encoded(True), values, np.arange(7), 3, shuffle=True)
    there = host.on(torch.device("cuda"))
    for ours, theirs in zip(there.epoch(2), host.epoch(2), strict=True):
        assert ours.targets.is_cuda and torch.equal(ours.targets.cpu(), theirs.targets)
        same(ours.inputs, theirs.inputs)


def test_targets_follow_the_molecules_to_the_device():
    values = np.array([[1.0], [2.0], [np.nan], [4.0], [5.0], [6.0], [7.0]])
    host = PropertyBatches(encoded(False), values, np.arange(7), 3, shuffle=True, seed=1)
    assert host.on(torch.device("cpu")) is host, "the host's own batches are the faster ones there"
    there = PropertyBatches(
        host.encoded.on(torch.device("cpu")),
        values,
        np.arange(7),
        3,
        1,
        True,
        resident=torch.from_numpy(values),
    )
    for ours, theirs in zip(there.epoch(2), host.epoch(2), strict=True):
        torch.testing.assert_close(ours.targets, theirs.targets, equal_nan=True)
        same(ours.inputs, theirs.inputs)
