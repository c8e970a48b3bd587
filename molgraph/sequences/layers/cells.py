"""Recurrent cells written out gate by gate, with PyTorch's fused kernel as the fast path where there is one.

x [B, T, I] -> project (one matmul for all steps) -> state_t = step(projected_t, state_{t-1}) -> [B, T, H]
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

State = tuple[Tensor, ...]
"""The parts of a cell's state, each [B, H]; the first is its output."""


class Cell(nn.Module):
    """What all cells share: two matrices, two biases, and the loop over time.

    Args:
        inputs: I, the size of an input vector.
        hidden: H, the size of the state.
    """

    gates: ClassVar[int]
    """Blocks of H rows in the two matrices."""
    parts: ClassVar[int] = 1
    """Tensors of the state."""
    kernel: ClassVar[type[nn.Module] | None] = None
    """PyTorch's fused version of the same equations."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        # The fused module is the home of the parameters, so that cuDNN finds them in one piece of memory.
        fused = self.kernel
        self.weights: Any = fused(inputs, hidden, batch_first=True) if fused else _Weights(self.gates, inputs, hidden)
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        # Orthogonal blocks neither grow nor shrink a state (Saxe et al. 2014): gradients reach far back from the start.
        for block in self.weights.weight_hh_l0.chunk(self.gates):
            nn.init.orthogonal_(block)
        self.remember(self.weights.bias_ih_l0)

    def remember(self, bias: Tensor) -> None:
        """Open the gate that keeps the memory, if the cell has one, in its bias [gates * H]."""

    def project(self, x: Tensor) -> Tensor:
        """Return the input's share of every gate, W x + b: [..., I] to [..., gates * H]."""
        return functional.linear(x, self.weights.weight_ih_l0, self.weights.bias_ih_l0)

    def recur(self, h: Tensor) -> Tensor:
        """Return the state's share of every gate, U h + b: [B, H] to [B, gates * H]."""
        return functional.linear(h, self.weights.weight_hh_l0, self.weights.bias_hh_l0)

    def step(self, projected: Tensor, state: State) -> State:
        """Return one time step from ``project(x_t)`` [B, gates * H] and the state before it."""
        raise NotImplementedError

    def start(self, x: Tensor) -> State:
        """Return the state before the first step, all zero, for as many rows as x has."""
        return tuple(x.new_zeros(len(x), self.hidden) for _ in range(self.parts))

    def unroll(self, x: Tensor, state: State | None = None) -> list[State]:
        """Return the state after each step of x [B, T, I], by the written-out equations."""
        state = self.start(x) if state is None else state
        states = []
        for projected in self.project(x).unbind(1):
            state = self.step(projected, state)
            states.append(state)
        return states

    def forward(self, x: Tensor, state: State | None = None, fused: bool = True) -> Tensor:
        """Run over x [B, T, I] and returns the output of each step [B, T, H].

        Args:
            x: inputs.
            state: the state before the first step; None is zero.
            fused: use the fused kernel where there is one; the results agree to rounding.
        """
        if not fused or self.kernel is None:
            return torch.stack([step[0] for step in self.unroll(x, state)], dim=1)
        start = None if state is None else tuple(part.unsqueeze(0).contiguous() for part in state)
        if self.kernel is nn.LSTM and torch.is_autocast_enabled("cpu") and not x.is_cuda and not has_bf16_lstm():
            with torch.autocast("cpu", enabled=False):
                return self.weights(x.float(), start and tuple(part.float() for part in start))[0]
        outputs, _ = self.weights(x, start[0] if start is not None and self.parts == 1 else start)
        return outputs


def has_bf16_lstm() -> bool:
    """Return whether PyTorch can run an LSTM in bfloat16 on this CPU: elsewhere it stops, with no kernel to take."""
    return "AVX512" in torch.backends.cpu.get_cpu_capability()


class _Weights(nn.Module):
    """Parameters named and initialized as in ``nn.RNNBase``."""

    def __init__(self, gates: int, inputs: int, hidden: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden)

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))

        self.weight_ih_l0 = uniform(gates * hidden, inputs)
        self.weight_hh_l0 = uniform(gates * hidden, hidden)
        self.bias_ih_l0 = uniform(gates * hidden)
        self.bias_hh_l0 = uniform(gates * hidden)


class VanillaCell(Cell):
    """h' = tanh(W x + U h + b) (Elman 1990)."""

    gates = 1
    kernel = nn.RNN

    def step(self, projected: Tensor, state: State) -> State:
        """See ``Cell.step``."""
        return (torch.tanh(projected + self.recur(state[0])),)


class LSTMCell(Cell):
    """c' = f c + i g, h' = o tanh(c') (Hochreiter & Schmidhuber 1997; Gers 2000 for the forget gate f)."""

    gates = 4
    parts = 2
    kernel = nn.LSTM

    def remember(self, bias: Tensor) -> None:
        """Forget little at the start: a bias of 1 (Gers et al. 2000; Jozefowicz et al. 2015)."""
        bias[self.hidden : 2 * self.hidden] += 1

    def step(self, projected: Tensor, state: State) -> State:
        """See ``Cell.step``."""
        h, c = state
        i, f, g, o = (projected + self.recur(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class PeepholeLSTMCell(Cell):
    """An LSTM whose gates look at the cell: i and f see p c, o sees p c' (Gers & Schmidhuber 2000, eq. 3-7)."""

    gates = 4
    parts = 2

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.peephole = nn.Parameter(torch.empty(3, hidden).uniform_(-1 / math.sqrt(hidden), 1 / math.sqrt(hidden)))

    def remember(self, bias: Tensor) -> None:
        """Forget little at the start: a bias of 1 (Gers et al. 2000; Jozefowicz et al. 2015)."""
        bias[self.hidden : 2 * self.hidden] += 1

    def step(self, projected: Tensor, state: State) -> State:
        """See ``Cell.step``."""
        h, c = state
        p_i, p_f, p_o = self.peephole
        i, f, g, o = (projected + self.recur(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
        return torch.sigmoid(o + p_o * c) * torch.tanh(c), c


class CoupledLSTMCell(Cell):
    """An LSTM that forgets exactly where it writes: f = 1 - i (Greff et al. 2017, the variant CIFG)."""

    gates = 3
    parts = 2

    def remember(self, bias: Tensor) -> None:
        """Write little, and so forget little, at the start."""
        bias[: self.hidden] -= 1

    def step(self, projected: Tensor, state: State) -> State:
        """See ``Cell.step``."""
        h, c = state
        i, g, o = (projected + self.recur(h)).chunk(3, dim=-1)
        i = torch.sigmoid(i)
        c = (1 - i) * c + i * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class GRUCell(Cell):
    """h' = (1 - z) n + z h, n = tanh(W x + r (U h + b)) (Cho 2014 with the reset after the matmul, as cuDNN has it)."""

    gates = 3
    kernel = nn.GRU

    def step(self, projected: Tensor, state: State) -> State:
        """See ``Cell.step``."""
        (h,) = state
        x_r, x_z, x_n = projected.chunk(3, dim=-1)
        h_r, h_z, h_n = self.recur(h).chunk(3, dim=-1)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return ((1 - z) * n + z * h,)


class ResetFirstGRUCell(Cell):
    """The GRU with the reset before the product: n = tanh(W x + U (r h) + b) (Cho et al. 2014, eq. 8).

    The other GRU resets after the product, ``r (U h + b)``, as cuDNN does: one matrix product a step in place of two.
    """

    gates = 3

    def step(self, projected: Tensor, state: State) -> State:
        """See ``Cell.step``."""
        (h,) = state
        x_r, x_z, x_n = projected.chunk(3, dim=-1)
        u_r, u_z, u_n = self.weights.weight_hh_l0.chunk(3)
        b_r, b_z, b_n = self.weights.bias_hh_l0.chunk(3)
        r = torch.sigmoid(x_r + functional.linear(h, u_r, b_r))
        z = torch.sigmoid(x_z + functional.linear(h, u_z, b_z))
        n = torch.tanh(x_n + functional.linear(r * h, u_n, b_n))
        return ((1 - z) * n + z * h,)


CELLS: dict[str, type[Cell]] = {
    "rnn": VanillaCell,
    "lstm": LSTMCell,
    "lstm_peephole": PeepholeLSTMCell,
    "lstm_coupled": CoupledLSTMCell,
    "gru": GRUCell,
    "gru_reset_first": ResetFirstGRUCell,
}


def make_cell(name: str, inputs: int, hidden: int) -> Cell:
    """Return the cell of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in CELLS:
        raise ValueError(f"unknown cell {name!r}; choose one of {', '.join(CELLS)}")
    return CELLS[name](inputs, hidden)
