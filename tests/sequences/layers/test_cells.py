import pytest
import torch
from torch import nn

from molgraph.sequences.layers.cells import CELLS, CoupledLSTMCell, LSTMCell, PeepholeLSTMCell, make_cell

CLOSE = {"atol": 1e-6, "rtol": 1e-6}
FUSED = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("fused", [True, False])
def test_a_cell_equals_pytorchs_own_module_forward_and_gradient(name, fused):
    torch.manual_seed(0)
    cell, reference = make_cell(name, 5, 8), FUSED[name](5, 8, batch_first=True)
    cell.weights.load_state_dict(reference.state_dict())
    x = torch.randn(3, 11, 5)
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    got, expected = cell(first, fused=fused), reference(second)[0]
    torch.testing.assert_close(got, expected, **CLOSE)
    got.square().mean().backward()
    expected.square().mean().backward()
    torch.testing.assert_close(first.grad, second.grad, **CLOSE)
    for mine, theirs in zip(cell.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, **CLOSE)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_goes_on_from_a_state_as_if_it_had_not_stopped(name):
    torch.manual_seed(0)
    cell, x = make_cell(name, 5, 8), torch.randn(3, 9, 5)
    middle = cell.unroll(x[:, :4])[-1]
    for fused in (True, False):
        torch.testing.assert_close(cell(x[:, 4:], middle, fused=fused), cell(x)[:, 4:], **CLOSE)


def test_a_peephole_cell_without_peepholes_is_an_lstm():
    torch.manual_seed(0)
    peephole, plain, x = PeepholeLSTMCell(5, 8), LSTMCell(5, 8), torch.randn(3, 9, 5)
    plain.weights.load_state_dict(peephole.weights.state_dict())
    assert not torch.allclose(peephole(x), plain(x), atol=1e-4)
    nn.init.zeros_(peephole.peephole)
    torch.testing.assert_close(peephole(x), plain(x), **CLOSE)


def test_peepholes_see_the_old_cell_in_two_gates_and_the_new_one_in_the_third():
    cell = PeepholeLSTMCell(1, 1)
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    cell.peephole.data.fill_(1.0)
    h, c = cell.step(torch.tensor([[0.0, 0.0, 0.7, 0.0]]), (torch.zeros(1, 1), torch.ones(1, 1)))
    gate = torch.sigmoid(torch.tensor(1.0))
    expected = gate * 1 + gate * torch.tanh(torch.tensor(0.7))
    torch.testing.assert_close(c.squeeze(), expected)
    torch.testing.assert_close(h.squeeze(), torch.sigmoid(expected) * torch.tanh(expected))


def test_a_coupled_cell_is_an_lstm_whose_forget_gate_is_one_minus_the_input_gate():
    torch.manual_seed(0)
    coupled, plain, x = CoupledLSTMCell(5, 8), LSTMCell(5, 8), torch.randn(3, 9, 5)
    for name, parameter in coupled.weights.named_parameters():
        i, g, o = parameter.data.chunk(3)
        getattr(plain.weights, name).data = torch.cat([i, -i, g, o])  # sigmoid(-a) = 1 - sigmoid(a)
    torch.testing.assert_close(coupled(x), plain(x), **CLOSE)


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="unknown cell 'gro'"):
        make_cell("gro", 1, 1)


def test_an_lstm_in_bfloat16_on_a_cpu_without_such_a_kernel_runs_in_float32(monkeypatch):
    monkeypatch.setattr("molgraph.sequences.layers.cells.has_bf16_lstm", lambda: False)
    cell, x = make_cell("lstm", 5, 8), torch.randn(3, 9, 5)
    middle = cell.unroll(x[:, :4])[-1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = cell(x[:, 4:].bfloat16(), tuple(part.bfloat16() for part in middle)), cell(x)
    assert got[0].dtype == torch.float32
    torch.testing.assert_close(got[0], cell(x)[:, 4:], atol=0.03, rtol=0.03)
    torch.testing.assert_close(got[1], cell(x), **CLOSE)


def test_a_gru_that_resets_first_follows_the_plain_formula():
    torch.manual_seed(0)
    cell, x, h = make_cell("gru_reset_first", 5, 7), torch.randn(3, 6, 5), torch.zeros(3, 7)
    weights = {name: list(value.chunk(3)) for name, value in cell.weights.named_parameters()}
    (w_r, w_z, w_n), (u_r, u_z, u_n) = weights["weight_ih_l0"], weights["weight_hh_l0"]
    b_r, b_z, b_n = (a + b for a, b in zip(weights["bias_ih_l0"], weights["bias_hh_l0"], strict=True))
    for step, given in enumerate(x.unbind(1)):
        r = torch.sigmoid(given @ w_r.T + h @ u_r.T + b_r)
        z = torch.sigmoid(given @ w_z.T + h @ u_z.T + b_z)
        h = (1 - z) * torch.tanh(given @ w_n.T + (r * h) @ u_n.T + b_n) + z * h
        torch.testing.assert_close(cell(x)[:, step], h)
    assert not torch.allclose(make_cell("gru", 5, 7).requires_grad_(False)(x), cell(x))
