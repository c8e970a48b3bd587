import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from molgraph.molecules.graphs.convert import featurize_smiles
from molgraph.molecules.graphs.features import ATOM_WIDTH, BOND_WIDTH
from molgraph.molecules.models.encoders import DMPNN, GAT, GCN
from molgraph.nn.readout import readout
from molgraph.sequences.language.experiment import LanguageBatch
from molgraph.sequences.text.batch import pad
from molgraph.testing import SMILES
from molgraph.training.config import STEPS, TrainerConfig
from molgraph.training.hardware.distributed import World
from molgraph.training.hardware.step import PASSES, build_passes, check_batch, check_step, copied, tensors_of
from molgraph.training.run import train
from molgraph.training.supervised import Regression, SupervisedBatch
from tests.training.toy import make_task

CPU = torch.device("cpu")


class Network(torch.nn.Module):
    def __init__(self, encoder, pool):
        super().__init__()
        self.encoder, self.readout, self.head = encoder, readout(pool, encoder.hidden), torch.nn.Linear(16, 2)

    def forward(self, graph):
        return self.head(self.readout(self.encoder(graph), graph))


def make(kind=DMPNN, pool="mean", normalization="none"):
    torch.manual_seed(0)
    encoder = kind(ATOM_WIDTH, BOND_WIDTH, hidden=16, layers=3, normalization=normalization)
    return Regression(Network(encoder, pool), ["a", "b"], torch.zeros(2), torch.ones(2))


def make_batches():
    graphs = featurize_smiles(SMILES)
    targets = torch.randn(len(SMILES), 2, generator=torch.Generator().manual_seed(1))
    targets[2, 0] = float("nan")
    parts = [list(range(8)), [5, 1, 3, 0], [6]]
    return [SupervisedBatch(graphs.batch(part), targets[part]) for part in parts]


def run(task, step, batches, device=CPU):
    """Return losses and gradients of each batch."""
    passes = build_passes(task.to(device), TrainerConfig(step=step, precision="float32"), device, World())
    found = []
    for batch in batches:
        loss = passes(batch.to(device)).item()
        found.append((loss, [parameter.grad.clone().cpu() for parameter in task.parameters()]))
    return found


def assert_same(first, second):
    for (loss, gradients), (other, others) in zip(first, second, strict=True):
        assert loss == pytest.approx(other, rel=1e-5, abs=1e-6)
        for one, two in zip(gradients, others, strict=True):
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [DMPNN, GAT, GCN])
@pytest.mark.parametrize("pool", ["mean", "sum", "attention", "recurrent_attention"])
def test_padding_changes_neither_the_loss_nor_the_gradients(kind, pool):
    batches = make_batches()
    assert_same(run(make(kind, pool), "eager", [b.padded() for b in batches]), run(make(kind, pool), "eager", batches))


def test_padding_makes_few_shapes_and_sound_graphs():
    graphs = featurize_smiles(SMILES * 8)
    shapes = set()
    for start in range(40):
        whole = graphs.batch(range(start, start + 16))
        batch = replace(whole, graph_features=torch.ones(16, 3)).padded()
        shapes.add(tuple(tensor.shape for tensor in tensors_of(batch)))
        assert torch.equal(batch.src[batch.reverse], batch.dst)
        assert torch.equal(batch.dst, batch.dst.sort().values)
        assert torch.equal(batch.offsets.diff(), torch.bincount(batch.dst, minlength=batch.num_nodes))
        assert torch.equal(batch.graph_offsets.diff(), torch.bincount(batch.node_graph, minlength=batch.num_graphs))
        assert batch.graph_features[16:].abs().sum() == 0
        assert torch.equal(batch.node_features.rows()[: whole.num_nodes], whole.node_features.rows())
    assert len(shapes) < 10


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_compiled_and_eager_agree():
    batches = make_batches()[:2]
    assert_same(run(make(), "compiled", batches), run(make(), "eager", batches))


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python has no distutils of its own")
def test_the_compiler_finds_setuptools_also_after_distutils():
    step = "from molgraph.training.hardware.step import keep_distutils; keep_distutils()"
    code = f"import distutils.core; {step}; import setuptools"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("step", ["eager", "compiled", "captured"])
def test_all_steps_agree_on_a_gpu(step):
    batches = make_batches()
    batches += batches[::-1]  # a graph that was captured before is replayed with other data
    assert_same(run(make(), step, batches, torch.device("cuda")), run(make(), "eager", batches))


def test_the_configuration_knows_all_steps():
    assert tuple(PASSES) == STEPS


def test_a_step_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"trainer.step=captured needs a GPU"):
        run(make_task(), "captured", [])


def test_a_copy_has_tensors_of_its_own():
    batch = make_batches()[0]
    for one, other in zip(tensors_of(batch), tensors_of(copied(batch)), strict=True):
        assert one.data_ptr() != other.data_ptr() or one.numel() == 0
        assert torch.equal(one, other) or one.isnan().any()


def test_what_cannot_be_captured_is_refused_before_the_start(monkeypatch):
    captured = TrainerConfig(step="captured")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="captured needs a GPU"):
        check_step(captured, World())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    check_step(captured, World())
    with pytest.raises(ValueError, match="captured runs in one process"):
        check_step(captured, World(0, 2, 0))
    check_batch(captured, make_batches()[0])
    sequences = SupervisedBatch(pad([[1, 5, 2]]), torch.zeros(1, 1))
    for batch in (sequences, LanguageBatch(pad([[1, 5, 2]])), None):
        with pytest.raises(ValueError, match="only graphs of molecules are padded"):
            check_batch(captured, batch)
        check_batch(TrainerConfig(), batch)


def test_a_captured_run_without_a_gpu_stops_before_data_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    values = {"data": {}, "task": {"_target_": "molgraph.nothing"}, "trainer": {"step": "captured"}, "seed": 0}
    with pytest.raises(ValueError, match="captured needs a GPU"):
        train({**values, "task": {}}, tmp_path / "run")
    assert not (tmp_path / "run").exists()
