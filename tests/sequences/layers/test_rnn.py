import csv
import math

import pytest
import torch
from rich.console import Console
from torch import nn

from molgraph.sequences.layers.cells import CELLS, make_cell
from molgraph.sequences.layers.rnn import (
    RecurrentEncoder,
    RecurrentShape,
    RecurrentStack,
    gradient_through_time,
    gradients_back,
    reverse,
)
from molgraph.sequences.text.batch import TokenBatch, pad
from molgraph.training.run import train

ROWS = [[1, 5, 6, 7, 8, 2], [1, 5, 2], [1, 9, 9, 4, 2]]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("both_ways", [True, False])
def test_padding_never_changes_a_result(cell, both_ways):
    torch.manual_seed(0)
    encoder = RecurrentEncoder(RecurrentShape(cell, 8, 2, 0.0, both_ways=both_ways), 10).eval()
    together = encoder(pad(ROWS))
    for row, numbers in enumerate(ROWS):
        alone = encoder(pad([numbers]))
        torch.testing.assert_close(together.summary[row], alone.summary[0], atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(together.states[row, : len(numbers)], alone.states[0], atol=1e-6, rtol=1e-6)


def test_two_layers_in_both_directions_equal_pytorchs_packed_module():
    torch.manual_seed(0)
    stack, reference = (
        RecurrentStack(RecurrentShape("gru", 8, 2, 0.0), 5),
        nn.GRU(5, 8, 2, bidirectional=True, batch_first=True),
    )
    for layer in range(2):
        for cells, suffix in ((stack.forwards, ""), (stack.backwards, "_reverse")):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(cells[layer].weights, f"{name}_l0").data = getattr(reference, f"{name}_l{layer}{suffix}").data
    x, lengths = torch.randn(3, 7, 5), torch.tensor([7, 2, 4])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)[0]
    mask = torch.arange(7) < lengths[:, None]
    torch.testing.assert_close(stack(x, lengths)[0][mask], expected[mask], atol=1e-6, rtol=1e-6)


def test_reversing_twice_gives_the_rows_back_and_leaves_the_padding():
    x, lengths = torch.arange(24.0).view(2, 6, 2), torch.tensor([6, 3])
    back = reverse(x, lengths)
    assert torch.equal(reverse(back, lengths), x)
    assert torch.equal(back[1, :3], x[1, :3].flip(0))
    assert torch.equal(back[1, 3:], x[1, 3:])


def test_a_gradient_reaches_every_parameter():
    encoder = RecurrentEncoder(RecurrentShape("lstm_peephole", 8, 2, 0.0), 10)
    encoder(pad(ROWS)).states.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_the_gradient_fades_in_a_vanilla_cell_and_less_in_one_that_remembers():
    torch.manual_seed(0)
    x = torch.randn(4, 50, 8)
    vanilla, lstm = make_cell("rnn", 8, 32), make_cell("lstm", 8, 32)
    lstm.weights.bias_ih_l0.data[32:64] = 3.0  # an open forget gate
    fading, lasting = gradient_through_time(vanilla, x), gradient_through_time(lstm, x)
    assert fading.shape == (50,)
    assert fading[0] / fading[-1] < 1e-2
    assert lasting[0] / lasting[-1] > 10 * fading[0] / fading[-1]


def test_clipping_tames_an_exploding_gradient():
    def train(clip: float) -> float:
        torch.manual_seed(0)
        cell, x = make_cell("rnn", 4, 16), torch.randn(4, 60, 4)
        cell.weights.weight_hh_l0.data = 2.5 * torch.eye(16)
        optimizer = torch.optim.SGD(cell.parameters(), 0.1)
        worst = 0.0
        for _ in range(5):
            optimizer.zero_grad()
            cell(x)[:, -1].sum().backward()
            nn.utils.clip_grad_norm_(cell.parameters(), clip)
            before = cell.weights.weight_hh_l0.detach().clone()
            optimizer.step()
            worst = max(worst, (cell.weights.weight_hh_l0.detach() - before).norm().item())
        return worst

    assert train(1.0) <= 0.1 + 1e-6
    assert train(1e9) > 0.1


def test_the_gradient_reaches_back_by_the_kind_of_cell():
    """A vanilla cell with small weights forgets; an LSTM that keeps its memory does not."""
    rows = {}
    for cell in ("rnn", "lstm"):
        torch.manual_seed(0)
        encoder = RecurrentEncoder(RecurrentShape(cell, 8, 1, 0.0, both_ways=False), 10)
        with torch.no_grad():
            encoder.stack.forwards[0].weights.weight_hh_l0.mul_(0.5)
        rows[cell] = gradients_back(encoder, TokenBatch(torch.randint(4, 10, (3, 30)), torch.full((3,), 30)))
    assert list(rows["rnn"]) == [f"gradient_back_{back}" for back in (1, 2, 5, 10, 20, 50)]
    assert rows["rnn"]["gradient_back_20"] < 1e-4 < rows["lstm"]["gradient_back_20"]
    assert math.isnan(rows["rnn"]["gradient_back_50"])


def test_training_writes_them_to_the_metrics(tmp_path):
    lines = "\n".join(f"{'C' * length}O,{length}" for length in range(1, 41))
    (tmp_path / "chains.csv").write_text("smiles,y\n" + lines + "\n")
    shape = {"cell": "rnn", "width": 8, "layers": 1, "dropout": 0.0}
    config = {
        "data": {"path": str(tmp_path / "chains.csv"), "targets": ["y"], "workers": 0},
        "model": {"_target_": "molgraph.sequences.property.sequence_predictor.SequencePredictor", "shape": shape},
        "task": {"_target_": "molgraph.molecules.experiment.PropertyExperiment"},
        "trainer": {"epochs": 2, "diagnose": True},
        "logger": {},
        "seed": 0,
    }
    train(config, tmp_path / "run", Console(quiet=True))
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and all(0 < float(row["gradient_back_1"]) < 100 for row in rows)
